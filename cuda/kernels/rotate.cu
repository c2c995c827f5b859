// A thread for each pair.
#include "kernels/rotate.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    rotate_kernel(float* __restrict__ x, int64_t stride, const float* __restrict__ cos,
                  const float* __restrict__ sin, int64_t n_pairs, int n_heads, int half) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n_pairs) return;
  const int64_t token = i / (int64_t(n_heads) * half), in_token = i - token * n_heads * half;
  const int head = int(in_token / half), k = int(in_token - int64_t(head) * half);
  float* pair = x + token * stride + int64_t(head) * 2 * half + k;
  const float a = pair[0], b = pair[half], c = cos[token * half + k], s = sin[token * half + k];
  pair[0] = a * c - b * s;
  pair[half] = b * c + a * s;
}

}  // namespace

cudaError_t rotate(float* x, int64_t stride, const float* cos, const float* sin, int64_t n_tokens,
                   int n_heads, int head_dim, cudaStream_t stream) {
  const int64_t n = n_tokens * n_heads * (head_dim / 2);
  if (n == 0) return cudaSuccess;
  return launch("rotate", rotate_kernel, {{unsigned((n + kThreads - 1) / kThreads)}, {kThreads}},
                stream, x, stride, cos, sin, n, n_heads, head_dim / 2);
}

}  // namespace omni::cuda
