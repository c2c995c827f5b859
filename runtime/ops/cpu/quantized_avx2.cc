#include "cpu/quantized.inl"

namespace omni::ops::cpu {
const Quantized kAvx2Quantized = OMNI_QUANTIZED;
}
