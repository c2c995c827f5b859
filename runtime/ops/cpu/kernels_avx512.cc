#define OMNI_FAST 1
#include "cpu/kernels.inl"

namespace omni::ops::cpu {
const Kernels kAvx512Kernels = OMNI_KERNEL_TABLE;
}
