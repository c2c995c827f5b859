// Rotary position embedding on the heads of queries or keys, in place: pairs (i, i + head_dim / 2),
// as transformers' rotate_half. Which angle belongs to which token, M-RoPE's sections included, is
// in cos and sin.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// x: [n_tokens, stride], of which [n_heads, head_dim] are turned; cos, sin: [n_tokens,
// head_dim / 2].
cudaError_t rotate(float* x, int64_t stride, const float* cos, const float* sin, int64_t n_tokens,
                   int n_heads, int head_dim, cudaStream_t stream);

}  // namespace omni::cuda
