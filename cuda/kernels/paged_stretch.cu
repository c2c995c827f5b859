// Block (stretch, key head and part of its group, token): eight warps, 16 keys each, which they
// load whole before they multiply. Nothing of it passes through shared memory: a sum over
// components may be taken in any order, so sixteen bytes of a key in one lane serve as the
// fragments of two products, and sixteen bytes of a value as those of eight.
#include "kernels/attention_mma.h"
#include "kernels/paged_stretch.h"

namespace omni::cuda {

namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps, kWarpKeys = kStretchKeys / kWarps, kHeads = 8;
static_assert(kWarpKeys == 16);

__device__ inline uint32_t word_of(const uint4& x, int i) {
  return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w;
}

// What is left of two floats when they are rounded to bfloat16, rounded itself.
__device__ inline uint32_t rest_of(float low, float high, uint32_t rounded) {
  return two_bf16(low - low_bf16(rounded), high - high_bf16(rounded));
}

template <int kWidth, class Y>  // at least head_dim, a multiple of 64
__global__ void __launch_bounds__(kThreads, 2)
    paged_stretch_mma_kernel(LaneQueries q, void* const* __restrict__ tables,
                             const SeenRows* __restrict__ seen, const int* __restrict__ tokens,
                             float* __restrict__ partial, Y* __restrict__ y, PagedShape s,
                             float scale, bool wide) {
  constexpr int kLine = kWidth + 4;
  OMNI_SHARED(float, sums, kWarps* kHeads* kLine);
  OMNI_SHARED(float, highest, kWarps* kHeads);
  OMNI_SHARED(float, weights, kWarps* kHeads);
  wait_for_input();
  const int token = tokens[blockIdx.z], head_dim = s.head_dim, warp = int(threadIdx.x) / 32,
            group_row = int(threadIdx.x) % 32 / 4, t = int(threadIdx.x) % 4;
  const int group = s.n_heads / s.n_kv_heads, parts = (group + kHeads - 1) / kHeads,
            kv_head = int(blockIdx.y) / parts, first_head = int(blockIdx.y) % parts * kHeads,
            n_heads = min(kHeads, group - first_head), head = kv_head * group + first_head;
  int lane = 0;
  const SeenRows rows = stretch_rows(seen, token, s.n_lanes, int(blockIdx.x), lane);
  const int n = rows.end - rows.first, mine = warp * kWarpKeys, n_mine = n - mine;
  if (n <= 0) return;

  if (n_mine > 0) {
    const int begin = rows.first + mine, first_page = begin / kPageRows,
              last_page = (begin + min(kWarpKeys, n_mine) - 1) / kPageRows;
    const void* const pages[2] = {tables[rows.table + first_page], tables[rows.table + last_page]};
    const auto at = [&](int key, int64_t what, int d) {
      const int row = begin + key;
      return static_cast<const bf16*>(row / kPageRows == first_page ? pages[0] : pages[1]) + what +
             (row % kPageRows * s.n_kv_heads + kv_head) * head_dim + d;
    };
    // keys group_row and 8 + group_row: components 32c + 8t …; values 2t, 2t + 1, 2t + 8, 2t + 9:
    // components 64c + 8 · group_row …
    uint4 k[2][kWidth / 32], v[4][kWidth / 64];
    OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int c = 0; c < kWidth / 32; ++c) {
      const int key = 8 * i + group_row, d = 32 * c + 8 * t;
      k[i][c] = key < n_mine && d < head_dim ? load_once(at(key, s.keys, d)) : uint4{0, 0, 0, 0};
    }
    OMNI_UNROLL for (int i = 0; i < 4; ++i) OMNI_UNROLL for (int c = 0; c < kWidth / 64; ++c) {
      const int key = 2 * t + i % 2 + i / 2 * 8, d = 64 * c + 8 * group_row;
      v[i][c] = key < n_mine && d < head_dim ? load_once(at(key, s.values, d)) : uint4{0, 0, 0, 0};
    }

    // rows 0 to 7 of the product: the heads, 8 to 15: what rounding left of them
    const Queries of = of_lane(q, lane);
    const float* from = of.q + token * of.stride + int64_t(head + group_row) * head_dim + 8 * t;
    float score[2][4];
    OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int e = 0; e < 4; ++e) score[i][e] = 0;
    OMNI_UNROLL for (int c = 0; c < kWidth / 32; ++c) {
      float x[8];
      if (group_row < n_heads && 32 * c + 8 * t < head_dim)
        eight_floats(x, from + 32 * c, wide);
      else
        OMNI_UNROLL for (int e = 0; e < 8; ++e) x[e] = 0;
      OMNI_UNROLL for (int e = 0; e < 8; ++e) x[e] *= scale;
      OMNI_UNROLL for (int part = 0; part < 2; ++part) {
        const float* f = x + 4 * part;
        uint32_t a[4] = {two_bf16(f[0], f[1]), 0, two_bf16(f[2], f[3]), 0};
        a[1] = rest_of(f[0], f[1], a[0]), a[3] = rest_of(f[2], f[3], a[2]);
        OMNI_UNROLL for (int i = 0; i < 2; ++i)
            mma_bf16(score[i], a, word_of(k[i][c], 2 * part), word_of(k[i][c], 2 * part + 1));
      }
    }

    float top = -INFINITY, weight = 0, p[2][2];
    OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int e = 0; e < 2; ++e) {
      p[i][e] = 8 * i + 2 * t + e < n_mine ? score[i][e] + score[i][2 + e] : -INFINITY;
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
    if (t == 0)
      highest[warp * kHeads + group_row] = top, weights[warp * kHeads + group_row] = weight;

    uint32_t a[4] = {two_bf16(p[0][0], p[0][1]), 0, two_bf16(p[1][0], p[1][1]), 0};
    a[1] = rest_of(p[0][0], p[0][1], a[0]), a[3] = rest_of(p[1][0], p[1][1], a[2]);
    OMNI_UNROLL for (int c = 0; c < kWidth / 64; ++c) {
      float out[8][4];  // of columns 64c + 8 · (2t) + j and 64c + 8 · (2t + 1) + j
      OMNI_UNROLL for (int j = 0; j < 8; ++j) {
        OMNI_UNROLL for (int e = 0; e < 4; ++e) out[j][e] = 0;
        uint32_t b[2];
        OMNI_UNROLL for (int i = 0; i < 2; ++i) {
          const uint32_t even = word_of(v[2 * i][c], j / 2), odd = word_of(v[2 * i + 1][c], j / 2);
          b[i] = j % 2 ? even >> 16 | (odd & 0xffff0000u) : (even & 0xffffu) | odd << 16;
        }
        mma_bf16(out[j], a, b);
      }
      float* to = sums + (warp * kHeads + group_row) * kLine + 64 * c + 16 * t;
      OMNI_UNROLL for (int e = 0; e < 2; ++e) OMNI_UNROLL for (int j = 0; j < 8; j += 4) *
          reinterpret_cast<float4*>(to + 8 * e + j) = {
          out[j][e] + out[j][2 + e], out[j + 1][e] + out[j + 1][2 + e],
          out[j + 2][e] + out[j + 2][2 + e], out[j + 3][e] + out[j + 3][2 + e]};
    }
  }
  __syncthreads();

  // a warp a head: the warps' sums, each by how far its maximum is below the highest
  if (warp >= n_heads) return;
  const int n_warps = (n + kWarpKeys - 1) / kWarpKeys;
  float top = -INFINITY, weight = 0, share[kWarps];
  OMNI_UNROLL for (int w = 0; w < kWarps; ++w) if (w < n_warps) top =
      fmaxf(top, highest[w * kHeads + warp]);
  OMNI_UNROLL for (int w = 0; w < kWarps; ++w) if (w < n_warps) {
    share[w] = __expf(highest[w * kHeads + warp] - top);
    weight += share[w] * weights[w * kHeads + warp];
  }
  const bool whole = gridDim.x == 1;
  partial +=
      ((int64_t(blockIdx.z) * s.n_heads + head + warp) * gridDim.x + blockIdx.x) * (head_dim + 2);
  if (!whole && threadIdx.x % 32 == 0) partial[0] = top, partial[1] = weight;
  for (int d = int(threadIdx.x) % 32; d < head_dim; d += 32) {
    float sum = 0;
    OMNI_UNROLL for (int w = 0; w < kWarps; ++w) if (w < n_warps) sum +=
        share[w] * sums[(w * kHeads + warp) * kLine + d];
    if (whole)
      assign(y[(int64_t(token) * s.n_heads + head + warp) * head_dim + d], sum / weight);
    else
      partial[2 + d] = sum;
  }
}

}  // namespace

bool can_stretch(const PagedShape& s) {
  return s.head_dim >= 8 && s.head_dim % 8 == 0 && s.head_dim <= kWidestMmaHead;
}

template <class Y>
cudaError_t paged_stretch(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                          const int* tokens, int n_tokens, int most_stretches, float* partial, Y* y,
                          const PagedShape& s, cudaStream_t stream) {
  const unsigned parts = unsigned((s.n_heads / s.n_kv_heads + kHeads - 1) / kHeads);
  const auto kernel =
      s.head_dim <= 64 ? paged_stretch_mma_kernel<64, Y> : paged_stretch_mma_kernel<128, Y>;
  return launch_early(
      "paged_stretch_mma", kernel,
      {{unsigned(most_stretches), unsigned(s.n_kv_heads) * parts, unsigned(n_tokens)}, {kThreads}},
      stream, q, tables, seen, tokens, partial, y, s, 1.f / sqrtf(float(s.head_dim)),
      is_wide(q, s));
}

template cudaError_t paged_stretch<float>(const LaneQueries&, void* const*, const SeenRows*,
                                          const int*, int, int, float*, float*, const PagedShape&,
                                          cudaStream_t);
template cudaError_t paged_stretch<bf16>(const LaneQueries&, void* const*, const SeenRows*,
                                         const int*, int, int, float*, bf16*, const PagedShape&,
                                         cudaStream_t);

}  // namespace omni::cuda
