#include <type_traits>

#include "kernels/paged_decode.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = kStretchKeys, kWarps = kThreads / 32;
constexpr int kComponents = 32;  // of the keys that are there at a time

// Block (stretch, key head and part of its group, token). Scores: the keys pass through shared
// memory some components at a time, a thread a key. Softmax against the stretch's own maximum: a
// warp a head. Values: a thread a component.
template <class T, int kHeads>  // query heads at a time
__global__ void __launch_bounds__(kThreads)
    paged_stretch_kernel(LaneQueries q, void* const* __restrict__ tables,
                         const SeenRows* __restrict__ seen, const int* __restrict__ tokens,
                         float* __restrict__ partial, PagedShape s, float scale) {
  OMNI_SHARED(float, query, kHeads* kWidestDecodeHead);
  OMNI_SHARED(float, key, kStretchKeys*(kComponents + 1));
  OMNI_SHARED(float, weight, kHeads* kStretchKeys);
  OMNI_SHARED(const T*, row_at, kStretchKeys);
  wait_for_input();
  const int token = tokens[blockIdx.z], head_dim = s.head_dim, me = int(threadIdx.x),
            lane = me % 32, warp = me / 32;
  const int group = s.n_heads / s.n_kv_heads, parts = (group + kHeads - 1) / kHeads,
            kv_head = int(blockIdx.y) / parts, first_head = int(blockIdx.y) % parts * kHeads,
            n_heads = min(kHeads, group - first_head), head = kv_head * group + first_head;
  int l = 0;
  const SeenRows rows = stretch_rows(seen, token, s.n_lanes, int(blockIdx.x), l);
  const int n = rows.end - rows.first;
  if (n <= 0) return;

  if (me < n) row_at[me] = row_in_page<T>(tables, rows.table, rows.first + me, kv_head, s);
  const Queries of = of_lane(q, l);
  const float* from = of.q + token * of.stride + int64_t(head) * head_dim;
  for (int i = me; i < kHeads * head_dim; i += kThreads)
    query[i] = i < n_heads * head_dim ? from[i] * scale : 0;
  float score[kHeads];
  OMNI_UNROLL for (int h = 0; h < kHeads; ++h) score[h] = 0;
  for (int c0 = 0; c0 < head_dim; c0 += kComponents) {
    const int width = min(kComponents, head_dim - c0);
    __syncthreads();  // keys may still be read; the first time, queries and rows are written
    if (lane < width)
      for (int j = warp; j < n; j += kWarps)
        key[j * (kComponents + 1) + lane] = to_float(row_at[j][s.keys + c0 + lane]);
    __syncthreads();
    if (me < n) {
      OMNI_UNROLL_2 for (int c = 0; c < width; ++c) {
        const float k = key[me * (kComponents + 1) + c];
        OMNI_UNROLL for (int h = 0; h < kHeads; ++h) score[h] += query[h * head_dim + c0 + c] * k;
      }
    }
  }
  OMNI_UNROLL for (int h = 0; h < kHeads; ++h) weight[h * kStretchKeys + me] =
      me < n ? score[h] : -INFINITY;
  __syncthreads();

  partial += ((int64_t(blockIdx.z) * s.n_heads + head) * gridDim.x + blockIdx.x) * (head_dim + 2);
  const int64_t to_next = int64_t(gridDim.x) * (head_dim + 2);  // head
  for (int h = warp; h < n_heads; h += kWarps) {
    float highest = -INFINITY, sum = 0;
    for (int j = lane; j < kStretchKeys; j += 32)
      highest = fmaxf(highest, weight[h * kStretchKeys + j]);
    highest = warp_max(highest);
    for (int j = lane; j < kStretchKeys; j += 32) {
      const float e = __expf(weight[h * kStretchKeys + j] - highest);
      weight[h * kStretchKeys + j] = e;
      sum += e;
    }
    sum = warp_sum(sum);
    if (lane == 0) partial[h * to_next] = highest, partial[h * to_next + 1] = sum;
  }
  __syncthreads();
  for (int c = me; c < head_dim; c += kThreads) {
    float total[kHeads];
    OMNI_UNROLL for (int h = 0; h < kHeads; ++h) total[h] = 0;
    for (int j = 0; j < n; ++j) {
      const float v = to_float(row_at[j][s.values + c]);
      OMNI_UNROLL for (int h = 0; h < kHeads; ++h) total[h] += weight[h * kStretchKeys + j] * v;
    }
    OMNI_UNROLL for (int h = 0; h < kHeads; ++h) if (h < n_heads) partial[h * to_next + 2 + c] =
        total[h];
  }
}

constexpr int kJoinThreads = 32 * kJoinWarps;

// Block (head, token): the stretches, each by how far its maximum is below the highest. A warp
// takes every eighth of them, a lane every 32nd component.
template <int kColumns, class Y>  // 32 · kColumns: at least head_dim
__global__ void __launch_bounds__(kJoinThreads)
    paged_join_kernel(const float* __restrict__ partial, const SeenRows* __restrict__ seen,
                      const int* __restrict__ tokens, int most_stretches, Y* __restrict__ y,
                      int n_heads, int head_dim, int n_lanes) {
  OMNI_SHARED(float, part_sum, kJoinWarps * 32 * kColumns);
  OMNI_SHARED(float, part_weight, kJoinWarps);
  wait_for_input();
  const int token = tokens ? tokens[blockIdx.y] : int(blockIdx.y), lane = int(threadIdx.x) % 32,
            warp = int(threadIdx.x) / 32;
  int n_stretches = 0;
  for (int l = 0; l < n_lanes; ++l) n_stretches += stretches_of(seen[int64_t(token) * n_lanes + l]);
  const int to_next = head_dim + 2;  // stretch
  partial += (int64_t(blockIdx.y) * n_heads + blockIdx.x) * most_stretches * to_next;
  float highest = -INFINITY;
  for (int i = lane; i < n_stretches; i += 32) highest = fmaxf(highest, partial[i * to_next]);
  highest = warp_max(highest);
  float sum[kColumns], weight = 0;
  OMNI_UNROLL for (int c = 0; c < kColumns; ++c) sum[c] = 0;
  OMNI_UNROLL_4 for (int i = warp; i < n_stretches; i += kJoinWarps) {
    const float* one = partial + i * to_next;
    const float share = __expf(one[0] - highest);
    weight = fmaf(share, one[1], weight);
    OMNI_UNROLL for (int c = 0; c < kColumns; ++c) if (32 * c + lane < head_dim) sum[c] =
        fmaf(share, one[2 + 32 * c + lane], sum[c]);
  }
  OMNI_UNROLL for (int c = 0; c < kColumns; ++c) part_sum[(warp * kColumns + c) * 32 + lane] =
      sum[c];
  if (lane == 0) part_weight[warp] = weight;
  __syncthreads();
  const int d = int(threadIdx.x);
  if (d >= head_dim) return;
  float total = 0, weights = 0;
  OMNI_UNROLL for (int w = 0; w < kJoinWarps; ++w) {
    total += part_sum[w * kColumns * 32 + d];
    weights += part_weight[w];
  }
  assign(y[(int64_t(token) * n_heads + blockIdx.x) * head_dim + d], total / weights);
}
static_assert(kJoinThreads >= kWidestDecodeHead);

template <class T>
cudaError_t stretches(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                      const int* tokens, int n_tokens, int most_stretches, float* partial,
                      const PagedShape& s, cudaStream_t stream) {
  const int group = s.n_heads / s.n_kv_heads, at_a_time = group == 1 ? 1 : group <= 4 ? 4 : 8;
  const auto kernel = at_a_time == 1   ? paged_stretch_kernel<T, 1>
                      : at_a_time == 4 ? paged_stretch_kernel<T, 4>
                                       : paged_stretch_kernel<T, 8>;
  const unsigned parts = unsigned((group + at_a_time - 1) / at_a_time);
  return launch_early(
      "paged_stretch", kernel,
      {{unsigned(most_stretches), unsigned(s.n_kv_heads) * parts, unsigned(n_tokens)}, {kThreads}},
      stream, q, tables, seen, tokens, partial, s, 1.f / sqrtf(float(s.head_dim)));
}

}  // namespace

template <class T, class Y>
cudaError_t paged_decode(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                         const int* tokens, int n_tokens, int most_stretches, float* partial, Y* y,
                         const PagedShape& s, cudaStream_t stream) {
  if (s.head_dim < 1 || s.head_dim > kWidestDecodeHead || s.n_kv_heads < 1 ||
      s.n_heads % s.n_kv_heads)
    return cudaErrorInvalidValue;
  if (n_tokens == 0) return cudaSuccess;
  const bool on_tensor_cores = std::is_same_v<T, bf16> && can_stretch(s);
  const cudaError_t e =
      on_tensor_cores
          ? paged_stretch(q, tables, seen, tokens, n_tokens, most_stretches, partial, y, s, stream)
          : stretches<T>(q, tables, seen, tokens, n_tokens, most_stretches, partial, s, stream);
  if (e != cudaSuccess || (on_tensor_cores && most_stretches == 1)) return e;
  return paged_join(partial, seen, tokens, n_tokens, most_stretches, y, s, stream);
}

template <class Y>
cudaError_t paged_join(const float* partial, const SeenRows* seen, const int* tokens, int n_tokens,
                       int most_stretches, Y* y, const PagedShape& s, cudaStream_t stream) {
  return launch_early(
      "paged_join",
      s.head_dim <= 128 ? paged_join_kernel<4, Y> : paged_join_kernel<kWidestDecodeHead / 32, Y>,
      {{unsigned(s.n_heads), unsigned(n_tokens)}, {kJoinThreads}}, stream, partial, seen, tokens,
      most_stretches, y, s.n_heads, s.head_dim, s.n_lanes);
}

#define OMNI_PAGED_DECODE(T, Y)                                                             \
  template cudaError_t paged_decode<T>(const LaneQueries&, void* const*, const SeenRows*,   \
                                       const int*, int, int, float*, Y*, const PagedShape&, \
                                       cudaStream_t);
OMNI_PAGED_DECODE(float, float)
OMNI_PAGED_DECODE(float, bf16)
OMNI_PAGED_DECODE(bf16, float)
OMNI_PAGED_DECODE(bf16, bf16)
#undef OMNI_PAGED_DECODE
template cudaError_t paged_join(const float*, const SeenRows*, const int*, int, int, float*,
                                const PagedShape&, cudaStream_t);
template cudaError_t paged_join(const float*, const SeenRows*, const int*, int, int, bf16*,
                                const PagedShape&, cudaStream_t);

}  // namespace omni::cuda
