// A block for each row; its threads stride over the row twice.
#include "kernels/rms_norm.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    rms_norm_kernel(const float* __restrict__ x, const float* __restrict__ weight,
                    float* __restrict__ y, int width, float eps) {
  OMNI_SHARED(float, partial, kThreads / 32);
  x += int64_t(blockIdx.x) * width, y += int64_t(blockIdx.x) * width;
  float squares = 0;
  for (int i = int(threadIdx.x); i < width; i += kThreads) {
    const float v = x[i];
    squares += v * v;
  }
  const float scale = rsqrtf(block_sum(squares, partial) / float(width) + eps);
  for (int i = int(threadIdx.x); i < width; i += kThreads) y[i] = x[i] * scale * weight[i];
}

}  // namespace

cudaError_t rms_norm(const float* x, const float* weight, float* y, int64_t n_rows, int width,
                     float eps, cudaStream_t stream) {
  if (n_rows == 0) return cudaSuccess;
  return launch("rms_norm", rms_norm_kernel, {{unsigned(n_rows)}, {kThreads}}, stream, x, weight, y,
                width, eps);
}

}  // namespace omni::cuda
