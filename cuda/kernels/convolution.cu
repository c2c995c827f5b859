// A thread a value of the result.
#include "kernels/convolution.h"

namespace omni::cuda {

namespace {

__global__ void __launch_bounds__(kOneEach)
    unfold_kernel(const float* __restrict__ x, float* __restrict__ columns, int64_t n_in, int c,
                  int64_t first, int64_t n, int kernel, int stride, int dilation, int64_t before,
                  bool reflect) {
  const int64_t i = one_each_index(), width = int64_t(kernel) * c;
  if (i >= n * width) return;
  int64_t at = (first + i / width) * stride + i % width / c * dilation - before;
  if (reflect) at = at < 0 ? -at : at >= n_in ? 2 * (n_in - 1) - at : at;
  columns[i] = at < 0 || at >= n_in ? 0.f : x[at * c + i % c];
}

__global__ void __launch_bounds__(kOneEach)
    fold_kernel(const float* __restrict__ columns, const float* __restrict__ bias,
                float* __restrict__ y, int64_t n, int64_t n_out, int c, int kernel, int stride,
                int padding) {
  const int64_t i = one_each_index();
  if (i >= n_out * c) return;
  const int64_t o = i / c + padding;
  float sum = bias[i % c];
  for (int64_t tap = o % stride; tap < kernel && tap <= o; tap += stride) {
    const int64_t column = (o - tap) / stride;
    if (column < n) sum += columns[(column * kernel + tap) * c + i % c];
  }
  y[i] = sum;
}

}  // namespace

cudaError_t unfold(const float* x, float* columns, int64_t n_in, int c, int64_t first, int64_t n,
                   int kernel, int stride, int dilation, int64_t before, bool reflect,
                   cudaStream_t stream) {
  return n ? launch("unfold", unfold_kernel, one_each(n * kernel * c), stream, x, columns, n_in, c,
                    first, n, kernel, stride, dilation, before, reflect)
           : cudaSuccess;
}

cudaError_t fold(const float* columns, const float* bias, float* y, int64_t n, int64_t n_out, int c,
                 int kernel, int stride, int padding, cudaStream_t stream) {
  return n_out ? launch("fold", fold_kernel, one_each(n_out * c), stream, columns, bias, y, n,
                        n_out, c, kernel, stride, padding)
               : cudaSuccess;
}

}  // namespace omni::cuda
