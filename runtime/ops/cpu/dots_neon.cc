#include "cpu/dots.inl"

namespace omni::ops::cpu {
const Quantized kNeonDots = OMNI_DOTS;
}
