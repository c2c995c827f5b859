// A block for each row; mean first, then the squares around it: no cancellation.
#include "kernels/layer_norm.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

template <class Y>
__global__ void __launch_bounds__(kThreads)
    layer_norm_kernel(const float* __restrict__ x, const float* __restrict__ weight,
                      const float* __restrict__ bias, Y* __restrict__ y, int width, float eps) {
  OMNI_SHARED(float, partial, kThreads / 32);
  x += int64_t(blockIdx.x) * width, y += int64_t(blockIdx.x) * width;
  float sum = 0;
  for (int i = int(threadIdx.x); i < width; i += kThreads) sum += x[i];
  const float mean = block_sum(sum, partial) / float(width);
  float squares = 0;
  for (int i = int(threadIdx.x); i < width; i += kThreads) {
    const float d = x[i] - mean;
    squares += d * d;
  }
  const float scale = rsqrtf(block_sum(squares, partial) / float(width) + eps);
  for (int i = int(threadIdx.x); i < width; i += kThreads)
    assign(y[i], (x[i] - mean) * scale * weight[i] + bias[i]);
}

}  // namespace

template <class Y>
cudaError_t layer_norm(const float* x, const float* weight, const float* bias, Y* y, int64_t n_rows,
                       int width, float eps, cudaStream_t stream) {
  if (n_rows == 0) return cudaSuccess;
  return launch("layer_norm", layer_norm_kernel<Y>, {{unsigned(n_rows)}, {kThreads}}, stream, x,
                weight, bias, y, width, eps);
}
template cudaError_t layer_norm(const float*, const float*, const float*, float*, int64_t, int,
                                float, cudaStream_t);
template cudaError_t layer_norm(const float*, const float*, const float*, bf16*, int64_t, int,
                                float, cudaStream_t);

}  // namespace omni::cuda
