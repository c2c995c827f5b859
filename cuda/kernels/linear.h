// y = x · Wᵀ + bias. (torch.nn.functional.linear)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// up to here weights are read once, a warp an output; above, tiles of both go through shared memory
constexpr int kFewRows = 8;

// x: [n, n_in], weight: [n_out, n_in], bias: [n_out] or nullptr, y: [n, n_out], all on the device.
cudaError_t linear(const float* x, const float* weight, const float* bias, float* y, int64_t n,
                   int n_in, int n_out, cudaStream_t stream);

// The same of bfloat16 on tensor cores, sums in float; n_in: a multiple of 8; x and weight aligned
// to 16 bytes.
cudaError_t linear_tensor(const bf16* x, const bf16* weight, const float* bias, float* y, int64_t n,
                          int n_in, int n_out, cudaStream_t stream);

}  // namespace omni::cuda
