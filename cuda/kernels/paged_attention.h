// softmax(q · kᵀ / √head_dim) · v for tiles of queries over keys and values in pages, as
// attention.h does it over rows that lie one behind the other; and the way into the pages.
#pragma once

#include "kernels/pages.h"

namespace omni::cuda {

constexpr int kPagedTileQueries = 128, kWidestPagedHead = 128;

struct QueryRange {
  int begin, end;  // at most kPagedTileQueries, of one sequence
};

// k, v: [n, n_kv_heads · head_dim], strides in floats; slots: [n] on the device. T: float or bf16.
template <class T>
cudaError_t append_to_pages(const float* k, int64_t k_stride, const float* v, int64_t v_stride,
                            const PageSlot* slots, int64_t n, const PagedShape& shape,
                            cudaStream_t stream);

// All on the device: tiles [n_tiles], seen [any, n_lanes] and tables; y: [any, n_heads · head_dim].
// T, Y: float or bf16. cudaErrorInvalidValue for what it cannot do.
template <class T, class Y>
cudaError_t paged_attention(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                            const QueryRange* tiles, int n_tiles, Y* y, const PagedShape& shape,
                            cudaStream_t stream);

}  // namespace omni::cuda
