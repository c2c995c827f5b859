// paged_attention.h's tiles of queries on tensor cores: queries and weights of the softmax rounded
// to bfloat16, sums and softmax in float32.
#pragma once

#include "kernels/paged_attention.h"

namespace omni::cuda {

// head_dim: a multiple of 8, at most 128; pages and y aligned to sixteen bytes. Otherwise as
// paged_attention() of bfloat16 pages.
bool can_prefill(const PagedShape& shape);
cudaError_t paged_prefill(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                          const QueryRange* tiles, int n_tiles, bf16* y, const PagedShape& shape,
                          cudaStream_t stream);

}  // namespace omni::cuda
