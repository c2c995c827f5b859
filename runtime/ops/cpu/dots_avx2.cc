#include "cpu/dots.inl"

namespace omni::ops::cpu {
const Quantized kAvx2Pairs = OMNI_DOTS;
}
