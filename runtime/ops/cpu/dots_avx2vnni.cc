#include "cpu/dots.inl"

namespace omni::ops::cpu {
const Quantized kAvx2VnniDots = OMNI_DOTS;
}
