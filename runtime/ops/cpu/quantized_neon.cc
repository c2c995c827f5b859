#include "cpu/quantized.inl"

namespace omni::ops::cpu {
const Quantized kNeonQuantized = OMNI_QUANTIZED;
}
