#include "cpu/dots.inl"

namespace omni::ops::cpu {
const Quantized kAvx512VnniDots = OMNI_DOTS;
}
