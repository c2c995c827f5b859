// One value at a time.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// y = x/2 · (1 + erf(x/√2)), and its approximation x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))). Y:
// float, where y may be x, or bf16. (torch.nn.functional.gelu)
template <class Y>
cudaError_t gelu(const float* x, Y* y, int64_t n, cudaStream_t stream);
template <class Y>
cudaError_t gelu_tanh(const float* x, Y* y, int64_t n, cudaStream_t stream);

// y = x / (1 + e^(−1.702 x)), likewise. (transformers, QuickGELUActivation)
template <class Y>
cudaError_t quick_gelu(const float* x, Y* y, int64_t n, cudaStream_t stream);

// x ← x / (1 + e^−x). (torch.nn.functional.silu)
cudaError_t silu(float* x, int64_t n, cudaStream_t stream);
// x ← x / divisor.
cudaError_t div(float* x, float divisor, int64_t n, cudaStream_t stream);

// y[n_rows, to] = x[n_rows, width], rounded to the nearest, then zeros.
cudaError_t narrow(const float* x, bf16* y, int64_t n_rows, int width, int to, cudaStream_t stream);

// x ← x + y.
cudaError_t add(float* x, const float* y, int64_t n, cudaStream_t stream);
// x ← x + y · scale[column]; x, y: [n_rows, width].
cudaError_t add_scaled(float* x, const float* y, const float* scale, int64_t n_rows, int width,
                       cudaStream_t stream);

// x ← x + y / (1 + e^−gate[row]).
cudaError_t add_gated(float* x, const float* y, const float* gate, int64_t n_rows, int width,
                      cudaStream_t stream);
// x ← x + sin²(αx)/β; alpha, beta_reciprocal [width].
cudaError_t snake(float* x, const float* alpha, const float* beta_reciprocal, int64_t n_rows,
                  int width, cudaStream_t stream);

// y ← Σ weight · x of n tensors, of which y may be one.
struct WeightedTerms {
  static constexpr int kMost = 5;
  const float* x[kMost];
  float weight[kMost];
  int n;
};
cudaError_t weighted_sum(float* y, const WeightedTerms& terms, int64_t n, cudaStream_t stream);

}  // namespace omni::cuda
