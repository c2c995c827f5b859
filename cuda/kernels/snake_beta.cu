// A block for kFrames frames of kChannels channels: their upsampled, bent neighbourhood goes
// through shared memory, so that each of its values is made once.
#include "kernels/sine.h"
#include "kernels/snake_beta.h"

namespace omni::cuda {

namespace {

constexpr int kChannels = 32, kRows = 8, kFrames = 32, kUpsampled = 2 * kFrames + 10, kTaps = 12;

__global__ void __launch_bounds__(kChannels* kRows)
    snake_beta_kernel(const float* __restrict__ x, const float* __restrict__ alpha,
                      const float* __restrict__ beta_reciprocal, const float* __restrict__ filter,
                      float* __restrict__ y, int64_t n, int c) {
  OMNI_SHARED(float, bent, kUpsampled* kChannels);
  const int lane = int(threadIdx.x) % kChannels, row = int(threadIdx.x) / kChannels,
            channel = int(blockIdx.y) * kChannels + lane;
  const bool is_one = channel < c;
  const int64_t begin = int64_t(blockIdx.x) * kFrames,
                end = begin + kFrames < n ? begin + kFrames : n, first = 2 * begin - 5;
  float f[kTaps];
  OMNI_UNROLL
  for (int t = 0; t < kTaps; ++t) f[t] = filter[t];
  const float a = is_one ? alpha[channel] : 0, b = is_one ? beta_reciprocal[channel] : 0;
  for (int i = row; i < kUpsampled && is_one; i += kRows) {
    const int64_t m = first + i;
    if (m < 0 || m >= 2 * n) continue;
    const int64_t j = m >> 1;
    const bool odd = m & 1;
    float u = 0;
    OMNI_UNROLL
    for (int t = 0; t < 6; ++t) {
      const int64_t at = j + 2 + odd - t;
      u += 2 * (odd ? f[2 * t] : f[2 * t + 1]) *
           x[(at < 0    ? 0
              : at >= n ? n - 1
                        : at) *
                 c +
             channel];
    }
    const float s = sine_up_to_sign(u * a);
    bent[i * kChannels + lane] = u + s * s * b;
  }
  __syncthreads();
  for (int64_t j = begin + row; j < end && is_one; j += kRows) {
    float sum = 0;
    OMNI_UNROLL
    for (int t = 0; t < kTaps; ++t) {
      const int64_t m = 2 * j + t - 5;
      sum += f[t] * bent[((m < 0 ? 0 : m >= 2 * n ? 2 * n - 1 : m) - first) * kChannels + lane];
    }
    y[j * c + channel] = sum;
  }
}

}  // namespace

cudaError_t snake_beta(const float* x, const float* alpha, const float* beta_reciprocal,
                       const float* filter, float* y, int64_t n, int c, cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  return launch("snake_beta", snake_beta_kernel,
                {{unsigned((n + kFrames - 1) / kFrames), unsigned((c + kChannels - 1) / kChannels)},
                 {kChannels * kRows}},
                stream, x, alpha, beta_reciprocal, filter, y, n, c);
}

}  // namespace omni::cuda
