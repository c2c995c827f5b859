#define OMNI_FAST 1
#include "cpu/kernels.inl"

namespace omni::ops::cpu {
const Kernels kNeonKernels = OMNI_KERNEL_TABLE;
}
