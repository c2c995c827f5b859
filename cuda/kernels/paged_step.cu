#include "kernels/paged_decode.h"
#include "kernels/paged_step.h"
#include "kernels/stretch_mma.h"

namespace omni::cuda {

namespace {

constexpr int kMostJoined = 16;  // stretches that a block joins; more are another kernel's

__device__ inline Rotary angles_of(const StepRows& all, int lane) {
  Rotary r = all.q_angles[0];
  OMNI_UNROLL for (int l = 1; l < kMostLanes; ++l) if (lane == l) r = all.q_angles[l];
  return r;
}

// A block's queries, rotated and over √head_dim, and the token's own key and value as they are
// stored, in shared memory.
template <int kWidth>
struct StepShared {
  static constexpr int kLine = kWidth + 4;
  float* query;  // [kStretchHeads][kLine]
  bf16* own;     // key, value: [2][kWidth]
};

// A thread a pair of components, of some rows. page: nullptr, or where the own row goes.
template <int kWidth>
__device__ inline void rotate_rows(const StepShared<kWidth>& to, const StepRows& of, int token,
                                   int lane, const StretchHeads& h, bf16* page, const PagedShape& s,
                                   float scale) {
  constexpr int kHalf = kWidth / 2, kRows = kStretchThreads / kHalf,  // at a time
      kTimes = (kStretchHeads + 2 + kRows - 1) / kRows;
  const Rotary of_q = angles_of(of, lane);
  const int first_row = int(threadIdx.x) / kHalf, c = int(threadIdx.x) % kHalf;
  const auto is_there = [&](int row) {
    return row < kStretchHeads ? row < h.n_heads : page && row < kStretchHeads + 2;
  };
  float a[kTimes], b[kTimes], cos[kTimes], sin[kTimes];
  OMNI_UNROLL for (int j = 0; j < kTimes; ++j) {  // all of it is asked for before any of it is used
    const int row = first_row + j * kRows;
    const bool is_query = row < kStretchHeads, is_key = row == kStretchHeads;
    const float* const base = is_query ? of.q : is_key ? of.k : of.v;
    const int64_t stride = is_query ? of.q_stride : is_key ? of.k_stride : of.v_stride;
    const float* const from =
        base + token * stride + int64_t(is_query ? h.head + row : h.kv_head) * kWidth + c;
    const int64_t angle = int64_t(token) * kHalf + c;
    const bool there = is_there(row), turns = there && row <= kStretchHeads;
    a[j] = there ? from[0] : 0, b[j] = there ? from[kHalf] : 0;
    cos[j] = turns ? (is_query ? of_q : of.k_angles).cos[angle] : 0;
    sin[j] = turns ? (is_query ? of_q : of.k_angles).sin[angle] : 0;
  }
  OMNI_UNROLL for (int j = 0; j < kTimes; ++j) {
    const int row = first_row + j * kRows;
    const bool is_query = row < kStretchHeads, is_key = row == kStretchHeads;
    if (!is_there(row)) continue;
    const float first = a[j] * cos[j] - b[j] * sin[j], second = b[j] * cos[j] + a[j] * sin[j];
    if (is_query) {
      float* const q = to.query + row * StepShared<kWidth>::kLine + c;
      q[0] = first * scale, q[kHalf] = second * scale;
      continue;
    }
    bf16* const own = to.own + (is_key ? 0 : kWidth) + c;
    assign(own[0], is_key ? first : a[j]), assign(own[kHalf], is_key ? second : b[j]);
    if (!h.is_first) continue;
    bf16* const stored = page + (is_key ? s.keys : s.values) + c;
    stored[0] = own[0], stored[kHalf] = own[kHalf];
  }
}

// The token's own key and value become the warp's, number `own` of them.
template <int kWidth>
__device__ inline void take_own(WarpKeys<kWidth>& keys, int own, const bf16* from) {
  OMNI_UNROLL for (int i = 0; i < 2; ++i) if (key_of(i) == own)
      OMNI_UNROLL for (int c = 0; c < kWidth / 32; ++c)
          keys.k[i][c] = *reinterpret_cast<const uint4*>(from + key_component(c));
  OMNI_UNROLL for (int i = 0; i < 4; ++i) if (value_of(i) == own)
      OMNI_UNROLL for (int c = 0; c < kWidth / 64; ++c)
          keys.v[i][c] = *reinterpret_cast<const uint4*>(from + kWidth + value_component(c));
}

// A warp for a head: what paged_join_kernel does with n stretches of partial, up to kMostJoined, in
// its order.
template <int kWidth, class Y>
__device__ inline void join_stretches(const float* partial, int n, Y* y) {
  constexpr int kEach = kJoinWarps, kPairs = kWidth / 64, kToNext = kWidth + 2;
  const int lane = int(threadIdx.x) % 32;
  const float2 own =
      lane < n ? load_written(reinterpret_cast<const float2*>(partial + int64_t(lane) * kToNext))
               : float2{-INFINITY, 0};
  float2 sum[kEach][kPairs], v[kEach][kPairs];
  float weight[kEach];
  const auto load = [&](int first) {
    OMNI_UNROLL for (int w = 0; w < kEach; ++w) OMNI_UNROLL for (int p = 0; p < kPairs; ++p)
        v[w][p] =
            first + w < n ? load_written(reinterpret_cast<const float2*>(
                                partial + int64_t(first + w) * kToNext + 2 + 64 * p + 2 * lane))
                          : float2{0, 0};
  };
  load(0);  // on its way while the shares are made
  const float my_share = __expf(own.x - warp_max(own.x));
  OMNI_UNROLL for (int first = 0; first < kMostJoined; first += kEach) {
    if (first >= n) break;
    if (first) load(first);
    OMNI_UNROLL for (int w = 0; w < kEach; ++w) {
      const float share = __shfl_sync(0xffffffffu, my_share, first + w),
                  its = __shfl_sync(0xffffffffu, own.y, first + w);
      weight[w] = fmaf(share, its, first ? weight[w] : 0.f);
      OMNI_UNROLL for (int p = 0; p < kPairs; ++p) {
        sum[w][p].x = fmaf(share, v[w][p].x, first ? sum[w][p].x : 0.f);
        sum[w][p].y = fmaf(share, v[w][p].y, first ? sum[w][p].y : 0.f);
      }
    }
  }
  float weights = 0;
  OMNI_UNROLL for (int w = 0; w < kEach; ++w) weights += weight[w];
  OMNI_UNROLL for (int p = 0; p < kPairs; ++p) {
    float2 total{0, 0};
    OMNI_UNROLL for (int w = 0; w < kEach; ++w) total.x += sum[w][p].x, total.y += sum[w][p].y;
    assign_two(y + 64 * p + 2 * lane, total.x / weights, total.y / weights);
  }
}

// Block (stretch, key head and part of its group, token).
template <int kWidth, class Y>
__global__ void __launch_bounds__(kStretchThreads, 2)
    paged_step_kernel(StepRows of, const PageSlot* __restrict__ slots,
                      void* const* __restrict__ tables, const SeenRows* __restrict__ seen,
                      int* counters, float* partial, Y* y, PagedShape s, float scale) {
  OMNI_SHARED(float, sums, kStretchWarps* kStretchHeads* WarpSums<kWidth>::kLine);
  OMNI_SHARED(float, highest, kStretchWarps* kStretchHeads);
  OMNI_SHARED(float, weights, kStretchWarps* kStretchHeads);
  OMNI_SHARED(float, queries, kStretchHeads* StepShared<kWidth>::kLine);
  OMNI_SHARED(bf16, own_row, 2 * kWidth);
  const WarpSums<kWidth> shared{sums, highest, weights};
  const int token = int(blockIdx.z), warp = int(threadIdx.x) / 32,
            group_row = int(threadIdx.x) % 32 / 4;
  const StretchHeads h = stretch_heads(s, int(blockIdx.y));
  int lane = 0;
  const SeenRows rows = stretch_rows(seen, token, s.n_lanes, int(blockIdx.x), lane);
  const int n = rows.end - rows.first, begin = rows.first + warp * kWarpKeys,
            n_mine = min(kWarpKeys, rows.end - begin), last = rows.end - 1;
  if (n <= 0) return;
  const PageSlot slot = slots[token];
  const bool has_own =
      tables[rows.table + last / kPageRows] == slot.page && last % kPageRows == int(slot.row);
  const int own = has_own && begin + n_mine == rows.end ? n_mine - 1 : -1;
  WarpKeys<kWidth> keys;
  if (n_mine > 0) {
    const void* const pages[2] = {tables[rows.table + begin / kPageRows],
                                  tables[rows.table + (begin + n_mine - 1) / kPageRows]};
    load_keys(keys, pages, begin, own < 0 ? n_mine : own, h.kv_head, s);
  }
  int n_stretches = 0;
  for (int l = 0; l < s.n_lanes; ++l)
    n_stretches += stretches_of(seen[int64_t(token) * s.n_lanes + l]);
  wait_for_input_first();
  bf16* const page = static_cast<bf16*>(slot.page) + (slot.row * s.n_kv_heads + h.kv_head) * kWidth;
  rotate_rows<kWidth>({queries, own_row}, of, token, lane, h, has_own ? page : nullptr, s, scale);
  __syncthreads();

  if (n_mine > 0) {
    if (own >= 0) take_own(keys, own, own_row);
    const auto query = [&](int c, float(&x)[8]) {
      const float* from = queries + group_row * StepShared<kWidth>::kLine + key_component(c);
      if (group_row < h.n_heads)
        eight_floats(x, from, true);
      else
        OMNI_UNROLL for (int e = 0; e < 8; ++e) x[e] = 0;
    };
    attend_to_keys(keys, n_mine, query, shared);
  }
  __syncthreads();

  const bool joins = gridDim.x <= kMostJoined, whole = joins && n_stretches == 1;
  const int64_t head = int64_t(token) * s.n_heads + h.head + warp, to_next = kWidth + 2;
  Y* const result = y + head * kWidth;
  if (warp < h.n_heads)
    join_warps(shared, n, kWidth, partial + (head * gridDim.x + blockIdx.x) * to_next,
               whole ? result : nullptr);
  if (whole || !joins || warp >= h.n_heads) return;
  if (is_last_warp(counters + token * kStepCounters + h.head + warp, n_stretches))
    join_stretches<kWidth>(partial + head * gridDim.x * to_next, n_stretches, result);
}

}  // namespace

bool can_step(const PagedShape& s) {
  return (s.head_dim == 64 || s.head_dim == 128) && s.n_heads <= kStepCounters;
}

template <class Y>
cudaError_t paged_step(const StepRows& of, const PageSlot* slots, void* const* tables,
                       const SeenRows* seen, int n, int most_stretches, int* counters,
                       float* partial, Y* y, const PagedShape& s, cudaStream_t stream) {
  if (!can_step(s)) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  const unsigned parts = unsigned((s.n_heads / s.n_kv_heads + kStretchHeads - 1) / kStretchHeads);
  const auto kernel = s.head_dim == 64 ? paged_step_kernel<64, Y> : paged_step_kernel<128, Y>;
  const cudaError_t e = launch_early(
      "paged_step", kernel,
      {{unsigned(most_stretches), unsigned(s.n_kv_heads) * parts, unsigned(n)}, {kStretchThreads}},
      stream, of, slots, tables, seen, counters, partial, y, s, 1.f / sqrtf(float(s.head_dim)));
  if (e != cudaSuccess || most_stretches <= kMostJoined) return e;
  return paged_join(partial, seen, nullptr, n, most_stretches, y, s, stream);
}

template cudaError_t paged_step<float>(const StepRows&, const PageSlot*, void* const*,
                                       const SeenRows*, int, int, int*, float*, float*,
                                       const PagedShape&, cudaStream_t);
template cudaError_t paged_step<bf16>(const StepRows&, const PageSlot*, void* const*,
                                      const SeenRows*, int, int, int*, float*, bf16*,
                                      const PagedShape&, cudaStream_t);

}  // namespace omni::cuda
