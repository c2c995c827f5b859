#include "cpu/kernels.h"

#include "core/cpu_level.h"

namespace omni::ops::cpu {

const Kernels& kernels() {
  switch (cpu_level()) {
#if defined(__x86_64__)
    case CpuLevel::avx512:
      return kAvx512Kernels;
    case CpuLevel::avx2:
      return kAvx2Kernels;
#elif defined(__aarch64__)
    case CpuLevel::neon:
      return kNeonKernels;
#endif
    default:
      return kPortableKernels;
  }
}

}  // namespace omni::ops::cpu
