// A block for each row; its threads stride over the row twice.
#include "kernels/rms_norm.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    rms_norm_kernel(const T* __restrict__ x, const float* __restrict__ weight, T* __restrict__ y,
                    int width, float eps) {
  OMNI_SHARED(float, partial, kThreads / 32);
  x += int64_t(blockIdx.x) * width, y += int64_t(blockIdx.x) * width;
  float squares = 0;
  for (int i = int(threadIdx.x); i < width; i += kThreads) {
    const float v = to_float(x[i]);
    squares += v * v;
  }
  const float scale = rsqrtf(block_sum(squares, partial) / float(width) + eps);
  for (int i = int(threadIdx.x); i < width; i += kThreads)
    assign(y[i], to_float(x[i]) * scale * weight[i]);
}

}  // namespace

template <class T>
cudaError_t rms_norm(const T* x, const float* weight, T* y, int64_t n_rows, int width, float eps,
                     cudaStream_t stream) {
  if (n_rows == 0) return cudaSuccess;
  return launch("rms_norm", rms_norm_kernel<T>, {{unsigned(n_rows)}, {kThreads}}, stream, x, weight,
                y, width, eps);
}

template cudaError_t rms_norm(const float*, const float*, float*, int64_t, int, float,
                              cudaStream_t);
template cudaError_t rms_norm(const bf16*, const float*, bf16*, int64_t, int, float, cudaStream_t);

}  // namespace omni::cuda
