#include "cpu/quantized.inl"

namespace omni::ops::cpu {
const Quantized kAvx512Quantized = OMNI_QUANTIZED;
}
