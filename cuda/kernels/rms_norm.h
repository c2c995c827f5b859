// y = x / sqrt(mean(x²) + eps) · weight, over rows. (Zhang, Sennrich: Root Mean Square Layer
// Normalization, 2019; torch.nn.functional.rms_norm)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// x, y: [n_rows, width], weight: [width], all on the device. Y: float or bf16.
template <class Y>
cudaError_t rms_norm(const float* x, const float* weight, Y* y, int64_t n_rows, int width,
                     float eps, cudaStream_t stream);

// The same over each head of n tokens, in place; head h of token i starts at x + i · stride + h ·
// head_dim. weight: [head_dim].
cudaError_t rms_norm_heads(float* x, int64_t stride, const float* weight, int64_t n, int n_heads,
                           int head_dim, float eps, cudaStream_t stream);

}  // namespace omni::cuda
