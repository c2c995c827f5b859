// The parts of attention of single queries over a stretch of keys on tensor cores, by a block:
// eight warps, 16 keys each, which they load whole before they multiply. Nothing of it passes
// through shared memory: a sum over components may be taken in any order, so sixteen bytes of a key
// in one lane serve as the fragments of two products, and sixteen bytes of a value as those of
// eight.
#pragma once

#include "kernels/attention_mma.h"
#include "kernels/paged_stretch.h"

namespace omni::cuda {

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

constexpr int kStretchWarps = 8, kStretchThreads = 32 * kStretchWarps,
              kWarpKeys = kStretchKeys / kStretchWarps, kStretchHeads = 8;
static_assert(kWarpKeys == 16);

__device__ inline uint32_t word_of(const uint4& x, int i) {
  return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w;
}

// What is left of two floats when they are rounded to bfloat16, rounded itself.
__device__ inline uint32_t rest_of(float low, float high, uint32_t rounded) {
  return two_bf16(low - low_bf16(rounded), high - high_bf16(rounded));
}

// Query heads [head, head + n_heads) of a block, up to kStretchHeads that share a key head.
struct StretchHeads {
  int kv_head, head, n_heads;
  bool is_first;  // of its key head
};
__device__ inline StretchHeads stretch_heads(const PagedShape& s, int block) {
  const int group = s.n_heads / s.n_kv_heads, parts = (group + kStretchHeads - 1) / kStretchHeads,
            kv_head = block / parts, first = block % parts * kStretchHeads;
  return {kv_head, kv_head * group + first, min(kStretchHeads, group - first), first == 0};
}

// Of a stretch, what a warp has of it, as its lanes hold it: with group = lane / 4 and t = lane %
// 4, keys group and 8 + group, components 32c + 8t …; values 2t, 2t + 1, 2t + 8 and 2t + 9,
// components 64c + 8 · group …
template <int kWidth>  // at least head_dim, a multiple of 64
struct WarpKeys {
  uint4 k[2][kWidth / 32], v[4][kWidth / 64];
};
__device__ inline int key_of(int i) { return 8 * i + int(threadIdx.x) % 32 / 4; }
__device__ inline int key_component(int c) { return 32 * c + 8 * (int(threadIdx.x) % 4); }
__device__ inline int value_of(int i) { return 2 * (int(threadIdx.x) % 4) + i % 2 + i / 2 * 8; }
__device__ inline int value_component(int c) { return 64 * c + 8 * (int(threadIdx.x) % 32 / 4); }

// n: how many keys there are, from row `begin` on. pages: of the first one and of the last one.
template <int kWidth>
__device__ inline void load_keys(WarpKeys<kWidth>& to, const void* const (&pages)[2], int begin,
                                 int n, int kv_head, const PagedShape& s) {
  const int head_dim = s.head_dim, first_page = begin / kPageRows;
  const auto at = [&](int key, int64_t what, int d) {
    const int row = begin + key;
    return static_cast<const bf16*>(row / kPageRows == first_page ? pages[0] : pages[1]) + what +
           (row % kPageRows * s.n_kv_heads + kv_head) * head_dim + d;
  };
  OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int c = 0; c < kWidth / 32; ++c) {
    const int d = key_component(c);
    to.k[i][c] =
        key_of(i) < n && d < head_dim ? load_once(at(key_of(i), s.keys, d)) : uint4{0, 0, 0, 0};
  }
  OMNI_UNROLL for (int i = 0; i < 4; ++i) OMNI_UNROLL for (int c = 0; c < kWidth / 64; ++c) {
    const int d = value_component(c);
    to.v[i][c] = value_of(i) < n && d < head_dim ? load_once(at(value_of(i), s.values, d))
                                                 : uint4{0, 0, 0, 0};
  }
}

// What the warps of a block bring together, in shared memory.
template <int kWidth>
struct WarpSums {
  static constexpr int kLine = kWidth + 4;
  float *sums, *highest, *weights;  // [warp][head][kLine], [warp][head] each
};

// A warp's part: of its n keys, more than none. query(c, x): x ← components key_component(c) … of
// the lane's head, lane / 4, over √head_dim; 0 where there are none.
template <int kWidth, class Query>
__device__ inline void attend_to_keys(const WarpKeys<kWidth>& of, int n, const Query& query,
                                      const WarpSums<kWidth>& to) {
  constexpr int kLine = WarpSums<kWidth>::kLine;
  const int warp = int(threadIdx.x) / 32, group_row = int(threadIdx.x) % 32 / 4,
            t = int(threadIdx.x) % 4;
  // rows 0 to 7 of the product: the heads, 8 to 15: what rounding left of them
  float score[2][4];
  OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int e = 0; e < 4; ++e) score[i][e] = 0;
  OMNI_UNROLL for (int c = 0; c < kWidth / 32; ++c) {
    float x[8];
    query(c, x);
    OMNI_UNROLL for (int part = 0; part < 2; ++part) {
      const float* f = x + 4 * part;
      uint32_t a[4] = {two_bf16(f[0], f[1]), 0, two_bf16(f[2], f[3]), 0};
      a[1] = rest_of(f[0], f[1], a[0]), a[3] = rest_of(f[2], f[3], a[2]);
      OMNI_UNROLL for (int i = 0; i < 2; ++i)
          mma_bf16(score[i], a, word_of(of.k[i][c], 2 * part), word_of(of.k[i][c], 2 * part + 1));
    }
  }

  float top = -INFINITY, weight = 0, p[2][2];
  OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int e = 0; e < 2; ++e) {
    p[i][e] = 8 * i + 2 * t + e < n ? score[i][e] + score[i][2 + e] : -INFINITY;
    top = fmaxf(top, p[i][e]);
  }
  top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
  top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
  OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int e = 0; e < 2; ++e) {
    p[i][e] = __expf(p[i][e] - top);
    weight += p[i][e];
  }
  weight += __shfl_xor_sync(0xffffffffu, weight, 1);
  weight += __shfl_xor_sync(0xffffffffu, weight, 2);
  if (t == 0) {
    to.highest[warp * kStretchHeads + group_row] = top;
    to.weights[warp * kStretchHeads + group_row] = weight;
  }

  uint32_t a[4] = {two_bf16(p[0][0], p[0][1]), 0, two_bf16(p[1][0], p[1][1]), 0};
  a[1] = rest_of(p[0][0], p[0][1], a[0]), a[3] = rest_of(p[1][0], p[1][1], a[2]);
  OMNI_UNROLL for (int c = 0; c < kWidth / 64; ++c) {
    float out[8][4];  // of columns 64c + 8 · (2t) + j and 64c + 8 · (2t + 1) + j
    OMNI_UNROLL for (int j = 0; j < 8; ++j) {
      OMNI_UNROLL for (int e = 0; e < 4; ++e) out[j][e] = 0;
      uint32_t b[2];
      OMNI_UNROLL for (int i = 0; i < 2; ++i) {
        const uint32_t even = word_of(of.v[2 * i][c], j / 2),
                       odd = word_of(of.v[2 * i + 1][c], j / 2);
        b[i] = j % 2 ? even >> 16 | (odd & 0xffff0000u) : (even & 0xffffu) | odd << 16;
      }
      mma_bf16(out[j], a, b);
    }
    float* sums = to.sums + (warp * kStretchHeads + group_row) * kLine + 64 * c + 16 * t;
    OMNI_UNROLL for (int e = 0; e < 2; ++e) OMNI_UNROLL for (int j = 0; j < 8; j += 4) *
        reinterpret_cast<float4*>(sums + 8 * e + j) = {
        out[j][e] + out[j][2 + e], out[j + 1][e] + out[j + 1][2 + e],
        out[j + 2][e] + out[j + 2][2 + e], out[j + 3][e] + out[j + 3][2 + e]};
  }
}

// A warp for the head of its number: the sums of the warps that have some of the n keys, each by
// how far its maximum is below the highest. y: the head's result, or nullptr; otherwise partial [2
// + head_dim] ← maximum, weight, sums.
template <int kWidth, class Y>
__device__ inline void join_warps(const WarpSums<kWidth>& of, int n, int head_dim, float* partial,
                                  Y* y) {
  constexpr int kLine = WarpSums<kWidth>::kLine;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32,
            n_warps = (n + kWarpKeys - 1) / kWarpKeys;
  float top = -INFINITY, weight = 0, share[kStretchWarps];
  OMNI_UNROLL for (int w = 0; w < kStretchWarps; ++w) if (w < n_warps) top =
      fmaxf(top, of.highest[w * kStretchHeads + warp]);
  OMNI_UNROLL for (int w = 0; w < kStretchWarps; ++w) if (w < n_warps) {
    share[w] = __expf(of.highest[w * kStretchHeads + warp] - top);
    weight += share[w] * of.weights[w * kStretchHeads + warp];
  }
  if (!y && lane == 0) *reinterpret_cast<float2*>(partial) = {top, weight};
  for (int d = 4 * lane; d < head_dim; d += 4 * 32) {
    float4 sum{0, 0, 0, 0};
    OMNI_UNROLL for (int w = 0; w < kStretchWarps; ++w) if (w < n_warps) {
      const float4 v =
          *reinterpret_cast<const float4*>(of.sums + (w * kStretchHeads + warp) * kLine + d);
      sum.x += share[w] * v.x, sum.y += share[w] * v.y;
      sum.z += share[w] * v.z, sum.w += share[w] * v.w;
    }
    if (y) {
      assign_two(y + d, sum.x / weight, sum.y / weight);
      assign_two(y + d + 2, sum.z / weight, sum.w / weight);
    } else {
      auto* to = reinterpret_cast<float2*>(partial + 2 + d);
      to[0] = {sum.x, sum.y}, to[1] = {sum.z, sum.w};
    }
  }
}

#endif

}  // namespace omni::cuda
