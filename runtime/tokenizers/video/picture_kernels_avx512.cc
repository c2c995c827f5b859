#include "video/picture_kernels_x86.inl"

namespace omni {
const PictureKernels kAvx512PictureKernels = {component, row, column, to_rgb, normalise};
}
