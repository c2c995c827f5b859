// A thread a value or some; no __restrict__ where y may be x.
#include "kernels/elementwise.h"
#include "kernels/sine.h"

namespace omni::cuda {

namespace {

// y = f(x), kSeveral values a thread, so that their loads are on the way together.
constexpr int kSeveral = 4;
LaunchShape several_each(int64_t n) { return one_each((n + kSeveral - 1) / kSeveral); }
template <class Y, class F>
__device__ void map(const float* x, Y* y, int64_t n, const F& f) {
  wait_for_input();
  const int64_t first = int64_t(blockIdx.x) * kOneEach * kSeveral + threadIdx.x;
  float v[kSeveral];
  OMNI_UNROLL
  for (int k = 0; k < kSeveral; ++k) v[k] = first + k * kOneEach < n ? x[first + k * kOneEach] : 0;
  OMNI_UNROLL
  for (int k = 0; k < kSeveral; ++k)
    if (first + k * kOneEach < n) assign(y[first + k * kOneEach], f(v[k]));
}

template <class Y>
__global__ void __launch_bounds__(kOneEach) gelu_kernel(const float* x, Y* y, int64_t n) {
  map(x, y, n, [](float v) { return .5f * v * (1.f + erff(v * .70710678f)); });
}

template <class Y>
__global__ void __launch_bounds__(kOneEach) gelu_tanh_kernel(const float* x, Y* y, int64_t n) {
  map(x, y, n,
      [](float v) { return .5f * v * (1.f + tanhf(.79788456f * (v + .044715f * v * v * v))); });
}

template <class Y>
__global__ void __launch_bounds__(kOneEach) quick_gelu_kernel(const float* x, Y* y, int64_t n) {
  map(x, y, n, [](float v) { return v / (1.f + __expf(-1.702f * v)); });
}

__global__ void __launch_bounds__(kOneEach) silu_kernel(float* __restrict__ x, int64_t n) {
  const int64_t i = one_each_index();
  if (i < n) x[i] /= 1.f + __expf(-x[i]);
}

__global__ void __launch_bounds__(kOneEach)
    div_kernel(float* __restrict__ x, float divisor, int64_t n) {
  const int64_t i = one_each_index();
  if (i < n) x[i] /= divisor;
}

__global__ void __launch_bounds__(kOneEach)
    narrow_kernel(const float* __restrict__ x, bf16* __restrict__ y, int64_t n, int width, int to) {
  wait_for_input();
  const int64_t i = one_each_index();
  if (i >= n) return;
  const int64_t row = i / to, column = i - row * to;
  assign(y[i], column < width ? x[row * width + column] : 0.f);
}

__global__ void __launch_bounds__(kOneEach)
    add_kernel(float* __restrict__ x, const float* __restrict__ y, int64_t n) {
  const int64_t i = one_each_index();
  if (i < n) x[i] += y[i];
}

__global__ void __launch_bounds__(kOneEach)
    add_scaled_kernel(float* __restrict__ x, const float* __restrict__ y,
                      const float* __restrict__ scale, int64_t n, int width) {
  const int64_t i = one_each_index();
  if (i < n) x[i] += y[i] * scale[i % width];
}

__global__ void __launch_bounds__(kOneEach)
    add_gated_kernel(float* __restrict__ x, const float* __restrict__ y,
                     const float* __restrict__ gate, int64_t n, int width) {
  const int64_t i = one_each_index();
  if (i < n) x[i] += y[i] / (1.f + expf(-gate[i / width]));
}

__global__ void __launch_bounds__(kOneEach)
    snake_kernel(float* __restrict__ x, const float* __restrict__ alpha,
                 const float* __restrict__ beta_reciprocal, int64_t n, int width) {
  const int64_t i = one_each_index();
  if (i >= n) return;
  const float sine = sine_up_to_sign(x[i] * alpha[i % width]);
  x[i] += sine * sine * beta_reciprocal[i % width];
}

__global__ void __launch_bounds__(kOneEach)
    weighted_sum_kernel(float* y, WeightedTerms terms, int64_t n) {
  const int64_t i = one_each_index();
  if (i >= n) return;
  float sum = 0;
  OMNI_UNROLL for (int t = 0; t < WeightedTerms::kMost; ++t) if (t < terms.n) sum +=
      terms.weight[t] * terms.x[t][i];
  y[i] = sum;
}

}  // namespace

template <class Y>
cudaError_t gelu(const float* x, Y* y, int64_t n, cudaStream_t stream) {
  return n ? launch_early("gelu", gelu_kernel<Y>, several_each(n), stream, x, y, n) : cudaSuccess;
}
template <class Y>
cudaError_t gelu_tanh(const float* x, Y* y, int64_t n, cudaStream_t stream) {
  return n ? launch_early("gelu_tanh", gelu_tanh_kernel<Y>, several_each(n), stream, x, y, n)
           : cudaSuccess;
}
template <class Y>
cudaError_t quick_gelu(const float* x, Y* y, int64_t n, cudaStream_t stream) {
  return n ? launch_early("quick_gelu", quick_gelu_kernel<Y>, several_each(n), stream, x, y, n)
           : cudaSuccess;
}
template cudaError_t gelu(const float*, float*, int64_t, cudaStream_t);
template cudaError_t gelu(const float*, bf16*, int64_t, cudaStream_t);
template cudaError_t gelu_tanh(const float*, float*, int64_t, cudaStream_t);
template cudaError_t gelu_tanh(const float*, bf16*, int64_t, cudaStream_t);
template cudaError_t quick_gelu(const float*, float*, int64_t, cudaStream_t);
template cudaError_t quick_gelu(const float*, bf16*, int64_t, cudaStream_t);
cudaError_t silu(float* x, int64_t n, cudaStream_t stream) {
  return n ? launch("silu", silu_kernel, one_each(n), stream, x, n) : cudaSuccess;
}
cudaError_t div(float* x, float divisor, int64_t n, cudaStream_t stream) {
  return n ? launch("div", div_kernel, one_each(n), stream, x, divisor, n) : cudaSuccess;
}
cudaError_t narrow(const float* x, bf16* y, int64_t n_rows, int width, int to,
                   cudaStream_t stream) {
  const int64_t n = n_rows * to;
  return n ? launch_early("narrow", narrow_kernel, one_each(n), stream, x, y, n, width, to)
           : cudaSuccess;
}
cudaError_t add(float* x, const float* y, int64_t n, cudaStream_t stream) {
  return n ? launch("add", add_kernel, one_each(n), stream, x, y, n) : cudaSuccess;
}
cudaError_t add_scaled(float* x, const float* y, const float* scale, int64_t n_rows, int width,
                       cudaStream_t stream) {
  const int64_t n = n_rows * width;
  return n ? launch("add_scaled", add_scaled_kernel, one_each(n), stream, x, y, scale, n, width)
           : cudaSuccess;
}
cudaError_t add_gated(float* x, const float* y, const float* gate, int64_t n_rows, int width,
                      cudaStream_t stream) {
  const int64_t n = n_rows * width;
  return n ? launch("add_gated", add_gated_kernel, one_each(n), stream, x, y, gate, n, width)
           : cudaSuccess;
}
cudaError_t snake(float* x, const float* alpha, const float* beta_reciprocal, int64_t n_rows,
                  int width, cudaStream_t stream) {
  const int64_t n = n_rows * width;
  return n ? launch("snake", snake_kernel, one_each(n), stream, x, alpha, beta_reciprocal, n, width)
           : cudaSuccess;
}
cudaError_t weighted_sum(float* y, const WeightedTerms& terms, int64_t n, cudaStream_t stream) {
  return n ? launch("weighted_sum", weighted_sum_kernel, one_each(n), stream, y, terms, n)
           : cudaSuccess;
}

}  // namespace omni::cuda
