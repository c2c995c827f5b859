// Each block has its share of the outputs, sixteen at a time; its warps each take a part of the
// inputs, on tensor cores: the weights are the left factor, eight rows of x the right one. A lane
// reads sixteen bytes of a row at a time: which input stands where in a fragment does not matter,
// as long as both factors agree. What a warp will multiply its lanes copy to shared memory, stages
// ahead, whole lines of 128 bytes in one instruction, and the first stages before x is there: a
// block takes half of a multiprocessor, so that the next kernel's blocks fetch their weights while
// this one's end.
#include "kernels/linear_few.h"
#include "kernels/mma.h"
#include "kernels/rms_norm.h"

namespace omni::cuda {

namespace {

constexpr int kWarps = 16, kThreads = 32 * kWarps, kOutputs = 16, kRows = 8;
constexpr int kChunks = 2, kStep = 32 * kChunks;  // inputs that a warp takes at a time
constexpr int kStage = 2 * kChunks * kThreads;    // times sixteen bytes
constexpr int kMostStages = 3, kFewestStages = 2;
constexpr int kCopiedRows = 4;               // by a warp at once
constexpr int kFewestOutputs = 4;            // of a block
constexpr int kMostTilesAtOnce = 16;         // of one row, until their sums are brought together
constexpr unsigned kTwoBlocks = 226u << 10;  // of shared memory, on a multiprocessor of sm_90
constexpr unsigned kAlone = 114u << 10;      // of a block, where there is no room for two like it
static_assert(kThreads == kNormThreads);

// Rows of normed x in shared memory: neighbours half of the banks apart.
__device__ inline int normed_at(int row, int i, int stride) {
  return row * stride + (i ^ (row % 2 * kStep / 2));
}
constexpr int normed_stride(int n_in) { return (n_in + kStep - 1) / kStep * kStep; }

// y [n][normed_at()] ← the normed rows of x. gain: their weights, which this thread's copies have
// brought for the values that it takes. partial: of n · kNormWarps floats. All threads call it.
__device__ inline void norm_rows(const NormedRows& of, int n, int n_in, const float* gain,
                                 float* partial, bf16* y, int stride) {
  const int me = int(threadIdx.x);
  int last = -1;
  float4 v[kMostNormedRows];
  float factor[kMostNormedRows] = {};  // the sums of squares at first
  const auto read = [&](int i) {
    OMNI_UNROLL for (int r = 0; r < kMostNormedRows; ++r) if (r < n) v[r] =
        *reinterpret_cast<const float4*>(of.x + int64_t(r) * n_in + i);
  };
  for (int i = 4 * me; i < n_in; i += 4 * kThreads) {
    read(last = i);
    OMNI_UNROLL for (int r = 0; r < kMostNormedRows; ++r) if (r < n) factor[r] =
        add_squares(factor[r], v[r]);
  }
  OMNI_UNROLL for (int r = 0; r < kMostNormedRows; ++r) if (r < n) {
    const float sum = warp_sum(factor[r]);
    if (me % 32 == 0) partial[r * kNormWarps + me / 32] = sum;
  }
  __syncthreads();
  OMNI_UNROLL for (int r = 0; r < kMostNormedRows; ++r) if (r < n) factor[r] =
      rms_factor(partial + r * kNormWarps, n_in, of.eps);
  for (int i = last; i >= 0; i -= 4 * kThreads) {
    if (i != last) read(i);
    const float4 g = *reinterpret_cast<const float4*>(gain + i);
    OMNI_UNROLL for (int r = 0; r < kMostNormedRows; ++r) if (r < n) {
      const float f = factor[r];
      *reinterpret_cast<uint2*>(y + normed_at(r, i, stride)) = {
          two_bf16(v[r].x * f * g.x, v[r].y * f * g.y),
          two_bf16(v[r].z * f * g.z, v[r].w * f * g.w)};
    }
  }
  __syncthreads();
}

// Where a chunk's vector lies.
__device__ inline int vector_at(int chunk, int vector) { return vector ^ 4 * chunk; }

// What a block computes.
struct Share {
  int first, n;  // outputs; of silu_mul those of its result
};
template <Into into>
__device__ inline Share share_of(int block, int n_out) {
  const int64_t n = into == Into::silu_mul ? n_out / 2 : n_out;
  const int first = int(n * block / gridDim.x), end = int(n * (block + 1) / gridDim.x);
  return {first, end - first};
}

template <int kRowTiles, int kStages, Into into, bool kNormed>
__global__ void __launch_bounds__(kThreads, 2)
    linear_few_kernel(const bf16* x, NormedRows normed, const bf16* __restrict__ weight,
                      const float* __restrict__ bias, void* y, int n, int n_in, int n_out,
                      int stride, int tiles_at_once) {
  constexpr int kHalves = into == Into::silu_mul ? 1 : 2, kTile = kHalves * kRows;
  OMNI_DYNAMIC_SHARED(uint4, stages);
  float* const sums = reinterpret_cast<float*>(stages + kStages * kStage);
  float* const gain = sums + kWarps * kOutputs * n * tiles_at_once;
  bf16* const rows = reinterpret_cast<bf16*>(gain + n_in);
  const int me = int(threadIdx.x), lane = me % 32, warp = me / 32, group = lane / 4,
            pair = lane % 4, begin = warp * kStep + 8 * pair;
  const int n_steps = (n_in + kWarps * kStep - 1) / (kWarps * kStep);
  const Share share = share_of<into>(int(blockIdx.x), n_out);
  // the other eight outputs of a tile: of a SwiGLU layer the second halves of the first eight
  const int other = into == Into::silu_mul ? n_out / 2 : kRows;

  // Stages: [half of the tile][chunk][warp][row][a fourth of the chunk], in vectors; the rows of
  // the second chunk in pairs the other way round, so that a row's eight vectors, which eight lanes
  // copy, lie in different banks.
  const int copied_row = lane / 8, copied_at = warp * kStep + lane % 8 * 8,
            copied_to = lane % 8 / 4 * kThreads + 32 * warp +
                        vector_at(lane % 8 / 4, 4 * copied_row + lane % 4);
  int next_tile = 0, next_at = copied_at;
  const auto fetch = [&](int stage) {
    if (next_tile < share.n) {
      uint4* const to = stages + (copied_to + stage * kStage);
      const int left = share.n - next_tile - copied_row;
      const bf16* row =
          weight + int64_t(share.first + next_tile) * n_in + (copied_row * n_in + next_at);
      OMNI_UNROLL for (int half = 0; half < 2; ++half) {
        const int left_here = left - (into == Into::silu_mul ? 0 : half * kRows);
        OMNI_UNROLL for (int part = 0; part < kRows / kCopiedRows; ++part) copy_async(
            to + half * kChunks * kThreads + part * 4 * kCopiedRows,
            row + part * kCopiedRows * n_in, left_here > part * kCopiedRows && next_at < n_in);
        row += int64_t(other) * n_in;
      }
      next_at += kWarps * kStep;
      if (next_at - copied_at >= n_steps * kWarps * kStep) next_at = copied_at, next_tile += kTile;
    }
    end_copies();
  };
  if constexpr (kNormed) {
    for (int i = 4 * me; i < n_in; i += 4 * kThreads) copy_async(gain + i, normed.weight + i, true);
    end_copies();
  }
  OMNI_UNROLL for (int stage = 0; stage < kStages; ++stage) fetch(stage);
  wait_for_input();
  if constexpr (kNormed) {
    wait_for_copies<kStages>();
    norm_rows(normed, n, n_in, gain, sums, rows, stride);
  }

  uint4 v[kRowTiles][kChunks];
  const auto read_rows = [&](int at) {
    OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int c = 0; c < kChunks; ++c) {
      const int row = kRows * j + group, i = at + 32 * c;
      v[j][c] = uint4{0, 0, 0, 0};
      if (row < n && i < n_in)
        v[j][c] = *reinterpret_cast<const uint4*>(kNormed ? rows + normed_at(row, i, stride)
                                                          : x + (row * n_in + i));
    }
  };
  read_rows(begin);
  const int at_once = tiles_at_once * kTile, line = tiles_at_once * kOutputs;
  int stage = 0;
  for (int first = 0; first < share.n; first += at_once) {
    // Where a result goes, and what is added to it: what was there, or the bias. That of the
    // thread's first one is asked for at once.
    const int n_here = min(at_once, share.n - first);
    const auto place = [&](int i) {
      return static_cast<float*>(y) + int64_t(i / n_here) * n_out + share.first + first +
             i % n_here;
    };
    const auto added = [&](int i) {
      return into == Into::sum ? *place(i) : bias ? bias[share.first + first + i % n_here] : 0.f;
    };
    const float first_added = me < n * n_here ? added(me) : 0.f;

    for (int tile = 0; tile < n_here; tile += kTile) {
      float sum[kRowTiles][4];
      OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 4; ++i)
          sum[j][i] = 0;
      for (int step = 0; step < n_steps; ++step) {
        wait_for_copies<kStages - 1>();
        __syncwarp();  // other lanes copied them
        uint4 w[2][kChunks], here[kRowTiles][kChunks];
        OMNI_UNROLL for (int half = 0; half < 2; ++half)
            OMNI_UNROLL for (int c = 0; c < kChunks; ++c) w[half][c] =
                stages[stage * kStage + (half * kChunks + c) * kThreads + vector_at(c, me)];
        OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j)
            OMNI_UNROLL for (int c = 0; c < kChunks; ++c) here[j][c] = v[j][c];
        read_rows(begin + (step + 1 < n_steps ? step + 1 : 0) * kWarps * kStep);
        OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j)
            OMNI_UNROLL for (int c = 0; c < kChunks; ++c) {
          const uint4& b = here[j][c];
          mma_bf16(sum[j], {w[0][c].x, w[1][c].x, w[0][c].y, w[1][c].y}, {b.x, b.y});
          mma_bf16(sum[j], {w[0][c].z, w[1][c].z, w[0][c].w, w[1][c].w}, {b.z, b.w});
        }
        __syncwarp();  // the others may still read them
        fetch(stage);
        stage = stage + 1 < kStages ? stage + 1 : 0;
      }
      // sums [warp][row][tile][output]
      float* const mine = sums + warp * n * line + tile / kTile * kOutputs + group;
      OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 4; ++i) {
        const int row = kRows * j + 2 * pair + i % 2;
        if (row < n) mine[row * line + i / 2 * kRows] = sum[j][i];
      }
    }
    __syncthreads();
    for (int i = me; i < n * n_here; i += kThreads) {
      const int row = i / n_here, in_share = i % n_here, o = share.first + first + in_share,
                at = row * line + in_share / kTile * kOutputs + in_share % kTile;
      const auto whole = [&](int half) {
        float total = 0;
        OMNI_UNROLL for (int w = 0; w < kWarps; ++w) total +=
            sums[w * n * line + at + half * kRows];
        return total;
      };
      const float value = whole(0) + (i == me ? first_added : added(i));
      if constexpr (into == Into::silu_mul) {
        const float up = whole(1) + (bias ? bias[o + other] : 0.f);
        assign(static_cast<bf16*>(y)[int64_t(row) * (n_out / 2) + o],
               value / (1.f + __expf(-value)) * up);
      } else if constexpr (into == Into::sum) {
        *place(i) = value + (bias ? bias[o] : 0.f);
      } else {
        *place(i) = value;
      }
    }
    if (first + at_once < share.n) __syncthreads();  // these sums are read
  }
}

unsigned shared_bytes(int stages, int tiles_at_once, int n, int n_in, bool normed) {
  const size_t weights = size_t(stages) * kStage * 16,
               sums = size_t(tiles_at_once) * kWarps * kOutputs * size_t(n) * 4,
               rows = size_t(n_in) * 4 + size_t(n) * size_t(normed_stride(n_in)) * 2;
  return unsigned(weights + sums + (normed ? rows : 0));
}

// What a block of n_tiles has room for. Of several tiles it has a multiprocessor for itself, but
// for a block of one tile that is not normed, such as a step has before it and behind it.
struct Room {
  int stages, tiles_at_once;
  unsigned shared;
};
Room room_of(int n_tiles, int n, int n_in, bool normed) {
  const unsigned neighbour = shared_bytes(kMostStages, 1, n, n_in, false),
                 beside = kTwoBlocks - neighbour,
                 most = beside < most_shared() ? beside : most_shared();
  const int most_tiles = n < kMostTilesAtOnce ? kMostTilesAtOnce / n : 1,
            tiles = n_tiles < most_tiles ? n_tiles : most_tiles;
  Room room{kFewestStages, tiles, shared_bytes(kFewestStages, tiles, n, n_in, normed)};
  for (int fewer = tiles; n <= kRows && fewer > 0; --fewer) {
    const unsigned shared = shared_bytes(kMostStages, fewer, n, n_in, normed);
    if (shared > most) continue;
    room = {kMostStages, fewer, shared};
    break;
  }
  if (n_tiles > 1 && room.shared < kAlone && kAlone <= most) room.shared = kAlone;
  return room;
}

template <int kRowTiles, int kStages, bool kNormed>
auto kernel_of(Into into) {
  if constexpr (kNormed)
    return into == Into::y ? linear_few_kernel<kRowTiles, kStages, Into::y, true>
                           : linear_few_kernel<kRowTiles, kStages, Into::silu_mul, true>;
  else
    return into == Into::y     ? linear_few_kernel<kRowTiles, kStages, Into::y, false>
           : into == Into::sum ? linear_few_kernel<kRowTiles, kStages, Into::sum, false>
                               : linear_few_kernel<kRowTiles, kStages, Into::silu_mul, false>;
}

template <bool kNormed>
cudaError_t few_rows(const bf16* x, const NormedRows& normed, const bf16* weight, const float* bias,
                     Into into, void* y, int n, int n_in, int n_out, cudaStream_t stream) {
  if (n < 0 || n > kMostFewRows || n_in % 8 || (into == Into::silu_mul && n_out % 2) ||
      (kNormed && (into == Into::sum || !can_norm_few(n, n_in))))
    return cudaErrorInvalidValue;
  if (n == 0 || n_out == 0) return cudaSuccess;
  const int n_results = into == Into::silu_mul ? n_out / 2 : n_out,
            n_tile = into == Into::silu_mul ? kRows : kOutputs,
            most_blocks = (n_results + kFewestOutputs - 1) / kFewestOutputs,
            n_blocks = most_blocks < n_multiprocessors() ? most_blocks : n_multiprocessors(),
            n_tiles = ((n_results + n_blocks - 1) / n_blocks + n_tile - 1) / n_tile;
  const Room room = room_of(n_tiles, n, n_in, kNormed);
  constexpr int kTiles = kNormed ? 1 : 2;
  const auto kernel = n > kRows                    ? kernel_of<kTiles, kFewestStages, kNormed>(into)
                      : room.stages == kMostStages ? kernel_of<1, kMostStages, kNormed>(into)
                                                   : kernel_of<1, kFewestStages, kNormed>(into);
  return launch_early("linear_few", kernel, {{unsigned(n_blocks)}, {kThreads}, room.shared}, stream,
                      x, normed, weight, bias, y, n, n_in, n_out, normed_stride(n_in),
                      room.tiles_at_once);
}

}  // namespace

cudaError_t linear_few(const bf16* x, const bf16* weight, const float* bias, Into into, void* y,
                       int n, int n_in, int n_out, cudaStream_t stream) {
  return few_rows<false>(x, {}, weight, bias, into, y, n, n_in, n_out, stream);
}

bool can_norm_few(int64_t n, int n_in) {
  return n == 0 || (n <= kMostNormedRows && shared_bytes(kFewestStages, kMostTilesAtOnce / int(n),
                                                         int(n), n_in, true) <= most_shared());
}

cudaError_t linear_few(const NormedRows& x, const bf16* weight, const float* bias, Into into,
                       void* y, int n, int n_in, int n_out, cudaStream_t stream) {
  return few_rows<true>(nullptr, x, weight, bias, into, y, n, n_in, n_out, stream);
}

}  // namespace omni::cuda
