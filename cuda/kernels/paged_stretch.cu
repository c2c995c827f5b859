#include "kernels/stretch_mma.h"

namespace omni::cuda {

namespace {

// Block (stretch, key head and part of its group, token).
template <int kWidth, class Y>  // at least head_dim, a multiple of 64
__global__ void __launch_bounds__(kStretchThreads, 2)
    paged_stretch_mma_kernel(LaneQueries q, void* const* __restrict__ tables,
                             const SeenRows* __restrict__ seen, const int* __restrict__ tokens,
                             float* __restrict__ partial, Y* __restrict__ y, PagedShape s,
                             float scale, bool wide) {
  OMNI_SHARED(float, sums, kStretchWarps* kStretchHeads* WarpSums<kWidth>::kLine);
  OMNI_SHARED(float, highest, kStretchWarps* kStretchHeads);
  OMNI_SHARED(float, weights, kStretchWarps* kStretchHeads);
  const WarpSums<kWidth> shared{sums, highest, weights};
  wait_for_input();
  const int token = tokens[blockIdx.z], head_dim = s.head_dim, warp = int(threadIdx.x) / 32,
            group_row = int(threadIdx.x) % 32 / 4;
  const StretchHeads h = stretch_heads(s, int(blockIdx.y));
  int lane = 0;
  const SeenRows rows = stretch_rows(seen, token, s.n_lanes, int(blockIdx.x), lane);
  const int n = rows.end - rows.first, begin = rows.first + warp * kWarpKeys,
            n_mine = min(kWarpKeys, rows.end - begin);
  if (n <= 0) return;

  if (n_mine > 0) {
    const void* const pages[2] = {tables[rows.table + begin / kPageRows],
                                  tables[rows.table + (begin + n_mine - 1) / kPageRows]};
    WarpKeys<kWidth> keys;
    load_keys(keys, pages, begin, n_mine, h.kv_head, s);
    const Queries of = of_lane(q, lane);
    const float* from = of.q + token * of.stride + int64_t(h.head + group_row) * head_dim;
    const auto query = [&](int c, float(&x)[8]) {
      const int d = key_component(c);
      if (group_row < h.n_heads && d < head_dim)
        eight_floats(x, from + d, wide);
      else
        OMNI_UNROLL for (int e = 0; e < 8; ++e) x[e] = 0;
      OMNI_UNROLL for (int e = 0; e < 8; ++e) x[e] *= scale;
    };
    attend_to_keys(keys, n_mine, query, shared);
  }
  __syncthreads();
  if (warp >= h.n_heads) return;
  const int64_t head = int64_t(blockIdx.z) * s.n_heads + h.head + warp;
  join_warps(
      shared, n, head_dim, partial + (head * gridDim.x + blockIdx.x) * (head_dim + 2),
      gridDim.x == 1 ? y + (int64_t(token) * s.n_heads + h.head + warp) * head_dim : nullptr);
}

}  // namespace

bool can_stretch(const PagedShape& s) {
  return s.head_dim >= 8 && s.head_dim % 8 == 0 && s.head_dim <= kWidestMmaHead;
}

template <class Y>
cudaError_t paged_stretch(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                          const int* tokens, int n_tokens, int most_stretches, float* partial, Y* y,
                          const PagedShape& s, cudaStream_t stream) {
  const unsigned parts = unsigned((s.n_heads / s.n_kv_heads + kStretchHeads - 1) / kStretchHeads);
  const auto kernel =
      s.head_dim <= 64 ? paged_stretch_mma_kernel<64, Y> : paged_stretch_mma_kernel<128, Y>;
  return launch_early(
      "paged_stretch_mma", kernel,
      {{unsigned(most_stretches), unsigned(s.n_kv_heads) * parts, unsigned(n_tokens)},
       {kStretchThreads}},
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
