#define OMNI_FAST 0
#include "cpu/kernels.inl"

namespace omni::ops::cpu {
const Kernels kPortableKernels = OMNI_KERNEL_TABLE;
}
