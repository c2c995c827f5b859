// A block for kFrames frames of kThreads channels: their upsampled, bent neighbourhood goes through
// shared memory, so that each of its values is made once.
#include "kernels/snake_beta.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 32, kFrames = 64, kUpsampled = 2 * kFrames + 10;

__global__ void __launch_bounds__(kThreads)
    snake_beta_kernel(const float* __restrict__ x, const float* __restrict__ alpha,
                      const float* __restrict__ beta_reciprocal, const float* __restrict__ filter,
                      float* __restrict__ y, int64_t n, int c) {
  OMNI_SHARED(float, bent, kUpsampled* kThreads);
  const int channel = int(blockIdx.y) * kThreads + int(threadIdx.x);
  if (channel >= c) return;  // no barrier below: a thread reads its own column only
  const int64_t begin = int64_t(blockIdx.x) * kFrames,
                end = begin + kFrames < n ? begin + kFrames : n, first = 2 * begin - 5;
  float* mine = bent + threadIdx.x;
  for (int64_t m = first < 0 ? 0 : first; m < 2 * end + 5 && m < 2 * n; ++m) {
    const int64_t j = m / 2, odd = m % 2;
    float u = 0;
    for (int t = 0; t < 6; ++t) {
      const int64_t at = j + 2 + odd - t;
      u += 2 * filter[2 * t + 1 - odd] * x[(at < 0 ? 0 : at >= n ? n - 1 : at) * c + channel];
    }
    // sin² has the period π; near zero the fast sine is exact enough.
    const float angle = u * alpha[channel], turns = rintf(angle * .31830989f),
                s = __sinf(fmaf(turns, 8.7422777e-8f, fmaf(turns, -3.1415927f, angle)));
    mine[(m - first) * kThreads] = u + s * s * beta_reciprocal[channel];
  }
  for (int64_t j = begin; j < end; ++j) {
    float sum = 0;
    for (int t = 0; t < 12; ++t) {
      const int64_t m = 2 * j + t - 5;
      sum += filter[t] * mine[((m < 0 ? 0 : m >= 2 * n ? 2 * n - 1 : m) - first) * kThreads];
    }
    y[j * c + channel] = sum;
  }
}

}  // namespace

cudaError_t snake_beta(const float* x, const float* alpha, const float* beta_reciprocal,
                       const float* filter, float* y, int64_t n, int c, cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  return launch("snake_beta", snake_beta_kernel,
                {{unsigned((n + kFrames - 1) / kFrames), unsigned((c + kThreads - 1) / kThreads)},
                 {kThreads}},
                stream, x, alpha, beta_reciprocal, filter, y, n, c);
}

}  // namespace omni::cuda
