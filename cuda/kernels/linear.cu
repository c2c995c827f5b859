// Of float32, few rows: a warp for each output, whose lanes stride over the inputs, sixteen bytes
// of weights at a time where they are aligned. Many: tiles of 64 rows by 64 outputs, 16 inputs
// deep, 4 × 4 sums a thread. On tensor cores: tiles of 64 by 128, 32 deep, 32 × 32 a warp.
#include "kernels/linear.h"
#include "kernels/mma.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kTile = 64, kDepth = 16, kPad = 4;

template <bool kVector>
__global__ void __launch_bounds__(kThreads)
    linear_row_kernel(const float* __restrict__ x, const float* __restrict__ weight,
                      const float* __restrict__ bias, float* __restrict__ y, int n, int n_in,
                      int n_out) {
  constexpr int kStep = kVector ? 4 : 1;
  const int output = int(blockIdx.x) * kWarps + int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  if (output >= n_out) return;
  const float* row = weight + int64_t(output) * n_in;
  float sum[kFewRows];
  for (int r = 0; r < kFewRows; ++r) sum[r] = 0;
  for (int i = lane * kStep; i < n_in; i += 32 * kStep) {
    alignas(16) float w[kStep];
    if constexpr (kVector)
      *reinterpret_cast<uint4*>(w) = *reinterpret_cast<const uint4*>(row + i);
    else
      w[0] = row[i];
    for (int r = 0; r < kFewRows; ++r)
      if (r < n)
        for (int s = 0; s < kStep; ++s) sum[r] += w[s] * x[int64_t(r) * n_in + i + s];
  }
  for (int r = 0; r < kFewRows; ++r) {
    if (r >= n) break;
    const float whole = warp_sum(sum[r]);
    if (lane == 0) y[int64_t(r) * n_out + output] = whole + (bias ? bias[output] : 0.f);
  }
}

__global__ void __launch_bounds__(kThreads)
    linear_many_kernel(const float* __restrict__ x, const float* __restrict__ weight,
                       const float* __restrict__ bias, float* __restrict__ y, int64_t n, int n_in,
                       int n_out) {
  OMNI_SHARED(float, a, kDepth*(kTile + kPad));
  OMNI_SHARED(float, b, kDepth*(kTile + kPad));
  const int64_t first_row = int64_t(blockIdx.y) * kTile;
  const int first_output = int(blockIdx.x) * kTile, t = int(threadIdx.x), row = t / 16 * 4,
            column = t % 16 * 4;
  float sum[4][4];
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) sum[i][j] = 0;
  for (int begin = 0; begin < n_in; begin += kDepth) {
    __syncthreads();  // the tiles may still be read
    for (int at = t; at < kTile * kDepth; at += kThreads) {
      const int r = at / kDepth, d = at % kDepth;
      const bool inside = begin + d < n_in;
      a[d * (kTile + kPad) + r] =
          inside && first_row + r < n ? x[(first_row + r) * n_in + begin + d] : 0.f;
      b[d * (kTile + kPad) + r] = inside && first_output + r < n_out
                                      ? weight[int64_t(first_output + r) * n_in + begin + d]
                                      : 0.f;
    }
    __syncthreads();
    for (int d = 0; d < kDepth; ++d)
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
          sum[i][j] += a[d * (kTile + kPad) + row + i] * b[d * (kTile + kPad) + column + j];
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      const int output = first_output + column + j;
      if (first_row + row + i < n && output < n_out)
        y[(first_row + row + i) * n_out + output] = sum[i][j] + (bias ? bias[output] : 0.f);
    }
}

// a line of 80 bytes: fragments come from 32 different banks
constexpr int kRows = 64, kOutputs = 128, kDeep = 32, kLine = kDeep + 8;

// n_in is a multiple of 8. While the warps multiply a tile, the next one is on its way to
// registers.
__global__ void __launch_bounds__(kThreads)
    linear_tensor_kernel(const bf16* __restrict__ x, const bf16* __restrict__ weight,
                         const float* __restrict__ bias, float* __restrict__ y, int64_t n, int n_in,
                         int n_out) {
  OMNI_SHARED(uint32_t, a, kRows * kLine / 2);
  OMNI_SHARED(uint32_t, b, kOutputs * kLine / 2);
  const int64_t first_row = int64_t(blockIdx.y) * kRows;
  const int first_output = int(blockIdx.x) * kOutputs, t = int(threadIdx.x), lane = t % 32,
            warp = t / 32;
  // this thread fetches 8 inputs of one row of x and of two rows of the weight
  const int row = t / 4, part = t % 4 * 8;
  const bool has_row = first_row + row < n;
  uint4 next_x, next_w[2];
  const auto fetch = [&](int begin) {
    const bool inside = begin + part < n_in;
    next_x = inside && has_row
                 ? *reinterpret_cast<const uint4*>(x + (first_row + row) * n_in + begin + part)
                 : uint4{0, 0, 0, 0};
    OMNI_UNROLL for (int i = 0; i < 2; ++i) {
      const int output = first_output + row + 64 * i;
      next_w[i] =
          inside && output < n_out
              ? *reinterpret_cast<const uint4*>(weight + int64_t(output) * n_in + begin + part)
              : uint4{0, 0, 0, 0};
    }
  };
  float sum[2][4][4];
  OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int j = 0; j < 4; ++j)
      OMNI_UNROLL for (int k = 0; k < 4; ++k) sum[i][j][k] = 0;
  const int top = warp / 4 * 32, left = warp % 4 * 32, group = lane / 4, pair = lane % 4;

  fetch(0);
  for (int begin = 0; begin < n_in; begin += kDeep) {
    __syncthreads();  // the tiles may still be read
    *reinterpret_cast<uint4*>(a + (row * kLine + part) / 2) = next_x;
    OMNI_UNROLL for (int i = 0; i < 2; ++i) *
        reinterpret_cast<uint4*>(b + ((row + 64 * i) * kLine + part) / 2) = next_w[i];
    __syncthreads();
    if (begin + kDeep < n_in) fetch(begin + kDeep);
    OMNI_UNROLL for (int deep = 0; deep < kDeep / 2; deep += 8) {  // 16 inputs, in pairs
      uint32_t left_part[2][4], right_part[4][2];
      OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int k = 0; k < 4; ++k)
          left_part[i][k] =
              a[(top + 16 * i + group + k % 2 * 8) * kLine / 2 + deep + pair + k / 2 * 4];
      OMNI_UNROLL for (int j = 0; j < 4; ++j) OMNI_UNROLL for (int k = 0; k < 2; ++k)
          right_part[j][k] = b[(left + 8 * j + group) * kLine / 2 + deep + pair + k * 4];
      OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int j = 0; j < 4; ++j)
          mma_bf16(sum[i][j], left_part[i], right_part[j]);
    }
  }
  OMNI_UNROLL for (int i = 0; i < 2; ++i) OMNI_UNROLL for (int j = 0; j < 4; ++j)
      OMNI_UNROLL for (int k = 0; k < 4; ++k) {
    const int64_t r = first_row + top + 16 * i + group + k / 2 * 8;
    const int output = first_output + left + 8 * j + 2 * pair + k % 2;
    if (r < n && output < n_out) y[r * n_out + output] = sum[i][j][k] + (bias ? bias[output] : 0.f);
  }
}

}  // namespace

cudaError_t linear(const float* x, const float* weight, const float* bias, float* y, int64_t n,
                   int n_in, int n_out, cudaStream_t stream) {
  if (n == 0 || n_out == 0) return cudaSuccess;
  if (n <= kFewRows) {
    const LaunchShape shape{{unsigned((n_out + kWarps - 1) / kWarps)}, {kThreads}};
    const bool vector = n_in % 4 == 0 && reinterpret_cast<uintptr_t>(weight) % 16 == 0;
    return vector ? launch("linear_row", linear_row_kernel<true>, shape, stream, x, weight, bias, y,
                           int(n), n_in, n_out)
                  : launch("linear_row", linear_row_kernel<false>, shape, stream, x, weight, bias,
                           y, int(n), n_in, n_out);
  }
  return launch(
      "linear_many", linear_many_kernel,
      {{unsigned((n_out + kTile - 1) / kTile), unsigned((n + kTile - 1) / kTile)}, {kThreads}},
      stream, x, weight, bias, y, n, n_in, n_out);
}

cudaError_t linear_tensor(const bf16* x, const bf16* weight, const float* bias, float* y, int64_t n,
                          int n_in, int n_out, cudaStream_t stream) {
  if (n_in % 8) return cudaErrorInvalidValue;
  if (n == 0 || n_out == 0) return cudaSuccess;
  return launch("linear_tensor", linear_tensor_kernel,
                {{unsigned((n_out + kOutputs - 1) / kOutputs), unsigned((n + kRows - 1) / kRows)},
                 {kThreads}},
                stream, x, weight, bias, y, n, n_in, n_out);
}

}  // namespace omni::cuda
