// Keys and values in pages, as kernels see them: [page][…][keys, values][kPageRows, n_kv_heads ·
// head_dim], of float or bf16. A sequence's rows lie in lanes, each with a table of its pages.
// (PagedAttention: Kwon et al., 2023)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kPageRows = 64;
constexpr int kMostLanes = 4;

// Where a token's key and value go.
struct PageSlot {
  void* page;
  int64_t row;  // in the page
};

// A query sees rows [first, end) of a lane: row r lies in page tables[table + r / kPageRows].
struct SeenRows {
  int table, first, end;
};

struct PagedShape {
  int64_t keys, values;  // elements from the beginning of a page to row 0
  int n_heads, n_kv_heads, head_dim, n_lanes;
};

// Queries [n, n_heads · head_dim] for each lane's keys.
struct Queries {
  const float* q;
  int64_t stride;  // floats from one token to the next
};
struct LaneQueries {
  Queries lane[kMostLanes];
};

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

// Whether each token's and head's queries begin at a multiple of sixteen bytes.
inline bool is_wide(const LaneQueries& q, const PagedShape& s) {
  bool wide = s.head_dim % 4 == 0;
  for (int l = 0; l < s.n_lanes; ++l)
    wide = wide && reinterpret_cast<uintptr_t>(q.lane[l].q) % 16 == 0 && q.lane[l].stride % 4 == 0;
  return wide;
}

// By comparisons: a kernel's parameter that a variable indexes is copied to the stack.
__device__ inline Queries of_lane(const LaneQueries& all, int lane) {
  Queries q = all.lane[0];
  OMNI_UNROLL for (int l = 1; l < kMostLanes; ++l) if (lane == l) q = all.lane[l];
  return q;
}

// The page's first element, moved to the row and the key head: `keys` or `values` behind it.
template <class T>
__device__ inline const T* row_in_page(void* const* tables, int table, int row, int kv_head,
                                       const PagedShape& s) {
  const T* page = static_cast<const T*>(tables[table + row / kPageRows]);
  return page + (int64_t(row % kPageRows) * s.n_kv_heads + kv_head) * s.head_dim;
}

#endif

}  // namespace omni::cuda
