// One query against the keys of a tile, by one warp: what `attention` and `paged_attention` do
// alike once keys and values lie in shared memory. A lane holds a key's score, then a part of the
// head of the sum.
#pragma once

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kStepKeys = 32;  // a lane each

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

// Shared: query [head_dim], key [kStepKeys, kWidth + 1], value [kStepKeys, kWidth], and the warp's
// weight [kStepKeys]. n: keys that the query sees, at least one. highest, sum, part: the softmax
// and the weighted sum of values so far. All lanes of the warp call it.
template <int kWidth>
__device__ inline void attend(const float* query, const float* key, const float* value,
                              float* weight, int n, int head_dim, float& highest, float& sum,
                              float (&part)[kWidth / 32]) {
  const int lane = int(threadIdx.x) % 32;
  float score = -INFINITY;
  if (lane < n) {
    score = 0;
    for (int c = 0; c < head_dim; ++c) score += query[c] * key[lane * (kWidth + 1) + c];
  }
  const float top = fmaxf(highest, warp_max(score)), shrink = __expf(highest - top),
              e = __expf(score - top);
  sum = sum * shrink + warp_sum(e);
  highest = top;
  weight[lane] = e;
  __syncwarp();
  OMNI_UNROLL for (int p = 0; p < kWidth / 32; ++p) {
    const int c = lane + 32 * p;
    float more = 0;
    if (c < head_dim)
      for (int j = 0; j < n; ++j) more += weight[j] * value[j * kWidth + c];
    part[p] = part[p] * shrink + more;
  }
  __syncwarp();
}

#endif

}  // namespace omni::cuda
