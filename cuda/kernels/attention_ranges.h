// attention.h's tiles on tensor cores: queries, keys, values and weights of the softmax rounded to
// bfloat16, sums and softmax in float32.
#pragma once

#include "kernels/attention.h"

namespace omni::cuda {

// head_dim: a multiple of 8, at most 128.
bool can_attend_to_ranges(const AttentionShape& shape);
// How many queries a tile is best to have where a range has so many.
inline int range_tile_queries(int64_t most_queries) { return most_queries <= 64 ? 64 : 128; }
// As attention(), with tiles of at most tile_queries (64 or 128).
cudaError_t attention_ranges(const float* q, const float* k, const float* v, bf16* y,
                             const AttentionTile* tiles, int n_tiles, int tile_queries,
                             const AttentionShape& shape, cudaStream_t stream);

}  // namespace omni::cuda
