#include "kernels/silu_mul.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    silu_mul_kernel(const T* __restrict__ gate_up, T* __restrict__ y, int64_t n, int width) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const int64_t row = i / width, column = i - row * width;
  const float gate = to_float(gate_up[row * 2 * width + column]),
              up = to_float(gate_up[row * 2 * width + width + column]);
  assign(y[i], gate / (1.f + __expf(-gate)) * up);
}

}  // namespace

template <class T>
cudaError_t silu_mul(const T* gate_up, T* y, int64_t n_rows, int width, cudaStream_t stream) {
  const int64_t n = n_rows * width;
  if (n == 0) return cudaSuccess;
  return launch("silu_mul", silu_mul_kernel<T>,
                {{unsigned((n + kThreads - 1) / kThreads)}, {kThreads}}, stream, gate_up, y, n,
                width);
}

template cudaError_t silu_mul(const float*, float*, int64_t, int, cudaStream_t);
template cudaError_t silu_mul(const bf16*, bf16*, int64_t, int, cudaStream_t);

}  // namespace omni::cuda
