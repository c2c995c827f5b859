// One value at a time, in place.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// x ← x/2 · (1 + erf(x/√2)), and its approximation x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))).
// (torch.nn.functional.gelu)
cudaError_t gelu(float* x, int64_t n, cudaStream_t stream);
cudaError_t gelu_tanh(float* x, int64_t n, cudaStream_t stream);

// x ← x / (1 + e^(−1.702 x)). (transformers, QuickGELUActivation)
cudaError_t quick_gelu(float* x, int64_t n, cudaStream_t stream);

// x ← x / (1 + e^−x). (torch.nn.functional.silu)
cudaError_t silu(float* x, int64_t n, cudaStream_t stream);
// x ← x / divisor.
cudaError_t div(float* x, float divisor, int64_t n, cudaStream_t stream);

// y[n] = x[n], rounded to the nearest.
cudaError_t narrow(const float* x, bf16* y, int64_t n, cudaStream_t stream);

// x ← x + y.
cudaError_t add(float* x, const float* y, int64_t n, cudaStream_t stream);
// x ← x + y · scale[column]; x, y: [n_rows, width].
cudaError_t add_scaled(float* x, const float* y, const float* scale, int64_t n_rows, int width,
                       cudaStream_t stream);

}  // namespace omni::cuda
