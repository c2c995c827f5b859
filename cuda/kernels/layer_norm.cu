// A block for each row; mean first, then the squares around it: no cancellation. A thread's first
// values of a row stay in registers.
#include "kernels/layer_norm.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256, kHeld = 8;

// of(i): value i of the block's row, asked for once while i < kThreads · kHeld, else thrice, and
// always by the same thread.
template <class Y, class Of>
__device__ void normalise(const Of& of, const float* weight, const float* bias, Y* y, int width,
                          float eps, float* partial) {
  const int first = int(threadIdx.x), rest = first + kThreads * kHeld;
  float held[kHeld], sum = 0;
  OMNI_UNROLL
  for (int k = 0; k < kHeld; ++k) {
    const int i = first + k * kThreads;
    held[k] = i < width ? of(i) : 0;
    sum += held[k];
  }
  for (int i = rest; i < width; i += kThreads) sum += of(i);
  const float mean = block_sum(sum, partial) / float(width);
  float squares = 0;
  const auto add_square = [&](float x) { squares += (x - mean) * (x - mean); };
  OMNI_UNROLL
  for (int k = 0; k < kHeld; ++k)
    if (first + k * kThreads < width) add_square(held[k]);
  for (int i = rest; i < width; i += kThreads) add_square(of(i));
  const float scale = rsqrtf(block_sum(squares, partial) / float(width) + eps);
  const auto put = [&](int i, float x) { assign(y[i], (x - mean) * scale * weight[i] + bias[i]); };
  OMNI_UNROLL
  for (int k = 0; k < kHeld; ++k)
    if (first + k * kThreads < width) put(first + k * kThreads, held[k]);
  for (int i = rest; i < width; i += kThreads) put(i, of(i));
}

template <class Y>
__global__ void __launch_bounds__(kThreads)
    layer_norm_kernel(const float* __restrict__ x, const float* __restrict__ weight,
                      const float* __restrict__ bias, Y* __restrict__ y, int width, float eps) {
  OMNI_SHARED(float, partial, kThreads / 32);
  wait_for_input();
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
  wait_for_input();
  const int64_t begin = int64_t(blockIdx.x) * width;
  x += begin, more += begin;
  for (int i = kThreads * kHeld + int(threadIdx.x); i < width; i += kThreads)
    x[i] += more[i] * scale[i];
  const auto sum = [&](int i) {
    if (i >= kThreads * kHeld) return x[i];
    return x[i] += more[i] * scale[i];
  };
  normalise(sum, weight, bias, y + begin, width, eps, partial);
}

}  // namespace

template <class Y>
cudaError_t layer_norm(const float* x, const float* weight, const float* bias, Y* y, int64_t n_rows,
                       int width, float eps, cudaStream_t stream) {
  if (n_rows == 0) return cudaSuccess;
  return launch_early("layer_norm", layer_norm_kernel<Y>, {{unsigned(n_rows)}, {kThreads}}, stream,
                      x, weight, bias, y, width, eps);
}

template <class Y>
cudaError_t add_scaled_norm(float* x, const float* more, const float* scale, const float* weight,
                            const float* bias, Y* y, int64_t n_rows, int width, float eps,
                            cudaStream_t stream) {
  if (n_rows == 0) return cudaSuccess;
  return launch_early("add_scaled_norm", add_scaled_norm_kernel<Y>,
                      {{unsigned(n_rows)}, {kThreads}}, stream, x, more, scale, weight, bias, y,
                      width, eps);
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
