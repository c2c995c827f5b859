// y = x · Wᵀ of few rows, at the rate at which W can be read: of each token of a step.
// (torch.nn.functional.linear)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kMostFewRows = 16;
constexpr int kMostNormedRows = 4;  // more are normed sooner by a kernel that does it once

// What becomes of x [n, n_in] · Wᵀ + bias:
enum class Into {
  y,         // float y [n, n_out]
  sum,       // is added to float y [n, n_out]
  silu_mul,  // bf16 y [n, n_out / 2] = silu(its first half) · its second half
};

// n: up to kMostFewRows; n_in: a multiple of 8; weight: [n_out, n_in]; bias: float [n_out] or
// nullptr; x and weight aligned to 16 bytes; all on the device, weight and bias since before the
// stream's last upload. What a row becomes does not depend on the others. cudaErrorInvalidValue for
// what it cannot do.
cudaError_t linear_few(const bf16* x, const bf16* weight, const float* bias, Into into, void* y,
                       int n, int n_in, int n_out, cudaStream_t stream);

// The same of rms_norm(x), rounded to bf16, but not for a sum: the bits of rms_norm.h and
// linear_few(), one after the other.
struct NormedRows {
  const float *x, *weight;  // [n, n_in], [n_in], aligned to 16 bytes
  float eps;
};
bool can_norm_few(int64_t n, int n_in);  // n ≤ kMostNormedRows that a block's memory holds
cudaError_t linear_few(const NormedRows& x, const bf16* weight, const float* bias, Into into,
                       void* y, int n, int n_in, int n_out, cudaStream_t stream);

}  // namespace omni::cuda
