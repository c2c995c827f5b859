// A block takes 64 outputs and 32 or 64 rows of x on tensor cores, its four warps each 16 or 32 of
// the outputs and 32 rows. Steps of both are on their way to shared memory, the weights' first ones
// before x is there. Where outputs and rows make too few blocks, each takes a part of the inputs
// only, and a second kernel adds the parts, always in the same order.
#include "kernels/linear_quantized_tiles.h"
#include "kernels/mma.h"
#include "kernels/quantized_steps.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 128, kTileOutputs = 2 * kBlockOutputs, kBlockTiles = 4, kRowTiles = 4,
              kWarpRows = kRows * kRowTiles, kStages = 3;
constexpr int kRowVectors = kStepInputs / 8;  // of sixteen bytes, of a step of a row of x
constexpr int kWantedBlocks = 264;            // two for each multiprocessor of the largest
constexpr int kMostParts = 8;

struct Cut {
  int n_tiles, n_steps, n_parts;
  int n_outputs;               // of y
  unsigned of_a_tile, second;  // as of linear_few_quantized()
};

// kTiles: of sixteen outputs, of a warp; a block has 32 · kTiles rows.
template <int kBits, int kGroups, int kTiles>
__global__ void __launch_bounds__(kThreads, kTiles == 1 ? 3 : 2)
    linear_tiles_quantized_kernel(const bf16* __restrict__ x, QuantizedWeight w,
                                  const float* __restrict__ bias, Into into, void* __restrict__ y,
                                  float* __restrict__ parts, int n, Cut cut) {
  constexpr int kBlockRows = kWarpRows * kTiles, kTile = kStage<kBits, kGroups>,
                kOfRows = kBlockRows * kRowVectors, kOfStage = kOfRows + kBlockTiles * kTile;
  constexpr int kValues = kVectors<kBits> * int(kWarp), kPieces = 2 * kGroups;
  constexpr int kShare = kChunks / kGroups;
  OMNI_DYNAMIC_SHARED(uint4, stages);  // [kStages]: rows, then tiles
  const int t = int(threadIdx.x), lane = t % int(kWarp), warp = t / int(kWarp), group = lane / 4,
            pair = lane % 4;
  const int first_tile = int(blockIdx.x) * kBlockTiles, part = int(blockIdx.y),
            first_row = int(blockIdx.z) * kBlockRows,
            begin = int(int64_t(cut.n_steps) * part / cut.n_parts),
            end = int(int64_t(cut.n_steps) * (part + 1) / cut.n_parts);

  // What this thread fetches: a vector of every kTilesAtOnce-th tile, and of every eighth row; of
  // two neighbouring rows the vectors lie in other banks.
  constexpr int kTilesAtOnce = kThreads / (2 * kValues), kRowsAtOnce = kThreads / kRowVectors;
  const int fetch_tile = t / (2 * kValues), fetch_half = t / kValues % 2,
            fetch_row = t / kRowVectors, fetch_input = t % kRowVectors * 8,
            to_row = fetch_row * kRowVectors + (t % kRowVectors ^ fetch_row % 2 * 4);
  const auto step_of = [&](int tile, int half) {  // of a block of outputs
    return unsigned(first_tile + tile) * cut.of_a_tile + unsigned(half) * cut.second;
  };
  const unsigned values_at = step_of(fetch_tile, fetch_half) * kValues + t % kValues,
                 scales_at = step_of(t / (2 * kPieces), t / kPieces % 2) * kPieces + t % kPieces;
  const auto fetch_weights = [&](int step) {
    if (step >= end) return;
    uint4* to = stages + (step - begin) % kStages * kOfStage + kOfRows;
    const auto* values = reinterpret_cast<const uint4*>(w.values) + step * kValues;
    OMNI_UNROLL for (int u = 0; u < kBlockTiles; u += kTilesAtOnce)
        copy_async(to + (u + fetch_tile) * kTile + t % (2 * kValues),
                   values + (values_at + u * kValues * cut.of_a_tile),
                   first_tile + u + fetch_tile < cut.n_tiles);
    if (const int u = t / (2 * kPieces); u < kBlockTiles)
      copy_async(to + u * kTile + 2 * kValues + t % (2 * kPieces),
                 reinterpret_cast<const uint4*>(w.scales) + (scales_at + step * kPieces),
                 first_tile + u < cut.n_tiles);
  };
  const bf16* const from_row = x + (int64_t(first_row + fetch_row) * w.n_in + fetch_input);
  const auto fetch_rows = [&](int step) {
    if (step >= end) return;
    uint4* to = stages + (step - begin) % kStages * kOfStage + to_row;
    const int input = step * kStepInputs;
    const bool has = input + fetch_input < w.n_in;
    OMNI_UNROLL for (int row = 0; row < kBlockRows; row += kRowsAtOnce)
        copy_async(to + row * kRowVectors, from_row + (row * w.n_in + input),
                   has && first_row + fetch_row + row < n);
  };
  OMNI_UNROLL for (int s = 0; s < kStages - 1; ++s) fetch_weights(begin + s);
  wait_for_input();
  OMNI_UNROLL for (int s = 0; s < kStages - 1; ++s) fetch_rows(begin + s), end_copies();

  const int my_tile = kTiles == 1 ? warp : warp % 2 * 2,
            my_row = kTiles == 1 ? 0 : warp / 2 * kWarpRows;
  float sum[kTiles][kRowTiles][4];
  const auto clear = [&](float(&sums)[kTiles][kRowTiles][4]) {
    OMNI_UNROLL for (int u = 0; u < kTiles; ++u) OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j)
        OMNI_UNROLL for (int i = 0; i < 4; ++i) sums[u][j][i] = 0;
  };
  clear(sum);
  for (int step = begin; step < end; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // all threads' copies are there, and the stage before is multiplied
    fetch_weights(step + kStages - 1);
    fetch_rows(step + kStages - 1);
    end_copies();
    const uint4* rows = stages + (step - begin) % kStages * kOfStage;
    const uint4* tile = rows + kOfRows + my_tile * kTile;
    uint4 values[kTiles][2][kVectors<kBits>];
    OMNI_UNROLL for (int u = 0; u < kTiles; ++u) OMNI_UNROLL for (int half = 0; half < 2; ++half)
        OMNI_UNROLL for (int i = 0; i < kVectors<kBits>; ++i) values[u][half][i] =
            tile[u * kTile + half * kValues + i * int(kWarp) + lane];
    float of_group[kTiles][kRowTiles][4];
    uint32_t scales[kTiles][2];
    OMNI_UNROLL for (int c = 0; c < kChunks; ++c) {
      if (c % kShare == 0) {
        clear(of_group);
        OMNI_UNROLL for (int u = 0; u < kTiles; ++u)
            OMNI_UNROLL for (int half = 0; half < 2; ++half) scales[u][half] =
                reinterpret_cast<const uint32_t*>(
                    tile + u * kTile +
                    2 * kValues)[(half * kBlockOutputs + group) * kGroups + c / kShare];
      }
      uint32_t q[kTiles][2][4];
      OMNI_UNROLL for (int u = 0; u < kTiles; ++u)
          OMNI_UNROLL for (int half = 0; half < 2; ++half) {
        widen<kBits>(values[u][half], c, q[u][half]);
        if constexpr (kBits == 4) {
          const uint32_t zeros = __byte_perm(scales[u][half], 0, 0x3232);
          OMNI_UNROLL for (int i = 0; i < 4; ++i) q[u][half][i] = add_bf16x2(q[u][half][i], zeros);
        }
      }
      OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) {
        const int row = my_row + kRows * j + group;
        const uint4 v = rows[row * kRowVectors + ((4 * c + pair) ^ row % 2 * 4)];
        OMNI_UNROLL for (int u = 0; u < kTiles; ++u) {
          const auto& a = q[u];
          mma_bf16(of_group[u][j], {a[0][0], a[1][0], a[0][1], a[1][1]}, {v.x, v.y});
          mma_bf16(of_group[u][j], {a[0][2], a[1][2], a[0][3], a[1][3]}, {v.z, v.w});
        }
      }
      __syncwarp();  // nothing of the next chunk before it: there are no registers for that
      if (c % kShare < kShare - 1) continue;
      OMNI_UNROLL for (int u = 0; u < kTiles; ++u)
          OMNI_UNROLL for (int half = 0; half < 2; ++half) {
        const float scale = scale_of<kBits>(scales[u][half]).value;
        OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 2; ++i)
            sum[u][j][2 * half + i] += of_group[u][j][2 * half + i] * scale;
      }
    }
  }
  wait_for_copies<0>();

  const bool silu = into == Into::silu_mul;
  OMNI_UNROLL for (int u = 0; u < kTiles; ++u) OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j)
      OMNI_UNROLL for (int i = 0; i < 2; ++i) {
    const int tile = first_tile + my_tile + u, row = first_row + my_row + kRows * j + 2 * pair + i;
    if (row >= n) continue;
    const int o = silu ? tile * kBlockOutputs + group : tile * kTileOutputs + group,
              other = silu ? cut.n_outputs + o : o + kBlockOutputs,
              n_out = silu ? 2 * cut.n_outputs : cut.n_outputs;
    const float a = sum[u][j][i] * w.unit, b = sum[u][j][2 + i] * w.unit;
    if (cut.n_parts > 1) {
      float* to = parts + (int64_t(part) * n + row) * n_out;
      if (o < (silu ? cut.n_outputs : n_out)) to[o] = a;
      if (o < cut.n_outputs && other < n_out) to[other] = b;
    } else if (silu) {
      if (o >= cut.n_outputs) continue;
      const float gate = a + (bias ? bias[o] : 0.f), up = b + (bias ? bias[other] : 0.f);
      assign(static_cast<bf16*>(y)[int64_t(row) * cut.n_outputs + o],
             gate / (1.f + __expf(-gate)) * up);
    } else {
      float* to = static_cast<float*>(y) + int64_t(row) * n_out;
      const auto write = [&](int at, float value) {
        if (at >= n_out) return;
        value += bias ? bias[at] : 0.f;
        to[at] = into == Into::sum ? to[at] + value : value;
      };
      write(o, a), write(other, b);
    }
  }
}

// y[row, o] becomes what the sum of the parts [n_parts][n][n_out] says.
__global__ void __launch_bounds__(kOneEach)
    add_parts_kernel(const float* parts, const float* __restrict__ bias, Into into, void* y,
                     int64_t n, int n_out, int n_parts) {
  wait_for_input();
  const int n_outputs = into == Into::silu_mul ? n_out / 2 : n_out;
  const int64_t at = one_each_index();
  if (at >= n * n_outputs) return;
  const int64_t row = at / n_outputs;
  const int o = int(at % n_outputs);
  const auto whole = [&](int output) {
    float total = 0;
    for (int part = 0; part < n_parts; ++part) total += parts[(part * n + row) * n_out + output];
    return total + (bias ? bias[output] : 0.f);
  };
  const float value = whole(o);
  if (into == Into::silu_mul)
    assign(static_cast<bf16*>(y)[at], value / (1.f + __expf(-value)) * whole(o + n_outputs));
  else
    static_cast<float*>(y)[at] = into == Into::sum ? static_cast<float*>(y)[at] + value : value;
}

// Blocks of 64 rows, or of 32 where there are no more.
int tiles_of(int64_t n) { return n > kWarpRows ? 2 : 1; }
int64_t blocks_of(const QuantizedWeight& w, int64_t n) {
  constexpr int kOutputs = kTileOutputs * kBlockTiles;
  const int rows = kWarpRows * tiles_of(n);
  return int64_t{(w.n_out + kOutputs - 1) / kOutputs} * ((n + rows - 1) / rows);
}
int parts_of(const QuantizedWeight& w, int64_t n) {
  const int64_t wanted = kWantedBlocks / (blocks_of(w, n) > 0 ? blocks_of(w, n) : 1),
                most = steps_of(w) / 2 < kMostParts ? steps_of(w) / 2 : kMostParts;
  return int(wanted < most ? (wanted > 1 ? wanted : 1) : (most > 1 ? most : 1));
}

}  // namespace

int64_t n_tile_parts(const QuantizedWeight& weight, int64_t n) {
  const int parts = parts_of(weight, n);
  return parts > 1 ? parts * n * weight.n_out : 0;
}

cudaError_t linear_tiles_quantized(const bf16* x, const QuantizedWeight& weight, const float* bias,
                                   Into into, void* y, float* parts, int64_t n,
                                   cudaStream_t stream) {
  const bool silu = into == Into::silu_mul;
  if (n < 0 || n > kMostTileRows || !is_valid(weight) || (silu && weight.n_out % kTileOutputs))
    return cudaErrorInvalidValue;
  if (n == 0 || weight.n_out == 0) return cudaSuccess;
  const int n_steps = steps_of(weight), n_parts = parts_of(weight, n),
            n_outputs = weight.n_out / (silu ? 2 : 1),
            n_tiles = (weight.n_out + kTileOutputs - 1) / kTileOutputs;
  const Cut cut{n_tiles,
                n_steps,
                n_parts,
                n_outputs,
                unsigned((silu ? 1 : 2) * n_steps),
                unsigned(n_steps * (silu ? n_outputs / kBlockOutputs : 1))};
  const cudaError_t e = with_format(weight, [&](auto bits, auto groups) {
    const auto with_tiles = [&](auto tiles) {
      constexpr int kBlockRows = kWarpRows * tiles,
                    kVectors = kBlockRows * kRowVectors + kBlockTiles * kStage<bits, groups>;
      return launch_early("linear_tiles_quantized",
                          linear_tiles_quantized_kernel<bits, groups, tiles>,
                          {{unsigned((n_tiles + kBlockTiles - 1) / kBlockTiles), unsigned(n_parts),
                            unsigned((n + kBlockRows - 1) / kBlockRows)},
                           {kThreads},
                           kStages * kVectors * unsigned(sizeof(uint4))},
                          stream, x, weight, bias, into, y, parts, int(n), cut);
    };
    return tiles_of(n) == 1 ? with_tiles(std::integral_constant<int, 1>())
                            : with_tiles(std::integral_constant<int, 2>());
  });
  if (e != cudaSuccess || n_parts == 1) return e;
  return launch_early("add_parts", add_parts_kernel, one_each(n * n_outputs), stream, parts, bias,
                      into, y, n, weight.n_out, n_parts);
}

}  // namespace omni::cuda
