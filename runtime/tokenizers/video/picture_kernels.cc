#include "video/picture_kernels.h"

#include "core/cpu_level.h"

namespace omni {

const PictureKernels& picture_kernels() {
  switch (cpu_level()) {
#if defined(__x86_64__)
    case CpuLevel::avx512:
      return kAvx512PictureKernels;
    case CpuLevel::avx2:
      return kAvx2PictureKernels;
#elif defined(__aarch64__)
    case CpuLevel::neon:
      return kNeonPictureKernels;
#endif
    default:
      return kPortablePictureKernels;
  }
}

}  // namespace omni
