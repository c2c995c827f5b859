// As linear_few.cu: a block takes sixteen outputs at a time on tensor cores, its warps each a part
// of the inputs; but what a lane reads are integers, which become pairs of bfloat16 in registers,
// and the sum of each group is scaled in float. Two parts are on their way ahead of the one that is
// multiplied, whatever tile they are of, and the first ones before x is there.
#include "kernels/integers.h"
#include "kernels/linear_quantized.h"
#include "kernels/mma.h"

namespace omni::cuda {

namespace {

constexpr unsigned kWarp = 32;
constexpr int kMostWarps = 16, kOutputs = 2 * kBlockOutputs, kRows = 8;
constexpr int kMultiprocessors = 132;  // of the largest

// What a lane reads at a time of a block of outputs: sixteen bytes of values, and the scale of one
// group. Of four bits that is a step, of eight half of one.
struct Part {
  uint4 values;
  uint32_t scale;
};
template <int kBits>
constexpr int kInputs = 16 * 4 * 8 / kBits;  // of four lanes
template <int kBits>
constexpr int kChunks = kInputs<kBits> / kChunkInputs;
template <int kBits>
constexpr int kParts = kStepInputs / kInputs<kBits>;  // of a step

template <int kBits, int kGroups>
constexpr int kHere = kGroups < kParts<kBits> ? 1 : kGroups / kParts<kBits>;  // groups of a part
// Of the scale that lane `at` % 32 reads for part `at` / 32.
template <int kBits, int kGroups>
__device__ inline unsigned scale_index(unsigned at) {
  constexpr unsigned kOf = kHere<kBits, kGroups>;
  if constexpr (kParts<kBits> == 1) return at / 4 * kGroups + at % kOf;
  const unsigned part = at / kWarp, first = kGroups > 1 ? part % kParts<kBits> * kOf : 0;
  return (part / kParts<kBits> * kBlockOutputs + at / 4 % kBlockOutputs) * kGroups + first +
         at % kOf;
}
__device__ inline Part load(const QuantizedWeight& w, unsigned at, unsigned scale_at) {
  return {reinterpret_cast<const uint4*>(w.values)[at], w.scales[scale_at]};
}

// Of group g of a part, for this lane's output.
struct Scale {
  float value;
  uint32_t zeros;  // 128 more than the zero, twice; of four bits
};
template <int kBits, int kGroups>
__device__ inline Scale scale_of(const Part& part, int g, int lane) {
  const uint32_t word = kHere<kBits, kGroups> == 1
                            ? part.scale
                            : __shfl_sync(0xffffffffu, part.scale, (lane & ~3) + g);
  if constexpr (kBits == 4)
    return {to_float(__ushort_as_half(uint16_t(word))), __byte_perm(word, 0, 0x3232)};
  else
    return {__uint_as_float(word), 0};
}

__device__ inline uint32_t word_of(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}
// The eight integers of chunk c of a part.
template <int kBits>
__device__ inline void widen(const Part& part, int c, const Scale& scale, uint32_t (&pairs)[4]) {
  if constexpr (kBits == 4) {
    widen_int4(word_of(part.values, c), scale.zeros, pairs);
  } else {
    widen_int8(word_of(part.values, 2 * c), pairs);
    widen_int8(word_of(part.values, 2 * c + 1), pairs + 2);
  }
}

// How the work is cut; none of it takes a register.
struct Cut {
  int n_tiles, n_parts, n_warps;
  int n_turns;    // parts of a tile, those that would make warps equal among them
  int n_outputs;  // of y
  // from the first eight outputs of a tile to the others: lanes and scales
  unsigned second, second_scale;
  int of_a_tile;  // parts, of the outputs that lie behind one another
};

// That fit a multiprocessor: sums of two row tiles take more registers.
template <int kRowTiles>
constexpr int kLargestBlocks = kRowTiles == 1 ? 2 : 1;

template <int kBits, int kGroups, int kRowTiles>
__global__ void __launch_bounds__(kWarp* kMostWarps, kLargestBlocks<kRowTiles>)
    linear_few_quantized_kernel(const bf16* __restrict__ x, QuantizedWeight w,
                                const float* __restrict__ bias, Into into, void* __restrict__ y,
                                int n, Cut cut) {
  constexpr int kSums = kOutputs * kRows * kRowTiles, kAhead = 2;
  constexpr bool kWhole = kGroups < kMostGroups;
  constexpr int kShare = kChunks<kBits> / kHere<kBits, kGroups>;  // chunks of a group
  OMNI_SHARED(float, partial, 2 * kMostWarps * kSums);
  const int t = int(threadIdx.x), lane = int(threadIdx.x % kWarp), warp = int(threadIdx.x / kWarp),
            group = lane / 4, pair = lane % 4;
  const bool silu = into == Into::silu_mul;

  Part next[kAhead][2];
  int ahead_tile = int(blockIdx.x), ahead_part = warp;
  const auto fetch_next = [&](Part(&parts)[2]) {
    if (ahead_tile < cut.n_tiles && ahead_part < cut.n_parts) {
      const unsigned at = unsigned(ahead_tile * cut.of_a_tile + ahead_part) * kWarp + lane,
                     scale = scale_index<kBits, kGroups>(at);
      parts[0] = load(w, at, scale);
      parts[1] = load(w, at + cut.second, scale + cut.second_scale);
    }
    ahead_part += cut.n_warps;
    if (ahead_part >= cut.n_turns) ahead_part = warp, ahead_tile += int(gridDim.x);
  };
  OMNI_UNROLL for (int a = 0; a < kAhead; ++a) fetch_next(next[a]);
  wait_for_input();

  // this lane's row of x; those that are not there are as the first one, and not written
  int rows[kRowTiles];
  OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) {
    const int row = kRows * j + group;
    rows[j] = (row < n ? row * w.n_in : 0) + 8 * pair;
  }
  float sum[kRowTiles][4];
  const auto clear = [&](float(&sums)[kRowTiles][4]) {
    OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 4; ++i)
        sums[j][i] = 0;
  };
  const auto multiply = [&](const Part(&parts)[2], int begin) {
    float of_group[kRowTiles][4];
    Scale scale[2];
    OMNI_UNROLL for (int c = 0; c < kChunks<kBits>; ++c) {
      if (c % kShare == 0) {
        clear(of_group);
        OMNI_UNROLL for (int half = 0; half < 2; ++half) scale[half] =
            scale_of<kBits, kGroups>(parts[half], c / kShare, lane);
      }
      uint32_t q[2][4];
      OMNI_UNROLL for (int half = 0; half < 2; ++half)
          widen<kBits>(parts[half], c, scale[half], q[half]);
      const int at = begin + kChunkInputs * c;
      OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) {
        const uint4 v = kWhole || at + 8 * pair < w.n_in
                            ? *reinterpret_cast<const uint4*>(x + (rows[j] + at))
                            : uint4{0, 0, 0, 0};
        mma_bf16(of_group[j], {q[0][0], q[1][0], q[0][1], q[1][1]}, {v.x, v.y});
        mma_bf16(of_group[j], {q[0][2], q[1][2], q[0][3], q[1][3]}, {v.z, v.w});
      }
      if (c % kShare == kShare - 1)
        OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 4; ++i)
            sum[j][i] += of_group[j][i] * scale[i / 2].value;
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
  const auto write = [&](int tile) {
    const int outputs = silu ? kBlockOutputs : kOutputs;
    for (int i = t; i < outputs * kRows * kRowTiles; i += int(blockDim.x)) {
      const int row = i % kRows, output = i / kRows & (outputs - 1),
                j = i >> (silu ? 6 : 7),  // of 64 or 128 values
          o = tile * outputs + output;
      const int64_t to = kRows * j + row;
      if (to >= n || o >= cut.n_outputs) continue;
      const float value = whole(j, output, row) + (bias ? bias[o] : 0.f);
      if (silu) {
        const float up =
            whole(j, output + kBlockOutputs, row) + (bias ? bias[o + cut.n_outputs] : 0.f);
        assign(static_cast<bf16*>(y)[to * cut.n_outputs + o], value / (1.f + __expf(-value)) * up);
      } else {
        float* place = static_cast<float*>(y) + to * cut.n_outputs + o;
        *place = into == Into::sum ? *place + value : value;
      }
    }
  };

  clear(sum);
  int tile = int(blockIdx.x), part = warp;
  while (tile < cut.n_tiles) OMNI_UNROLL for (int a = 0; a < kAhead; ++a) {
      if (tile >= cut.n_tiles) break;
      if (part < cut.n_parts) multiply(next[a], part * kInputs<kBits>);
      fetch_next(next[a]);
      part += cut.n_warps;
      if (part < cut.n_turns) continue;
      float* mine = sums + warp * kSums;
      OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 4; ++i)
          mine[(j * kOutputs + group + i / 2 * kBlockOutputs) * kRows + 2 * pair + i % 2] =
              sum[j][i];
      clear(sum);
      __syncthreads();
      write(tile);
      part = warp, tile += int(gridDim.x);
      sums = sums == partial ? partial + kMostWarps * kSums : partial;
    }
}

constexpr int kDequantizeWarps = 4;

template <int kBits, int kGroups>
__global__ void __launch_bounds__(kWarp* kDequantizeWarps)
    dequantize_kernel(QuantizedWeight w, bf16* __restrict__ y, int n_parts) {
  const int lane = int(threadIdx.x % kWarp), warp = int(threadIdx.x / kWarp),
            at_part = int(blockIdx.x) * kDequantizeWarps + warp, block = int(blockIdx.y),
            o = block * kBlockOutputs + lane / 4;
  if (at_part >= n_parts) return;
  const unsigned at_lane = (block * n_parts + at_part) * kWarp + lane;
  const Part part = load(w, at_lane, scale_index<kBits, kGroups>(at_lane));
  OMNI_UNROLL for (int c = 0; c < kChunks<kBits>; ++c) {
    uint32_t q[4];
    const Scale scale =
        scale_of<kBits, kGroups>(part, c * kHere<kBits, kGroups> / kChunks<kBits>, lane);
    widen<kBits>(part, c, scale, q);
    const int at = at_part * kInputs<kBits> + kChunkInputs * c + 8 * (lane % 4);
    if (o >= w.n_out || at >= w.n_in) continue;
    alignas(16) bf16 out[8];
    OMNI_UNROLL for (int i = 0; i < 8; ++i)
        assign(out[i], __uint_as_float(i % 2 ? q[i / 2] & 0xffff'0000 : q[i / 2] << 16) *
                           scale.value * w.unit);
    *reinterpret_cast<uint4*>(y + int64_t(o) * w.n_in + at) = *reinterpret_cast<const uint4*>(out);
  }
}

// work(bits, groups) of a weight, as constants.
template <class Work>
cudaError_t with_format(const QuantizedWeight& w, const Work& work) {
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  using Four = std::integral_constant<int, 4>;
  using Eight = std::integral_constant<int, 8>;
  switch (w.bits * 10 + w.groups) {
    case 41:
      return work(Four(), One());
    case 42:
      return work(Four(), Two());
    case 44:
      return work(Four(), Four());
    case 81:
      return work(Eight(), One());
    case 84:
      return work(Eight(), Four());
    default:
      return cudaErrorInvalidValue;
  }
}

int parts_of_a_step(const QuantizedWeight& w) { return w.bits == 4 ? kParts<4> : kParts<8>; }
int parts_of(const QuantizedWeight& w) {
  return (w.n_in + kStepInputs - 1) / kStepInputs * parts_of_a_step(w);
}
// Whether each step but those of the most groups is whole.
bool is_valid(const QuantizedWeight& w) {
  return w.n_in % (w.groups == kMostGroups ? 8 : kStepInputs) == 0;
}

}  // namespace

cudaError_t linear_few_quantized(const bf16* x, const QuantizedWeight& weight, const float* bias,
                                 Into into, void* y, int n, cudaStream_t stream) {
  const bool silu = into == Into::silu_mul;
  if (n < 0 || n > kMostFewRows || !is_valid(weight) || (silu && weight.n_out % kOutputs))
    return cudaErrorInvalidValue;
  if (n == 0 || weight.n_out == 0) return cudaSuccess;
  const int n_tiles = (weight.n_out + kOutputs - 1) / kOutputs, n_parts = parts_of(weight),
            n_warps = n_parts <= kMostWarps / 2 ? kMostWarps / 2 : kMostWarps,
            most = kMultiprocessors * kMostWarps / n_warps *
                   (n <= kRows ? kLargestBlocks<1> : kLargestBlocks<2>);
  const unsigned n_blocks = unsigned(n_tiles < most ? n_tiles : most);
  const int n_turns = (n_parts + n_warps - 1) / n_warps * n_warps,
            n_outputs = weight.n_out / (silu ? 2 : 1);
  const unsigned second = unsigned(silu ? n_outputs / kBlockOutputs : 1) * n_parts;
  const Cut cut{n_tiles,
                n_parts,
                n_warps,
                n_turns,
                n_outputs,
                kWarp * second,
                kBlockOutputs * weight.groups * (second / parts_of_a_step(weight)),
                (silu ? 1 : 2) * n_parts};
  const LaunchShape shape{{n_blocks}, {kWarp * unsigned(n_warps)}};
  return with_format(weight, [&](auto bits, auto groups) {
    return launch_early("linear_few_quantized",
                        n <= kRows ? linear_few_quantized_kernel<bits, groups, 1>
                                   : linear_few_quantized_kernel<bits, groups, 2>,
                        shape, stream, x, weight, bias, into, y, n, cut);
  });
}

cudaError_t dequantize(const QuantizedWeight& weight, bf16* y, cudaStream_t stream) {
  if (!is_valid(weight)) return cudaErrorInvalidValue;
  if (weight.n_out == 0 || weight.n_in == 0) return cudaSuccess;
  const int n_parts = parts_of(weight);
  return with_format(weight, [&](auto bits, auto groups) {
    return launch("dequantize", dequantize_kernel<bits, groups>,
                  {{unsigned((n_parts + kDequantizeWarps - 1) / kDequantizeWarps),
                    unsigned((weight.n_out + kBlockOutputs - 1) / kBlockOutputs)},
                   {kWarp * kDequantizeWarps}},
                  stream, weight, y, n_parts);
  });
}

}  // namespace omni::cuda
