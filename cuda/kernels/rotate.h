// Rotary embeddings: the halves of each head rotated against one another. (Su et al.: RoFormer,
// 2021; transformers, rotate_half)
#pragma once

#include <cstdint>

#include "kernels/pages.h"

namespace omni::cuda {

// (a, b) ← (a·cos − b·sin, b·cos + a·sin) for each head of n tokens, in place; head h of token i
// starts at x + i · stride + h · head_dim; cos, sin: [n, head_dim/2].
cudaError_t rotate(float* x, int64_t stride, const float* cos, const float* sin, int64_t n_tokens,
                   int n_heads, int head_dim, cudaStream_t stream);

// Queries and keys of a step, as they leave their product, with their angles.
struct Rotary {
  const float *cos, *sin;  // [n, head_dim / 2]
};
struct QueriesKeysValues {
  float* q;  // [n, n_heads · head_dim], rotated in place
  int64_t q_stride;
  const float *k, *v;  // [n, n_kv_heads · head_dim], which go to the pages, keys rotated
  int64_t k_stride, v_stride;
  Rotary q_angles, k_angles;
};
// T: what pages hold, float or bf16. slots: [n].
template <class T>
cudaError_t rotate_and_append(const QueriesKeysValues& of, const PageSlot* slots, int64_t n,
                              const PagedShape& shape, cudaStream_t stream);

}  // namespace omni::cuda
