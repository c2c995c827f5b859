// A block for each row; mean first, then the squares around it: no cancellation.
#include "kernels/layer_norm.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

// of(i): value i of the block's row, always asked for by the same thread.
template <class Y, class Of>
__device__ void normalise(const Of& of, const float* weight, const float* bias, Y* y, int width,
                          float eps, float* partial) {
  float sum = 0;
  for (int i = int(threadIdx.x); i < width; i += kThreads) sum += of(i);
  const float mean = block_sum(sum, partial) / float(width);
  float squares = 0;
  for (int i = int(threadIdx.x); i < width; i += kThreads) {
    const float d = of(i) - mean;
    squares += d * d;
  }
  const float scale = rsqrtf(block_sum(squares, partial) / float(width) + eps);
  for (int i = int(threadIdx.x); i < width; i += kThreads)
    assign(y[i], (of(i) - mean) * scale * weight[i] + bias[i]);
}

template <class Y>
__global__ void __launch_bounds__(kThreads)
    layer_norm_kernel(const float* __restrict__ x, const float* __restrict__ weight,
                      const float* __restrict__ bias, Y* __restrict__ y, int width, float eps) {
  OMNI_SHARED(float, partial, kThreads / 32);
  x += int64_t(blockIdx.x) * width;
  normalise([&](int i) { return x[i]; }, weight, bias, y + int64_t(blockIdx.x) * width, width, eps,
            partial);
}

template <class Y>
__global__ void __launch_bounds__(kThreads)
    add_scaled_norm_kernel(float* __restrict__ x, const float* __restrict__ more,
                           const float* __restrict__ scale, const float* __restrict__ weight,
                           const float* __restrict__ bias, Y* __restrict__ y, int width,
                           float eps) {
  OMNI_SHARED(float, partial, kThreads / 32);
  const int64_t begin = int64_t(blockIdx.x) * width;
  x += begin, more += begin;
  for (int i = int(threadIdx.x); i < width; i += kThreads) x[i] += more[i] * scale[i];
  normalise([&](int i) { return x[i]; }, weight, bias, y + begin, width, eps, partial);
}

}  // namespace

template <class Y>
cudaError_t layer_norm(const float* x, const float* weight, const float* bias, Y* y, int64_t n_rows,
                       int width, float eps, cudaStream_t stream) {
  if (n_rows == 0) return cudaSuccess;
  return launch("layer_norm", layer_norm_kernel<Y>, {{unsigned(n_rows)}, {kThreads}}, stream, x,
                weight, bias, y, width, eps);
}

template <class Y>
cudaError_t add_scaled_norm(float* x, const float* more, const float* scale, const float* weight,
                            const float* bias, Y* y, int64_t n_rows, int width, float eps,
                            cudaStream_t stream) {
  if (n_rows == 0) return cudaSuccess;
  return launch("add_scaled_norm", add_scaled_norm_kernel<Y>, {{unsigned(n_rows)}, {kThreads}},
                stream, x, more, scale, weight, bias, y, width, eps);
}

template cudaError_t layer_norm(const float*, const float*, const float*, float*, int64_t, int,
                                float, cudaStream_t);
template cudaError_t layer_norm(const float*, const float*, const float*, bf16*, int64_t, int,
                                float, cudaStream_t);
template cudaError_t add_scaled_norm(float*, const float*, const float*, const float*, const float*,
                                     float*, int64_t, int, float, cudaStream_t);
template cudaError_t add_scaled_norm(float*, const float*, const float*, const float*, const float*,
                                     bf16*, int64_t, int, float, cudaStream_t);

}  // namespace omni::cuda
