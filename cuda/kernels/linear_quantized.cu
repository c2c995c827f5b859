// As linear_few.cu: a block takes sixteen outputs at a time on tensor cores, its warps each a part
// of the inputs; but what a lane reads are integers, which become pairs of bfloat16 in registers,
// and the sum of each group is scaled in float. Each warp has a ring of steps in shared memory that
// are on their way there, whatever tile they are of, the first ones before x is there: a block of
// the next product fits beside one of this, and begins with its ring full.
#include "kernels/linear_quantized.h"
#include "kernels/mma.h"
#include "kernels/quantized_steps.h"
#include "kernels/rms_norm.h"

namespace omni::cuda {

namespace {

constexpr int kMostWarps = 16, kOutputs = 2 * kBlockOutputs;
constexpr int kMultiprocessors = 132;  // of the largest
// Steps on their way; so many that a block takes no more than 99 KiB.
template <int kBits, int kRowTiles>
constexpr int kDepth = kBits == 8       ? 2
                       : kRowTiles == 1 ? 4
                                        : 3;

// How the work is cut; none of it takes a register.
struct Cut {
  int n_tiles, n_steps, n_warps;
  int n_turns;    // of a tile: steps that a warp takes, if all take as many
  int n_outputs;  // of y
  // in steps of a block: from one tile to the next, and from the first eight outputs of a tile to
  // the others
  unsigned of_a_tile, second;
  unsigned next_tile;  // from behind the last turn of a block's tile to its next tile
};

// Of a block; of many groups there are fewer, as they take more registers.
template <int kGroups>
constexpr int kWarps = kGroups < kMostGroups ? kMostWarps : kMostWarps / 2;
// That fit a multiprocessor, so that the next kernel's blocks come before this one's have ended;
// sums of two row tiles take more registers.
template <int kRowTiles>
constexpr int kLargestBlocks = kRowTiles == 1 ? 2 : 1;

// kOneTurn: n_turns is 1, so that a warp meets the same inputs in each tile; x is nullptr then
// where the rows of `normed` are multiplied.
template <int kBits, int kGroups, int kRowTiles, bool kOneTurn>
__global__ void __launch_bounds__(kWarp* kWarps<kGroups>, kLargestBlocks<kRowTiles>)
    linear_few_quantized_kernel(const bf16* x, NormedRows normed, QuantizedWeight w,
                                const float* __restrict__ bias, Into into, void* y, int n,
                                Cut cut) {
  constexpr int kSums = kOutputs * kRows * kRowTiles, kAhead = kDepth<kBits, kRowTiles>,
                kStep = kStage<kBits, kGroups>;
  constexpr bool kWhole = kGroups < kMostGroups;
  constexpr int kShare = kChunks / kGroups;  // chunks of a group
  OMNI_DYNAMIC_SHARED(uint4, rings);         // [warp][kAhead][kStep]
  float* const partial = reinterpret_cast<float*>(rings + cut.n_warps * kAhead * kStep);
  const int t = int(threadIdx.x), lane = kept(int(threadIdx.x % kWarp)),
            warp = kept(int(threadIdx.x / kWarp)), group = lane / 4, pair = lane % 4;
  const bool silu = into == Into::silu_mul;

  const int my_ring = kept(warp * kAhead * kStep + lane);  // in vectors of rings
  constexpr unsigned kValues = kVectors<kBits> * kWarp, kPieces = 2 * kGroups;  // of a block's step
  int ahead_tile = int(blockIdx.x), ahead_step = warp;
  unsigned ahead = blockIdx.x * cut.of_a_tile + unsigned(warp);  // in steps of a block
  const unsigned my_scales =
      lane < int(kPieces) ? unsigned(lane) : cut.second * kPieces + unsigned(lane) - kPieces;
  const int my_first_scale = kept(4 * (my_ring - lane + 2 * int(kValues)) + group * kGroups);
  const auto fetch_next = [&](int stage) {
    if (ahead_tile < cut.n_tiles && ahead_step < cut.n_steps) {
      const auto* values = reinterpret_cast<const uint4*>(w.values);
      const unsigned first = ahead * kValues + unsigned(lane),
                     second = first + cut.second * kValues;
      uint4* mine = rings + (my_ring + stage);
      OMNI_UNROLL for (unsigned v = 0; v < kVectors<kBits>; ++v) {
        copy_async(mine + v * kWarp, values + (first + v * kWarp), true);
        copy_async(mine + kValues + v * kWarp, values + (second + v * kWarp), true);
      }
      if (lane < int(2 * kPieces))
        copy_async(mine + 2 * kValues,
                   reinterpret_cast<const uint4*>(w.scales) + (ahead * kPieces + my_scales), true);
    }
    end_copies();
    ahead_step += cut.n_warps, ahead += unsigned(cut.n_warps);
    if (kOneTurn || ahead_step >= cut.n_turns * cut.n_warps)
      ahead_step = warp, ahead_tile += int(gridDim.x), ahead += cut.next_tile;
  };
  OMNI_UNROLL for (int a = 0; a < kAhead; ++a) fetch_next(a * kStep);
  // of a normed row this lane takes four values
  const int of_norm = warp * kStepInputs + 4 * lane;
  float4 gain{0, 0, 0, 0};
  if (kOneTurn && !x && of_norm < w.n_in)
    gain = *reinterpret_cast<const float4*>(normed.weight + of_norm);
  wait_for_input();

  // this lane's row of x; those that are not there are as the first one, and not written
  int rows[kRowTiles];
  OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) {
    const int row = kRows * j + group;
    rows[j] = (row < n ? row * w.n_in : 0) + 8 * pair;
  }
  uint4 v[kRowTiles][kChunks];  // x
  // of four bits, for each group of x: its sum, of rows 2 · pair and 2 · pair + 1
  float of_x[kRowTiles][kGroups][2];
  const auto sum_x = [&] {
    if constexpr (kBits == 4) {
      OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j)
          OMNI_UNROLL for (int g = 0; g < kGroups; ++g) {
        float sum[4] = {0, 0, 0, 0};
        OMNI_UNROLL for (int c = g * kShare; c < (g + 1) * kShare; ++c) {
          mma_bf16(sum, {k1, k1, k1, k1}, {v[j][c].x, v[j][c].y});
          mma_bf16(sum, {k1, k1, k1, k1}, {v[j][c].z, v[j][c].w});
        }
        of_x[j][g][0] = sum[0], of_x[j][g][1] = sum[1];
      }
    }
  };
  const auto read_x = [&](int begin) {
    OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int c = 0; c < kChunks; ++c) {
      const int at = begin + kChunkInputs * c;
      v[j][c] = kWhole || at + 8 * pair < w.n_in
                    ? *reinterpret_cast<const uint4*>(x + (rows[j] + at))
                    : uint4{0, 0, 0, 0};
    }
    sum_x();
  };
  // The same of normed rows: the warps of the block have the inputs among them, so that their sums
  // of squares are those of rms_norm.h.
  const auto norm_x = [&] {
    float* const squares = partial + cut.n_warps * kSums;  // [row][kNormWarps]
    bf16* const mine =                                     // [row][kStepInputs]
        reinterpret_cast<bf16*>(partial + 2 * cut.n_warps * kSums) + warp * n * kStepInputs;
    const bool has = of_norm < w.n_in;
    const float* from = normed.x + of_norm;
    if (t < kNormWarps * n && t % kNormWarps >= cut.n_warps) squares[t] = 0;
    OMNI_UNROLL_4 for (int row = 0; row < n; ++row) {
      const float4 x4 =
          has ? *reinterpret_cast<const float4*>(from + int64_t(row) * w.n_in) : float4{0, 0, 0, 0};
      const float sum = warp_sum(add_squares(0, x4));
      if (lane == 0) squares[row * kNormWarps + warp] = sum;
    }
    __syncthreads();
    OMNI_UNROLL_1 for (int row = 0; row < n; ++row) {
      const float4 x4 =
          has ? *reinterpret_cast<const float4*>(from + int64_t(row) * w.n_in) : float4{0, 0, 0, 0};
      const float f = rms_factor(squares + row * kNormWarps, w.n_in, normed.eps);
      *reinterpret_cast<uint2*>(mine + row * kStepInputs + 4 * lane) = {
          two_bf16(x4.x * f * gain.x, x4.y * f * gain.y),
          two_bf16(x4.z * f * gain.z, x4.w * f * gain.w)};
    }
    __syncwarp();
    OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int c = 0; c < kChunks; ++c) {
      const int row = kRows * j + group < n ? kRows * j + group : 0;
      v[j][c] =
          *reinterpret_cast<const uint4*>(mine + row * kStepInputs + kChunkInputs * c + 8 * pair);
    }
    sum_x();
  };
  float sum[kRowTiles][4];
  const auto clear = [&](float(&sums)[kRowTiles][4]) {
    OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 4; ++i)
        sums[j][i] = 0;
  };
  const auto multiply = [&](int stage) {
    uint4 values[2][kVectors<kBits>];
    OMNI_UNROLL for (int half = 0; half < 2; ++half)
        OMNI_UNROLL for (unsigned i = 0; i < kVectors<kBits>; ++i) values[half][i] =
            rings[my_ring + stage + int(half * kValues + i * kWarp)];
    const auto* scales = reinterpret_cast<const uint32_t*>(rings) + (my_first_scale + 4 * stage);
    float of_group[kRowTiles][4];
    OMNI_UNROLL for (int c = 0; c < kChunks; ++c) {
      if (c % kShare == 0) clear(of_group);
      uint32_t q[2][4];
      OMNI_UNROLL for (int half = 0; half < 2; ++half) widen<kBits>(values[half], c, q[half]);
      OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) {
        mma_bf16(of_group[j], {q[0][0], q[1][0], q[0][1], q[1][1]}, {v[j][c].x, v[j][c].y});
        mma_bf16(of_group[j], {q[0][2], q[1][2], q[0][3], q[1][3]}, {v[j][c].z, v[j][c].w});
      }
      if (c % kShare < kShare - 1) continue;
      OMNI_UNROLL for (int half = 0; half < 2; ++half) {
        const int g = c / kShare;
        const Scale scale = scale_of<kBits>(scales[half * kBlockOutputs * kGroups + g]);
        OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 2; ++i) {
          float of_one = of_group[j][2 * half + i];
          if constexpr (kBits == 4) of_one += scale.zero * of_x[j][g][i];
          sum[j][2 * half + i] += of_one * scale.value;
        }
      }
    }
  };

  // [warp][row tile][output][row]; two of them, so that one barrier a tile is enough
  float* sums = partial;
  const auto whole = [&](int j, int output, int row) {
    float total = 0;
    OMNI_UNROLL_1 for (int first = 0; first < cut.n_warps; first += 8)
        OMNI_UNROLL for (int i = 0; i < 8; ++i) total +=
        sums[(first + i) * kSums + (j * kOutputs + output) * kRows + row];
    return total * w.unit;
  };
  // the value of y that this thread makes of a tile
  const int n_rounded = kRows * kRowTiles, outputs = silu ? kBlockOutputs : kOutputs,
            my_row = t % n_rounded, my_output = t / n_rounded;
  const bool makes = my_output < outputs && my_row < n;
  // what is added to the product: what was there, or the bias
  const auto read_before = [&](int tile) {
    const int o = tile * outputs + my_output;
    if (!makes || o >= cut.n_outputs) return 0.f;
    if (into == Into::sum) return static_cast<float*>(y)[int64_t(my_row) * cut.n_outputs + o];
    return bias ? bias[o] : 0.f;
  };
  const auto write = [&](int tile, float before) {
    const int o = tile * outputs + my_output, j = my_row / kRows, row = my_row % kRows;
    if (!makes || o >= cut.n_outputs) return;
    const int64_t to = int64_t(my_row) * cut.n_outputs + o;
    const float value = whole(j, my_output, row);
    if (silu) {
      const float gate = value + before, up = whole(j, my_output + kBlockOutputs, row) +
                                              (bias ? bias[o + cut.n_outputs] : 0.f);
      assign(static_cast<bf16*>(y)[to], gate / (1.f + __expf(-gate)) * up);
    } else {
      const float more = into == Into::sum && bias ? bias[o] : 0.f;
      static_cast<float*>(y)[to] = before + (value + more);
    }
  };

  if (kOneTurn) {
    if (!x)
      norm_x();
    else if (warp < cut.n_steps)
      read_x(warp * kStepInputs);
  }
  clear(sum);
  int tile = int(blockIdx.x), at = warp;
  float before = read_before(tile);
  for (int stage = 0; tile < cut.n_tiles;
       stage = stage == (kAhead - 1) * kStep ? 0 : stage + kStep) {
    if (!kOneTurn && at < cut.n_steps) read_x(at * kStepInputs);
    wait_for_copies<kAhead - 1>();
    __syncwarp();  // the scales were copied by other lanes
    if (at < cut.n_steps) multiply(stage);
    __syncwarp();  // the others may still read them
    fetch_next(stage);
    at += cut.n_warps;
    if (!kOneTurn && at < cut.n_turns * cut.n_warps) continue;
    float* mine = sums + warp * kSums + group * kRows + 2 * pair;
    OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j)
        OMNI_UNROLL for (int half = 0; half < 2; ++half) {
      float2& two = reinterpret_cast<float2&>(mine[(j * kOutputs + half * kBlockOutputs) * kRows]);
      two = {sum[j][2 * half], sum[j][2 * half + 1]};
    }
    clear(sum);
    __syncthreads();
    write(tile, before);
    at = warp, tile += int(gridDim.x);
    before = tile < cut.n_tiles ? read_before(tile) : 0.f;
    sums = sums == partial ? partial + cut.n_warps * kSums : partial;
  }
  wait_for_copies<0>();
}

constexpr int kDequantizeWarps = 4;

template <int kBits, int kGroups>
__global__ void __launch_bounds__(kWarp* kDequantizeWarps)
    dequantize_kernel(QuantizedWeight w, bf16* __restrict__ y, int n_steps) {
  const int lane = int(threadIdx.x % kWarp), warp = int(threadIdx.x / kWarp),
            step = int(blockIdx.x) * kDequantizeWarps + warp, block = int(blockIdx.y),
            o = block * kBlockOutputs + lane / 4;
  if (step >= n_steps) return;
  const unsigned at_step = unsigned(block * n_steps + step);
  uint4 values[kVectors<kBits>];
  OMNI_UNROLL for (int i = 0; i < kVectors<kBits>; ++i) values[i] =
      reinterpret_cast<const uint4*>(w.values)[(at_step * kVectors<kBits> + i) * kWarp + lane];
  OMNI_UNROLL for (int c = 0; c < kChunks; ++c) {
    uint32_t q[4];
    widen<kBits>(values, c, q);
    const Scale scale = scale_of<kBits>(
        w.scales[(at_step * kBlockOutputs + lane / 4) * kGroups + c * kGroups / kChunks]);
    const int at = step * kStepInputs + kChunkInputs * c + 8 * (lane % 4);
    if (o >= w.n_out || at >= w.n_in) continue;
    alignas(16) bf16 out[8];
    OMNI_UNROLL for (int i = 0; i < 8; ++i)
        assign(out[i], ((i % 2 ? high_bf16(q[i / 2]) : low_bf16(q[i / 2])) + scale.zero) *
                           scale.value * w.unit);
    *reinterpret_cast<uint4*>(y + int64_t(o) * w.n_in + at) = *reinterpret_cast<const uint4*>(out);
  }
}

// Warps of a block.
int warps_of(const QuantizedWeight& w) {
  return steps_of(w) <= kMostWarps / 2 || w.groups == kMostGroups ? kMostWarps / 2 : kMostWarps;
}

cudaError_t few_rows(const bf16* x, const NormedRows& normed, const QuantizedWeight& weight,
                     const float* bias, Into into, void* y, int n, cudaStream_t stream) {
  const bool silu = into == Into::silu_mul;
  if (n < 0 || n > kMostFewRows || !is_valid(weight) || (silu && weight.n_out % kOutputs))
    return cudaErrorInvalidValue;
  if (n == 0 || weight.n_out == 0) return cudaSuccess;
  const int n_tiles = (weight.n_out + kOutputs - 1) / kOutputs, n_steps = steps_of(weight),
            n_warps = warps_of(weight), n_turns = (n_steps + n_warps - 1) / n_warps,
            most = kMultiprocessors * kMostWarps / n_warps *
                   (n <= kRows ? kLargestBlocks<1> : kLargestBlocks<2>),
            n_outputs = weight.n_out / (silu ? 2 : 1);
  const unsigned n_blocks = unsigned(n_tiles < most ? n_tiles : most);
  const Cut cut{n_tiles,
                n_steps,
                n_warps,
                n_turns,
                n_outputs,
                unsigned((silu ? 1 : 2) * n_steps),
                unsigned(n_steps * (silu ? n_outputs / kBlockOutputs : 1)),
                n_blocks * unsigned((silu ? 1 : 2) * n_steps) - unsigned(n_turns * n_warps)};
  return with_format(weight, [&](auto bits, auto groups) {
    const auto launch_with_rows = [&](auto row_tiles) {
      const unsigned rings = kDepth<bits, row_tiles> * kStage<bits, groups> * sizeof(uint4),
                     sums = 2 * kOutputs * kRows * row_tiles * sizeof(float),
                     rows = x ? 0 : unsigned(n * kStepInputs) * sizeof(bf16);
      return launch_early(
          "linear_few_quantized",
          n_turns == 1 ? linear_few_quantized_kernel<bits, groups, row_tiles, true>
                       : linear_few_quantized_kernel<bits, groups, row_tiles, false>,
          {{n_blocks}, {kWarp * unsigned(n_warps)}, unsigned(n_warps) * (rings + sums + rows)},
          stream, x, normed, weight, bias, into, y, n, cut);
    };
    return n <= kRows ? launch_with_rows(std::integral_constant<int, 1>())
                      : launch_with_rows(std::integral_constant<int, 2>());
  });
}

}  // namespace

cudaError_t linear_few_quantized(const bf16* x, const QuantizedWeight& weight, const float* bias,
                                 Into into, void* y, int n, cudaStream_t stream) {
  return few_rows(x, {}, weight, bias, into, y, n, stream);
}

bool can_norm_few(int64_t n, const QuantizedWeight& weight) {
  // what the sums of a block and its rings take at most, and its rows
  const int64_t shared = (int64_t{99} << 10) + warps_of(weight) * n * kStepInputs * 2;
  return n <= kMostNormedRows && steps_of(weight) <= warps_of(weight) &&
         shared <= int64_t{most_shared()};
}

cudaError_t linear_few_quantized(const NormedRows& x, const QuantizedWeight& weight,
                                 const float* bias, Into into, void* y, int n,
                                 cudaStream_t stream) {
  if (!can_norm_few(n, weight)) return cudaErrorInvalidValue;
  return few_rows(nullptr, x, weight, bias, into, y, n, stream);
}

cudaError_t dequantize(const QuantizedWeight& weight, bf16* y, cudaStream_t stream) {
  if (!is_valid(weight)) return cudaErrorInvalidValue;
  if (weight.n_out == 0 || weight.n_in == 0) return cudaSuccess;
  const int n_steps = steps_of(weight);
  return with_format(weight, [&](auto bits, auto groups) {
    return launch("dequantize", dequantize_kernel<bits, groups>,
                  {{unsigned((n_steps + kDequantizeWarps - 1) / kDequantizeWarps),
                    unsigned((weight.n_out + kBlockOutputs - 1) / kBlockOutputs)},
                   {kWarp * kDequantizeWarps}},
                  stream, weight, y, n_steps);
  });
}

}  // namespace omni::cuda
