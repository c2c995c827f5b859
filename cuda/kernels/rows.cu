// A thread a value.
#include "kernels/rows.h"

namespace omni::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(kOneEach)
    index_select_kernel(const T* __restrict__ table, const int64_t* __restrict__ rows,
                        float* __restrict__ y, int64_t n, int width) {
  const int64_t i = one_each_index();
  if (i < n * width) y[i] = to_float(table[rows[i / width] * width + i % width]);
}

template <class T>
__global__ void __launch_bounds__(kOneEach)
    select_columns_kernel(const T* __restrict__ x, const int* __restrict__ columns,
                          bf16* __restrict__ y, int64_t n, int width) {
  const int64_t i = one_each_index();
  if (i < n * width) assign(y[i], to_float(x[i / width * width + columns[i % width]]));
}

__global__ void __launch_bounds__(kOneEach)
    copy_rows_kernel(float* __restrict__ to, int64_t to_stride, const float* __restrict__ from,
                     int64_t from_stride, int64_t n, int width) {
  const int64_t i = one_each_index();
  if (i < n * width)
    to[i / width * to_stride + i % width] = from[i / width * from_stride + i % width];
}

__global__ void __launch_bounds__(kOneEach)
    avg_pool_pairs_kernel(const float* __restrict__ x, float* __restrict__ y, int64_t n,
                          int width) {
  const int64_t i = one_each_index();
  if (i >= n * width) return;
  const float* first = x + i / width * 2 * width + i % width;
  y[i] = (first[0] + first[width]) * .5f;
}

}  // namespace

template <class T>
cudaError_t index_select(const T* table, const int64_t* rows, float* y, int64_t n, int width,
                         cudaStream_t stream) {
  return n ? launch("index_select", index_select_kernel<T>, one_each(n * width), stream, table,
                    rows, y, n, width)
           : cudaSuccess;
}

template <class T>
cudaError_t select_columns(const T* x, const int* columns, bf16* y, int64_t n, int width,
                           cudaStream_t stream) {
  return n ? launch("select_columns", select_columns_kernel<T>, one_each(n * width), stream, x,
                    columns, y, n, width)
           : cudaSuccess;
}

cudaError_t copy_rows(float* to, int64_t to_stride, const float* from, int64_t from_stride,
                      int64_t n, int width, cudaStream_t stream) {
  return n ? launch("copy_rows", copy_rows_kernel, one_each(n * width), stream, to, to_stride, from,
                    from_stride, n, width)
           : cudaSuccess;
}

cudaError_t avg_pool_pairs(const float* x, float* y, int64_t n, int width, cudaStream_t stream) {
  return n ? launch("avg_pool_pairs", avg_pool_pairs_kernel, one_each(n * width), stream, x, y, n,
                    width)
           : cudaSuccess;
}

template cudaError_t index_select(const float*, const int64_t*, float*, int64_t, int, cudaStream_t);
template cudaError_t index_select(const bf16*, const int64_t*, float*, int64_t, int, cudaStream_t);
template cudaError_t index_select(const half*, const int64_t*, float*, int64_t, int, cudaStream_t);

template cudaError_t select_columns(const float*, const int*, bf16*, int64_t, int, cudaStream_t);
template cudaError_t select_columns(const bf16*, const int*, bf16*, int64_t, int, cudaStream_t);

}  // namespace omni::cuda
