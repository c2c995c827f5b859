#include "cpu/dots.inl"

namespace omni::ops::cpu {
const Quantized kAvx2Dots = OMNI_DOTS;
}
