// Block (tile, head): a warp for 16 queries. While some keys and values are multiplied, the next
// ones are on their way to registers, from where they go rounded to shared memory.
#include "kernels/attention_mma.h"
#include "kernels/attention_ranges.h"

namespace omni::cuda {

namespace {

constexpr int kRows = 16;
// At a time: what there are registers for.
template <int kWidth, int kWarps>
constexpr int kKeys = kWidth > 80 && kWarps == 4 ? 32 : 64;

// kRowsAll rows of kWidth components by kThreads threads: on their way in registers, then in shared
// memory. Four threads share a row, each has every fourth four of it.
template <int kWidth, int kRowsAll, int kThreads>
struct Passage {
  static constexpr int kPass = kThreads / 4, kFours = kWidth / 16;
  static_assert(kRowsAll % kPass == 0);
  float4 four[kRowsAll / kPass][kFours];
};

// The first n rows behind `from`; zeros for the others and beyond head_dim.
template <int kWidth, int kRowsAll, int kThreads>
__device__ inline void fetch(Passage<kWidth, kRowsAll, kThreads>& p, const float* from,
                             int64_t stride, int n, int head_dim, bool wide) {
  using P = Passage<kWidth, kRowsAll, kThreads>;
  const int row = int(threadIdx.x) / 4, d = int(threadIdx.x) % 4 * 4;
  OMNI_UNROLL for (int i = 0; i < kRowsAll / P::kPass; ++i) {
    const float* x = from + (row + i * P::kPass) * stride + d;
    OMNI_UNROLL for (int j = 0; j < P::kFours; ++j) {
      p.four[i][j] = {0, 0, 0, 0};
      if (row + i * P::kPass >= n || d + 16 * j >= head_dim) continue;
      if (wide)
        p.four[i][j] = *reinterpret_cast<const float4*>(x + 16 * j);
      else
        p.four[i][j] = {x[16 * j], x[16 * j + 1], x[16 * j + 2], x[16 * j + 3]};
    }
  }
}
template <int kWidth, int kRowsAll, int kThreads>
__device__ inline void store(const Passage<kWidth, kRowsAll, kThreads>& p, bf16* to) {
  using P = Passage<kWidth, kRowsAll, kThreads>;
  to += int(threadIdx.x) / 4 * kMmaLine<kWidth> + int(threadIdx.x) % 4 * 4;
  OMNI_UNROLL for (int i = 0; i < kRowsAll / P::kPass; ++i)
      OMNI_UNROLL for (int j = 0; j < P::kFours; ++j) {
    const float4& x = p.four[i][j];
    *reinterpret_cast<uint2*>(to + i * P::kPass * kMmaLine<kWidth> + 16 * j) = {two_bf16(x.x, x.y),
                                                                                two_bf16(x.z, x.w)};
  }
}

template <int kWidth, int kWarps>
__global__ void __launch_bounds__(32 * kWarps)
    attention_ranges_kernel(const float* __restrict__ q, const float* __restrict__ k,
                            const float* __restrict__ v, bf16* __restrict__ y,
                            const AttentionTile* __restrict__ tiles, AttentionShape s, float scale,
                            bool wide) {
  constexpr int kLine = kMmaLine<kWidth>, kThreads = 32 * kWarps, kStep = kKeys<kWidth, kWarps>;
  using Warp = MmaQueries<kWidth, 1, kStep>;
  OMNI_DYNAMIC_SHARED(bf16, query);
  bf16 *key = query + kWarps * kRows * kLine, *value = key + kStep * kLine;
  const AttentionTile tile = tiles[blockIdx.x];
  const int head = int(blockIdx.y), head_dim = s.head_dim,
            kv_head = head / (s.n_heads / s.n_kv_heads), first = int(threadIdx.x) / 32 * kRows,
            n_mine = min(kRows, tile.n_queries - first);
  k += tile.first_key * s.k_stride + int64_t(kv_head) * head_dim;
  v += tile.first_key * s.v_stride + int64_t(kv_head) * head_dim;

  Passage<kWidth, kStep, kThreads> next_key, next_value;
  fetch(next_key, k, s.k_stride, tile.n_keys, head_dim, wide);
  {
    Passage<kWidth, kWarps * kRows, kThreads> queries;
    fetch(queries, q + tile.begin * s.q_stride + int64_t(head) * head_dim, s.q_stride,
          tile.n_queries, head_dim, wide);
    fetch(next_value, v, s.v_stride, tile.n_keys, head_dim, wide);
    store(queries, query);
  }
  Warp queries;
  clear(queries);
  for (int begin = 0; begin < tile.n_keys; begin += kStep) {
    const int left = tile.n_keys - begin;
    __syncthreads();  // keys and values may still be read
    store(next_key, key);
    store(next_value, value);
    __syncthreads();
    if (left > kStep) {
      k += kStep * s.k_stride, v += kStep * s.v_stride;
      fetch(next_key, k, s.k_stride, left - kStep, head_dim, wide);
      fetch(next_value, v, s.v_stride, left - kStep, head_dim, wide);
    }
    if (n_mine <= 0) continue;
    typename Warp::Scores scores;
    multiply<Warp>(scores, query + first * kLine, key);
    if (left < kStep) hide<Warp>(scores, 0, 0, {{left, left}});
    soften(queries, scores, scale);
    add_values(queries, scores, value);
  }
  if (n_mine > 0)
    write_rows(queries, y + ((tile.begin + first) * s.n_heads + head) * head_dim,
               int64_t(s.n_heads) * head_dim, n_mine, head_dim);
}

template <int kWidth, int kWarps>
cudaError_t attend(const float* q, const float* k, const float* v, bf16* y,
                   const AttentionTile* tiles, int n_tiles, const AttentionShape& s,
                   cudaStream_t stream) {
  bool wide = true;
  for (const float* p : {q, k, v}) wide = wide && reinterpret_cast<uintptr_t>(p) % 16 == 0;
  for (const int64_t stride : {s.q_stride, s.k_stride, s.v_stride}) wide = wide && stride % 4 == 0;
  constexpr unsigned kShared =
      (kWarps * kRows + 2 * kKeys<kWidth, kWarps>)*kMmaLine<kWidth> * sizeof(bf16);
  constexpr float kLog2E = 1.44269504f;
  return launch("attention_ranges", attention_ranges_kernel<kWidth, kWarps>,
                {{unsigned(n_tiles), unsigned(s.n_heads)}, {32 * kWarps}, kShared}, stream, q, k, v,
                y, tiles, s, kLog2E / sqrtf(float(s.head_dim)), wide);
}

}  // namespace

bool can_attend_to_ranges(const AttentionShape& s) {
  return s.head_dim >= 8 && s.head_dim % 8 == 0 && s.head_dim <= kWidestMmaHead;
}

cudaError_t attention_ranges(const float* q, const float* k, const float* v, bf16* y,
                             const AttentionTile* tiles, int n_tiles, int tile_queries,
                             const AttentionShape& s, cudaStream_t stream) {
  if (!can_attend_to_ranges(s) || s.n_kv_heads < 1 || s.n_heads % s.n_kv_heads ||
      (tile_queries != 64 && tile_queries != 128))
    return cudaErrorInvalidValue;
  if (n_tiles == 0) return cudaSuccess;
  const bool few = tile_queries == 64;
  const auto run = s.head_dim <= 64   ? (few ? attend<64, 4> : attend<64, 8>)
                   : s.head_dim <= 80 ? (few ? attend<80, 4> : attend<80, 8>)
                   : s.head_dim <= 96 ? (few ? attend<96, 4> : attend<96, 8>)
                                      : (few ? attend<128, 4> : attend<128, 8>);
  return run(q, k, v, y, tiles, n_tiles, s, stream);
}

}  // namespace omni::cuda
