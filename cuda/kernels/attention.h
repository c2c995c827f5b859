// softmax(q · kᵀ · scale) · v for tiles of queries that see ranges of keys, such as the towers'
// windows. Grouped queries. Scores stay in the block, keys and values pass through shared memory,
// softmax is kept running (FlashAttention: Dao et al., 2022).
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kTileQueries = 16, kWidestHead = 128;

struct AttentionTile {
  int64_t begin;      // of its queries
  int64_t first_key;  // of what they see
  int n_queries;      // at most kTileQueries
  int n_keys;
};

struct AttentionShape {
  // floats from one token to the next; y: [n, n_heads · head_dim]
  int64_t q_stride, k_stride, v_stride;
  int n_heads, n_kv_heads, head_dim;  // at most kWidestHead
};

// All on the device, tiles too. Y: float or bf16. cudaErrorInvalidValue for what it cannot do.
template <class Y>
cudaError_t attention(const float* q, const float* k, const float* v, Y* y,
                      const AttentionTile* tiles, int n_tiles, const AttentionShape& shape,
                      cudaStream_t stream);

// One head's softmax(q · kᵀ / √head_dim): y[n, n_keys].
cudaError_t attention_weights(const float* q, int64_t q_stride, const float* k, int64_t k_stride,
                              float* y, int64_t n, int n_keys, int head_dim, cudaStream_t stream);

}  // namespace omni::cuda
