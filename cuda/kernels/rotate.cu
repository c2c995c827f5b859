// A thread for each pair.
#include "kernels/rotate.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    rotate_kernel(T* __restrict__ x, int64_t stride, const float* __restrict__ cos,
                  const float* __restrict__ sin, int64_t n_pairs, int n_heads, int half) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n_pairs) return;
  const int64_t token = i / (int64_t(n_heads) * half), in_token = i - token * n_heads * half;
  const int head = int(in_token / half), k = int(in_token - int64_t(head) * half);
  T* pair = x + token * stride + int64_t(head) * 2 * half + k;
  const float a = to_float(pair[0]), b = to_float(pair[half]), c = cos[token * half + k],
              s = sin[token * half + k];
  assign(pair[0], a * c - b * s);
  assign(pair[half], b * c + a * s);
}

}  // namespace

template <class T>
cudaError_t rotate(T* x, int64_t stride, const float* cos, const float* sin, int64_t n_tokens,
                   int n_heads, int head_dim, cudaStream_t stream) {
  const int64_t n = n_tokens * n_heads * (head_dim / 2);
  if (n == 0) return cudaSuccess;
  return launch("rotate", rotate_kernel<T>, {{unsigned((n + kThreads - 1) / kThreads)}, {kThreads}},
                stream, x, stride, cos, sin, n, n_heads, head_dim / 2);
}

template cudaError_t rotate(float*, int64_t, const float*, const float*, int64_t, int, int,
                            cudaStream_t);
template cudaError_t rotate(bf16*, int64_t, const float*, const float*, int64_t, int, int,
                            cudaStream_t);

}  // namespace omni::cuda
