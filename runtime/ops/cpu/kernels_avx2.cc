#define OMNI_FAST 1
#include "cpu/kernels.inl"

namespace omni::ops::cpu {
const Kernels kAvx2Kernels = OMNI_KERNEL_TABLE;
}
