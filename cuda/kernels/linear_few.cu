// A block takes sixteen outputs at a time, its warps each a part of the inputs, on tensor cores:
// the weights are the left factor, eight rows of x the right one. A lane reads sixteen bytes of a
// row at a time: which input stands where in a fragment does not matter, as long as both factors
// agree. The weights that come next are on their way while the last ones are multiplied, and the
// first ones before x is there.
#include "kernels/linear_few.h"
#include "kernels/mma.h"

namespace omni::cuda {

namespace {

constexpr int kWarps = 16, kThreads = 32 * kWarps, kOutputs = 16, kRows = 8;
constexpr int kChunks = 2, kStep = 32 * kChunks;  // inputs that a warp takes at a time
constexpr int kMostBlocks = 264;                  // two for each multiprocessor of the largest

// The first and the second eight outputs of a tile, of one lane.
struct Outputs {
  int first, second;
};
template <Into into>
__device__ inline Outputs outputs_of(int tile, int row, int n_out) {
  if constexpr (into == Into::silu_mul) {
    const int gate = tile * kRows + row;
    return {gate, gate + n_out / 2};
  } else {
    return {tile * kOutputs + row, tile * kOutputs + kRows + row};
  }
}

template <int kRowTiles, Into into>
__global__ void __launch_bounds__(kThreads, 2)
    linear_few_kernel(const bf16* __restrict__ x, const bf16* __restrict__ weight,
                      const float* __restrict__ bias, void* __restrict__ y, int n, int n_in,
                      int n_out, int n_tiles) {
  constexpr int kSums = kOutputs * kRows * kRowTiles;
  OMNI_SHARED(float, partial, 2 * kWarps * kSums);
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, group = lane / 4,
            pair = lane % 4, begin = warp * kStep + 8 * pair;
  const int n_outputs = into == Into::silu_mul ? n_out / 2 : n_out;

  uint4 next[2][kChunks];
  const auto fetch = [&](int tile, int at) {
    const Outputs o = outputs_of<into>(tile, group, n_out);
    const bool has[2] = {o.first < n_outputs, o.second < n_out};
    const bf16* row[2] = {weight + int64_t(o.first) * n_in, weight + int64_t(o.second) * n_in};
    OMNI_UNROLL for (int half = 0; half < 2; ++half) OMNI_UNROLL for (int c = 0; c < kChunks; ++c)
        next[half][c] = has[half] && at + 32 * c < n_in
                            ? *reinterpret_cast<const uint4*>(row[half] + at + 32 * c)
                            : uint4{0, 0, 0, 0};
  };
  if (int(blockIdx.x) < n_tiles) fetch(int(blockIdx.x), begin);
  wait_for_input();

  float* sums = partial;
  for (int tile = int(blockIdx.x); tile < n_tiles; tile += int(gridDim.x)) {
    float sum[kRowTiles][4];
    OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 4; ++i)
        sum[j][i] = 0;
    for (int at = begin; at - 8 * pair < n_in; at += kWarps * kStep) {
      uint4 w[2][kChunks];
      OMNI_UNROLL for (int half = 0; half < 2; ++half) OMNI_UNROLL for (int c = 0; c < kChunks; ++c)
          w[half][c] = next[half][c];
      if (at - 8 * pair + kWarps * kStep < n_in)
        fetch(tile, at + kWarps * kStep);
      else if (tile + int(gridDim.x) < n_tiles)
        fetch(tile + int(gridDim.x), begin);
      OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j)
          OMNI_UNROLL for (int c = 0; c < kChunks; ++c) {
        const int row = kRows * j + group;
        const uint4 v = row < n && at + 32 * c < n_in
                            ? *reinterpret_cast<const uint4*>(x + int64_t(row) * n_in + at + 32 * c)
                            : uint4{0, 0, 0, 0};
        mma_bf16(sum[j], {w[0][c].x, w[1][c].x, w[0][c].y, w[1][c].y}, {v.x, v.y});
        mma_bf16(sum[j], {w[0][c].z, w[1][c].z, w[0][c].w, w[1][c].w}, {v.z, v.w});
      }
    }
    // sums [warp][row tile][output][row]; two of them, so that one barrier a tile is enough
    float* mine = sums + warp * kSums;
    OMNI_UNROLL for (int j = 0; j < kRowTiles; ++j) OMNI_UNROLL for (int i = 0; i < 4; ++i)
        mine[(j * kOutputs + group + i / 2 * kRows) * kRows + 2 * pair + i % 2] = sum[j][i];
    __syncthreads();
    const auto whole = [&](int j, int output, int row) {
      float total = 0;
      OMNI_UNROLL for (int w = 0; w < kWarps; ++w) total +=
          sums[w * kSums + (j * kOutputs + output) * kRows + row];
      return total;
    };
    constexpr int kValues = into == Into::silu_mul ? kSums / 2 : kSums;
    for (int i = int(threadIdx.x); i < kValues; i += kThreads) {
      constexpr int kEach = kValues / kRowTiles;  // of a row tile
      const int j = i / kEach, output = i % kEach / kRows, row = i % kRows;
      const int64_t to = kRows * j + row;
      if (to >= n) continue;
      if constexpr (into == Into::silu_mul) {
        const Outputs o = outputs_of<into>(tile, output, n_out);
        if (o.first >= n_outputs) continue;
        const float gate = whole(j, output, row) + (bias ? bias[o.first] : 0.f),
                    up = whole(j, output + kRows, row) + (bias ? bias[o.second] : 0.f);
        assign(static_cast<bf16*>(y)[to * n_outputs + o.first], gate / (1.f + __expf(-gate)) * up);
      } else {
        const int o = tile * kOutputs + output;
        if (o >= n_out) continue;
        float* place = static_cast<float*>(y) + to * n_out + o;
        const float value = whole(j, output, row) + (bias ? bias[o] : 0.f);
        *place = into == Into::sum ? *place + value : value;
      }
    }
    sums = sums == partial ? partial + kWarps * kSums : partial;
  }
}

template <int kRowTiles>
auto kernel_of(Into into) {
  return into == Into::y     ? linear_few_kernel<kRowTiles, Into::y>
         : into == Into::sum ? linear_few_kernel<kRowTiles, Into::sum>
                             : linear_few_kernel<kRowTiles, Into::silu_mul>;
}

}  // namespace

cudaError_t linear_few(const bf16* x, const bf16* weight, const float* bias, Into into, void* y,
                       int n, int n_in, int n_out, cudaStream_t stream) {
  if (n < 0 || n > kMostFewRows || n_in % 8 || (into == Into::silu_mul && n_out % 2))
    return cudaErrorInvalidValue;
  if (n == 0 || n_out == 0) return cudaSuccess;
  const int n_tiles =
      into == Into::silu_mul ? (n_out / 2 + kRows - 1) / kRows : (n_out + kOutputs - 1) / kOutputs;
  return launch_early("linear_few", n <= kRows ? kernel_of<1>(into) : kernel_of<2>(into),
                      {{unsigned(n_tiles < kMostBlocks ? n_tiles : kMostBlocks)}, {kThreads}},
                      stream, x, weight, bias, y, n, n_in, n_out, n_tiles);
}

}  // namespace omni::cuda
