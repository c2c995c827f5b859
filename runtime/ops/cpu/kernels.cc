#include "cpu/kernels.h"

#include "core/cpu_isa.h"

namespace omni::ops::cpu {

const Kernels& kernels() { return cpu_isa() == CpuIsa::avx512 ? kAvx512Kernels : kPortableKernels; }

}  // namespace omni::ops::cpu
