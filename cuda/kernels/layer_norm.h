// y = (x − mean) / sqrt(var + eps) · weight + bias, over rows. (torch.nn.functional.layer_norm)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// x, y: [n_rows, width], weight, bias: [width], all on the device. T: float or bf16; sums are
// float.
template <class T>
cudaError_t layer_norm(const T* x, const float* weight, const float* bias, T* y, int64_t n_rows,
                       int width, float eps, cudaStream_t stream);

}  // namespace omni::cuda
