// A stretch of paged_decode() on tensor cores, at the rate at which memory gives its keys and
// values, and exact: they are bfloat16, and queries and weights of the softmax are multiplied as
// the sum of two bfloat16, in halves of a fragment that would be empty.
#pragma once

#include "kernels/pages.h"

namespace omni::cuda {

constexpr int kStretchKeys = 128;

// head_dim: a multiple of 8, at most 128; pages aligned to sixteen bytes.
bool can_stretch(const PagedShape& shape);
// As paged_decode() in paged_decode.h, of bfloat16 pages; without joining: partial [n_tokens,
// n_heads, most_stretches, 2 + head_dim], or y where most_stretches is 1. Y: float or bf16.
template <class Y>
cudaError_t paged_stretch(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                          const int* tokens, int n_tokens, int most_stretches, float* partial, Y* y,
                          const PagedShape& shape, cudaStream_t stream);

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

__device__ inline int stretches_of(const SeenRows& rows) {
  return (rows.end - rows.first + kStretchKeys - 1) / kStretchKeys;
}

// The rows of a token's stretch, at most kStretchKeys, none where there is no such stretch; `lane`:
// whose they are. The lanes' stretches are counted one after the other.
__device__ inline SeenRows stretch_rows(const SeenRows* seen, int token, int n_lanes, int stretch,
                                        int& lane) {
  for (int l = 0; l < n_lanes; ++l) {
    SeenRows rows = seen[int64_t(token) * n_lanes + l];
    const int n = stretches_of(rows);
    if (stretch < n) {
      lane = l;
      rows.first += stretch * kStretchKeys;
      rows.end = min(rows.end, rows.first + kStretchKeys);
      return rows;
    }
    stretch -= n;
  }
  lane = 0;
  return {0, 0, 0};
}

#endif

}  // namespace omni::cuda
