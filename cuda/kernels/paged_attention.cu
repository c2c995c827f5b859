// Block (part of a tile, head): four warps, four queries each. A lane of a warp holds a key's
// score, then a part of the head of the sum.
#include "kernels/attention_step.h"
#include "kernels/paged_attention.h"

namespace omni::cuda {

namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps, kPartQueries = 16,
              kQueries = kPartQueries / kWarps, kParts = kPagedTileQueries / kPartQueries,
              kKeys = kStepKeys;

// A thread a component of key and value.
template <class T>
__global__ void __launch_bounds__(kOneEach)
    append_to_pages_kernel(const float* __restrict__ k, int64_t k_stride,
                           const float* __restrict__ v, int64_t v_stride,
                           const PageSlot* __restrict__ slots, int64_t n, PagedShape s) {
  const int64_t i = one_each_index(), width = int64_t(s.n_kv_heads) * s.head_dim;
  if (i >= n * width) return;
  const int64_t token = i / width, c = i % width;
  const PageSlot slot = slots[token];
  T* to = static_cast<T*>(slot.page) + slot.row * width + c;
  assign(to[s.keys], k[token * k_stride + c]);
  assign(to[s.values], v[token * v_stride + c]);
}

template <class T, class Y, int kWidth>  // at least head_dim, a multiple of 32: how much shared
                                         // memory a block needs decides how many fit
__global__ void __launch_bounds__(kThreads)
    paged_attention_kernel(LaneQueries q, void* const* __restrict__ tables,
                           const SeenRows* __restrict__ seen, const QueryRange* __restrict__ tiles,
                           Y* __restrict__ y, PagedShape s, float scale) {
  constexpr int kColumns = kWidth / 32;
  OMNI_SHARED(float, query, kPartQueries* kWidth);
  OMNI_SHARED(float, key, kKeys*(kWidth + 1));
  OMNI_SHARED(float, value, kKeys* kWidth);
  OMNI_SHARED(float, weight, kWarps* kKeys);
  QueryRange tile = tiles[blockIdx.x / kParts];
  tile.begin += int(blockIdx.x) % kParts * kPartQueries;
  if (tile.begin >= tile.end) return;
  const int n_queries = min(kPartQueries, tile.end - tile.begin), head = int(blockIdx.y),
            head_dim = s.head_dim, kv_head = head / (s.n_heads / s.n_kv_heads),
            lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  seen += int64_t(tile.begin) * s.n_lanes;
  y += (int64_t(tile.begin) * s.n_heads + head) * head_dim;

  float highest[kQueries], sum[kQueries], part[kQueries][kColumns];
  OMNI_UNROLL for (int i = 0; i < kQueries; ++i) {
    highest[i] = -INFINITY, sum[i] = 0;
    for (int p = 0; p < kColumns; ++p) part[i][p] = 0;
  }

  for (int l = 0; l < s.n_lanes; ++l) {
    const SeenRows last = seen[(n_queries - 1) * s.n_lanes + l];
    if (last.first == last.end) continue;
    const Queries of = of_lane(q, l);
    __syncthreads();  // the queries may still be read
    for (int i = int(threadIdx.x); i < n_queries * head_dim; i += kThreads)
      query[i] =
          of.q[(tile.begin + i / head_dim) * of.stride + head * head_dim + i % head_dim] * scale;
    for (int begin = last.first; begin < last.end; begin += kKeys) {
      const int n = min(kKeys, last.end - begin);
      __syncthreads();  // keys and values may still be read; the first time, queries are written
      for (int i = int(threadIdx.x); i < n * head_dim; i += kThreads) {
        const int row = i / head_dim, c = i % head_dim;
        const T* from = row_in_page<T>(tables, last.table, begin + row, kv_head, s) + c;
        key[row * (kWidth + 1) + c] = to_float(from[s.keys]);
        value[row * kWidth + c] = to_float(from[s.values]);
      }
      __syncthreads();
      OMNI_UNROLL for (int i = 0; i < kQueries; ++i) {
        const int mine = warp * kQueries + i,
                  visible = mine < n_queries ? min(n, seen[mine * s.n_lanes + l].end - begin) : 0;
        if (visible <= 0) continue;
        attend<kWidth>(query + mine * head_dim, key, value, weight + warp * kKeys, visible,
                       head_dim, highest[i], sum[i], part[i]);
      }
    }
  }
  OMNI_UNROLL for (int i = 0; i < kQueries; ++i) {
    const int mine = warp * kQueries + i;
    for (int p = 0; p < kColumns; ++p)
      if (mine < n_queries && lane + 32 * p < head_dim)
        assign(y[int64_t(mine) * s.n_heads * head_dim + lane + 32 * p], part[i][p] / sum[i]);
  }
}

}  // namespace

template <class T>
cudaError_t append_to_pages(const float* k, int64_t k_stride, const float* v, int64_t v_stride,
                            const PageSlot* slots, int64_t n, const PagedShape& s,
                            cudaStream_t stream) {
  return n ? launch("append_to_pages", append_to_pages_kernel<T>,
                    one_each(n * s.n_kv_heads * s.head_dim), stream, k, k_stride, v, v_stride,
                    slots, n, s)
           : cudaSuccess;
}

template <class T, class Y>
cudaError_t paged_attention(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                            const QueryRange* tiles, int n_tiles, Y* y, const PagedShape& s,
                            cudaStream_t stream) {
  if (s.head_dim < 1 || s.head_dim > kWidestPagedHead || s.n_kv_heads < 1 ||
      s.n_heads % s.n_kv_heads)
    return cudaErrorInvalidValue;
  if (n_tiles == 0) return cudaSuccess;
  const auto kernel = s.head_dim <= 64 ? paged_attention_kernel<T, Y, 64>
                                       : paged_attention_kernel<T, Y, kWidestPagedHead>;
  return launch("paged_attention", kernel,
                {{unsigned(n_tiles * kParts), unsigned(s.n_heads)}, {kThreads}}, stream, q, tables,
                seen, tiles, y, s, 1.f / sqrtf(float(s.head_dim)));
}

template cudaError_t append_to_pages<float>(const float*, int64_t, const float*, int64_t,
                                            const PageSlot*, int64_t, const PagedShape&,
                                            cudaStream_t);
template cudaError_t append_to_pages<bf16>(const float*, int64_t, const float*, int64_t,
                                           const PageSlot*, int64_t, const PagedShape&,
                                           cudaStream_t);
#define OMNI_PAGED_ATTENTION(T, Y)                                                           \
  template cudaError_t paged_attention<T>(const LaneQueries&, void* const*, const SeenRows*, \
                                          const QueryRange*, int, Y*, const PagedShape&,     \
                                          cudaStream_t);
OMNI_PAGED_ATTENTION(float, float)
OMNI_PAGED_ATTENTION(float, bf16)
OMNI_PAGED_ATTENTION(bf16, float)
OMNI_PAGED_ATTENTION(bf16, bf16)
#undef OMNI_PAGED_ATTENTION

}  // namespace omni::cuda
