// A warp's queries against the keys and values of a tile in shared memory, on tensor cores with a
// running softmax in float32: what the kernels of attention do alike once bfloat16 lies there.
// (FlashAttention-2: Dao, 2023, arXiv 2307.08691, sections 3.1 and 3.3)
#pragma once

#include "kernels/mma.h"

namespace omni::cuda {

constexpr int kWidestMmaHead = 128;

// bfloat16 from one row to the next in shared memory: an odd number of sixteen bytes, so that eight
// rows of a matrix lie in different banks.
template <int kWidth>
constexpr int kMmaLine = (kWidth / 8 | 1) * 8;

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

// wide: `from` is aligned to sixteen bytes.
__device__ inline void eight_floats(float (&x)[8], const float* from, bool wide) {
  if (wide) {
    const auto* four = reinterpret_cast<const float4*>(from);
    const float4 low = four[0], high = four[1];
    x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
    x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
  } else {
    OMNI_UNROLL for (int i = 0; i < 8; ++i) x[i] = from[i];
  }
}
__device__ inline uint4 eight_bf16(const float* from, bool wide) {
  float x[8];
  eight_floats(x, from, wide);
  return {two_bf16(x[0], x[1]), two_bf16(x[2], x[3]), two_bf16(x[4], x[5]), two_bf16(x[6], x[7])};
}

// y[0], y[1]: an even number of values behind an aligned row's beginning.
__device__ inline void assign_two(float* y, float first, float second) {
  *reinterpret_cast<float2*>(y) = {first, second};
}
__device__ inline void assign_two(bf16* y, float first, float second) {
  *reinterpret_cast<uint32_t*>(y) = two_bf16(first, second);
}

// 16 · kTiles queries of kWidth components (those beyond head_dim are 0), by one warp that meets
// kKeys keys at a time. A lane has, of tile i, rows lane / 4 + 8r for r = 0, 1, in the columns that
// mma_bf16 gives it.
template <int kWidth, int kTiles_, int kKeys>
struct MmaQueries {
  static constexpr int kTiles = kTiles_, kLine = kMmaLine<kWidth>, kKeyTiles = kKeys / 8,
                       kOutTiles = kWidth / 8, kDeep = kWidth / 16;
  using Scores = float[kTiles][kKeyTiles][4];
  using Ends = int[kTiles][2];

  float out[kTiles][kOutTiles][4];
  float highest[kTiles][2], sum[kTiles][2];  // sum: of this lane's columns
};

template <class Q>
__device__ inline void clear(Q& q) {
  OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) {
    OMNI_UNROLL for (int r = 0; r < 2; ++r) q.highest[i][r] = -INFINITY, q.sum[i][r] = 0;
    OMNI_UNROLL for (int j = 0; j < Q::kOutTiles; ++j) OMNI_UNROLL for (int c = 0; c < 4; ++c)
        q.out[i][j][c] = 0;
  }
}

// s ← q · kᵀ. query: [16 · kTiles, kLine], key: [kKeys, kLine], both shared.
template <class Q>
__device__ inline void multiply(typename Q::Scores& s, const bf16* query, const bf16* key) {
  const int lane = int(threadIdx.x) % 32;
  query += lane % 16 * Q::kLine + lane / 16 * 8;
  key += (lane % 8 + lane / 16 * 8) * Q::kLine + lane / 8 % 2 * 8;
  OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) OMNI_UNROLL for (int j = 0; j < Q::kKeyTiles; ++j)
      OMNI_UNROLL for (int c = 0; c < 4; ++c) s[i][j][c] = 0;
  OMNI_UNROLL for (int d = 0; d < Q::kDeep; ++d) {
    uint32_t a[Q::kTiles][4];
    OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i)
        load_matrices(a[i], query + i * 16 * Q::kLine + d * 16);
    OMNI_UNROLL for (int j = 0; j < Q::kKeyTiles; j += 2) {
      uint32_t b[4];
      load_matrices(b, key + j * 8 * Q::kLine + d * 16);
      OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) {
        mma_bf16(s[i][j], a[i], b[0], b[1]);
        mma_bf16(s[i][j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// Hides what is outside [first, end[i][r]) from a row; the first of the keys is `at`.
template <class Q>
__device__ inline void hide(typename Q::Scores& s, int at, int first, const typename Q::Ends& end) {
  at += int(threadIdx.x) % 4 * 2;
  OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) OMNI_UNROLL for (int j = 0; j < Q::kKeyTiles; ++j)
      OMNI_UNROLL for (int c = 0; c < 4; ++c) {
    const int key = at + 8 * j + c % 2;
    if (key < first || key >= end[i][c / 2]) s[i][j][c] = -INFINITY;
  }
}

// s ← 2^(s · scale − highest), with what was summed so far moved to the new highest. That is as old
// as it may be: where it would grow by little, powers of 2 above 1 are as good.
template <class Q>
__device__ inline void soften(Q& q, typename Q::Scores& s, float scale) {
  constexpr float kLittle = 8;
  float shrink[Q::kTiles][2];
  bool grows = false;
  OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) OMNI_UNROLL for (int r = 0; r < 2; ++r) {
    float top = -INFINITY;
    OMNI_UNROLL for (int j = 0; j < Q::kKeyTiles; ++j) top =
        fmaxf(top, fmaxf(s[i][j][2 * r], s[i][j][2 * r + 1]));
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
    top = scale * fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
    float& highest = q.highest[i][r];
    shrink[i][r] = 1;
    if (top > highest + kLittle) {
      shrink[i][r] = fast_exp2(highest - top);
      highest = top, grows = true;
    }
    const float base = highest == -INFINITY ? 0 : highest;  // nothing seen yet
    float more = 0;
    OMNI_UNROLL for (int j = 0; j < Q::kKeyTiles; ++j)
        OMNI_UNROLL for (int c = 2 * r; c < 2 * r + 2; ++c) {
      s[i][j][c] = fast_exp2(s[i][j][c] * scale - base);
      more += s[i][j][c];
    }
    q.sum[i][r] = q.sum[i][r] * shrink[i][r] + more;
  }
  if (!__any_sync(0xffffffffu, grows)) return;
  OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) OMNI_UNROLL for (int j = 0; j < Q::kOutTiles; ++j)
      OMNI_UNROLL for (int c = 0; c < 4; ++c) q.out[i][j][c] *= shrink[i][c / 2];
}

// out ← out + s · v. value: [kKeys, kLine], shared.
template <class Q>
__device__ inline void add_values(Q& q, const typename Q::Scores& s, const bf16* value) {
  const int lane = int(threadIdx.x) % 32;
  value += lane % 16 * Q::kLine + lane / 16 * 8;
  OMNI_UNROLL for (int j = 0; j < Q::kKeyTiles; j += 2) {
    uint32_t a[Q::kTiles][4];
    OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) OMNI_UNROLL for (int c = 0; c < 4; ++c)
        a[i][c] = two_bf16(s[i][j + c / 2][c % 2 * 2], s[i][j + c / 2][c % 2 * 2 + 1]);
    OMNI_UNROLL for (int d = 0; d < Q::kOutTiles; d += 2) {
      uint32_t b[4];
      load_matrices<true>(b, value + j * 8 * Q::kLine + d * 8);
      OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) {
        mma_bf16(q.out[i][d], a[i], b[0], b[1]);
        mma_bf16(q.out[i][d + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// The first n rows, divided by their sums, to y: `stride` values from one to the next.
template <class Q, class Y>
__device__ inline void write_rows(const Q& q, Y* y, int64_t stride, int n, int head_dim) {
  const int row = int(threadIdx.x) % 32 / 4, column = int(threadIdx.x) % 4 * 2;
  OMNI_UNROLL for (int i = 0; i < Q::kTiles; ++i) OMNI_UNROLL for (int r = 0; r < 2; ++r) {
    float whole = q.sum[i][r];
    whole += __shfl_xor_sync(0xffffffffu, whole, 1);
    whole += __shfl_xor_sync(0xffffffffu, whole, 2);
    const int at = 16 * i + 8 * r + row;
    if (at >= n) continue;
    const float part = 1.f / whole;
    Y* to = y + at * stride + column;
    OMNI_UNROLL for (int j = 0; j < Q::kOutTiles; ++j) if (8 * j < head_dim)
        assign_two(to + 8 * j, q.out[i][j][2 * r] * part, q.out[i][j][2 * r + 1] * part);
  }
}

#endif

}  // namespace omni::cuda
