// A block a tile and head: four warps, 32 queries each, meet one page's keys and values after the
// other, half a page at a time. A page's values come while its first keys are multiplied, the next
// one's keys meanwhile.
#include "kernels/attention_mma.h"
#include "kernels/paged_prefill.h"

namespace omni::cuda {

namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps, kRowTiles = 2, kRows = 16 * kRowTiles, kKeys = 32;
static_assert(kPagedTileQueries == kWarps * kRows && kPageRows == 2 * kKeys);

template <int kWidth>
constexpr unsigned kSharedBytes = (kPagedTileQueries + 3 * kPageRows) * kMmaLine<kWidth> *
                                  sizeof(bf16);

// Rows of a page to shared memory, zeros for those that are not of [first, end) and beyond
// head_dim: what is multiplied by 0 has to be a number.
template <int kWidth>
__device__ inline void fetch_page(bf16* to, const bf16* from, int first, int end,
                                  const PagedShape& s) {
  constexpr int kLanes = 8;  // of a row: as many bytes as a line of the cache
  const int row = int(threadIdx.x) / kLanes, d = int(threadIdx.x) % kLanes * 8,
            to_next = s.n_kv_heads * s.head_dim;  // row
  to += row * kMmaLine<kWidth> + d, from += row * to_next + d;
  OMNI_UNROLL for (int r = 0; r < kPageRows; r += kThreads / kLanes) {
    const bool seen = row + r >= first && row + r < end;
    OMNI_UNROLL for (int c = 0; c < kWidth; c += 8 * kLanes) {
      const bool wanted = seen && d + c < s.head_dim;
      if (c + 8 * kLanes <= kWidth || d + c < kWidth)
        copy_async(to + r * kMmaLine<kWidth> + c, from + c, wanted);
    }
    from += kThreads / kLanes * to_next;
  }
  end_copies();
}

// The last queries of a prompt see most: they begin first. But of the two blocks that share a
// multiprocessor from the beginning, the longer the first is, the shorter is the second.
__device__ inline int place_of(int block, int wave, int n_blocks) {
  const int end = min(2 * wave, n_blocks);
  return block < wave || block >= end ? block : wave + end - 1 - block;
}

template <int kWidth>
__global__ void __launch_bounds__(kThreads, 2)
    paged_prefill_kernel(LaneQueries q, void* const* __restrict__ tables,
                         const SeenRows* __restrict__ seen, const QueryRange* __restrict__ tiles,
                         bf16* __restrict__ y, int n_tiles, int wave, PagedShape s, float scale,
                         bool wide) {
  constexpr int kLine = kMmaLine<kWidth>;
  OMNI_DYNAMIC_SHARED(bf16, query);
  bf16 *key = query + kPagedTileQueries * kLine, *next_key = key + kPageRows * kLine,
       *value = next_key + kPageRows * kLine;
  const int place = place_of(int(blockIdx.x), wave, n_tiles * s.n_heads);
  const QueryRange tile = tiles[n_tiles - 1 - place / s.n_heads];
  const int head = place % s.n_heads, kv_head = head / (s.n_heads / s.n_kv_heads),
            warp = int(threadIdx.x) / 32, row = int(threadIdx.x) % 32 / 4,
            n_queries = tile.end - tile.begin, n_mine = min(kRows, n_queries - warp * kRows);
  const int begin = tile.begin, mine = begin + warp * kRows;
  using Warp = MmaQueries<kWidth, kRowTiles, kKeys>;
  Warp queries;
  clear(queries);

  for (int l = 0; l < s.n_lanes; ++l) {
    const SeenRows last = seen[int64_t(begin + n_queries - 1) * s.n_lanes + l];
    if (last.first == last.end) continue;
    int first_end = 0, last_end = 0;  // what this warp's queries see
    if (n_mine > 0) {
      first_end = seen[int64_t(mine) * s.n_lanes + l].end;
      last_end = seen[int64_t(mine + n_mine - 1) * s.n_lanes + l].end;
    }
    typename Warp::Ends end;
    OMNI_UNROLL for (int i = 0; i < kRowTiles; ++i) OMNI_UNROLL for (int r = 0; r < 2; ++r) {
      const int at = 16 * i + 8 * r + row;
      end[i][r] = at < n_mine ? seen[int64_t(mine + at) * s.n_lanes + l].end : 0;
    }
    const int64_t head_at = int64_t(kv_head) * s.head_dim;
    const auto page_of = [&](int first_row) {
      return static_cast<const bf16*>(tables[last.table + first_row / kPageRows]) + head_at;
    };
    int page_row = last.first / kPageRows * kPageRows;
    const bf16* page = page_of(page_row);
    __syncthreads();  // the last lane's may still be read
    fetch_page<kWidth>(key, page + s.keys, last.first - page_row, last.end - page_row, s);
    const Queries of = of_lane(q, l);
    OMNI_UNROLL_1 for (int at = int(threadIdx.x); at < kPagedTileQueries * kWidth / 8;
                       at += kThreads) {
      const int r = at / (kWidth / 8), d = at % (kWidth / 8) * 8;
      const bool there = r < n_queries && d < s.head_dim;
      const float* from = of.q + (begin + r) * of.stride + int64_t(head) * s.head_dim + d;
      uint4 eight = {0, 0, 0, 0};
      if (there) eight = eight_bf16(from, wide);
      *reinterpret_cast<uint4*>(query + r * kLine + d) = eight;
    }
    for (;;) {
      const int next_row = page_row + kPageRows;
      const bf16* next = next_row < last.end ? page_of(next_row) : nullptr;
      wait_for_copies<0>();
      __syncthreads();  // keys and queries are there, the last page's values are read
      fetch_page<kWidth>(value, page + s.values, last.first - page_row, last.end - page_row, s);
      if (next)
        fetch_page<kWidth>(next_key, next + s.keys, last.first - next_row, last.end - next_row, s);
      else
        end_copies();
      OMNI_UNROLL for (int part = 0; part < kPageRows; part += kKeys) {
        const int at = page_row + part;
        const bool sees = at < last_end && at + kKeys > last.first;
        typename Warp::Scores scores;
        if (sees) multiply<Warp>(scores, query + warp * kRows * kLine, key + part * kLine);
        if (part == 0) {
          wait_for_copies<1>();
          __syncthreads();  // values are there
        }
        if (!sees) continue;
        if (at < last.first || at + kKeys > first_end) hide<Warp>(scores, at, last.first, end);
        soften(queries, scores, scale);
        add_values(queries, scores, value + part * kLine);
      }
      if (!next) break;
      bf16* read = key;
      key = next_key, next_key = read;
      page = next, page_row = next_row;
    }
  }
  if (n_mine > 0)
    write_rows(queries, y + (int64_t(mine) * s.n_heads + head) * s.head_dim,
               int64_t(s.n_heads) * s.head_dim, n_mine, s.head_dim);
}

template <int kWidth>
cudaError_t prefill(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                    const QueryRange* tiles, int n_tiles, bf16* y, const PagedShape& s,
                    cudaStream_t stream) {
  constexpr float kLog2E = 1.44269504f;
  return launch("paged_prefill", paged_prefill_kernel<kWidth>,
                {{unsigned(s.n_heads * n_tiles)}, {kThreads}, kSharedBytes<kWidth>}, stream, q,
                tables, seen, tiles, y, n_tiles, n_multiprocessors(), s,
                kLog2E / sqrtf(float(s.head_dim)), is_wide(q, s));
}

}  // namespace

bool can_prefill(const PagedShape& s) {
  return s.head_dim >= 8 && s.head_dim % 8 == 0 && s.head_dim <= kWidestMmaHead;
}

cudaError_t paged_prefill(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                          const QueryRange* tiles, int n_tiles, bf16* y, const PagedShape& s,
                          cudaStream_t stream) {
  if (!can_prefill(s) || s.n_kv_heads < 1 || s.n_heads % s.n_kv_heads) return cudaErrorInvalidValue;
  if (n_tiles == 0) return cudaSuccess;
  const auto run = s.head_dim <= 64   ? prefill<64>
                   : s.head_dim <= 80 ? prefill<80>
                   : s.head_dim <= 96 ? prefill<96>
                                      : prefill<128>;
  return run(q, tables, seen, tiles, n_tiles, y, s, stream);
}

}  // namespace omni::cuda
