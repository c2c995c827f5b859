#include "kernels/silu_mul.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    silu_mul_kernel(const float* __restrict__ gate_up, float* __restrict__ y, int64_t n,
                    int width) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const int64_t row = i / width, column = i - row * width;
  const float gate = gate_up[row * 2 * width + column],
              up = gate_up[row * 2 * width + width + column];
  y[i] = gate / (1.f + __expf(-gate)) * up;
}

}  // namespace

cudaError_t silu_mul(const float* gate_up, float* y, int64_t n_rows, int width,
                     cudaStream_t stream) {
  const int64_t n = n_rows * width;
  if (n == 0) return cudaSuccess;
  return launch("silu_mul", silu_mul_kernel,
                {{unsigned((n + kThreads - 1) / kThreads)}, {kThreads}}, stream, gate_up, y, n,
                width);
}

}  // namespace omni::cuda
