// y = (x − mean) / sqrt(var + eps) · weight + bias, over rows. (torch.nn.functional.layer_norm)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// x, y: [n_rows, width], weight, bias: [width], all on the device.
template <class Y>
cudaError_t layer_norm(const float* x, const float* weight, const float* bias, Y* y, int64_t n_rows,
                       int width, float eps, cudaStream_t stream);

// x ← x + more · scale[column], y ← layer_norm(x).
template <class Y>
cudaError_t add_scaled_norm(float* x, const float* more, const float* scale, const float* weight,
                            const float* bias, Y* y, int64_t n_rows, int width, float eps,
                            cudaStream_t stream);

}  // namespace omni::cuda
