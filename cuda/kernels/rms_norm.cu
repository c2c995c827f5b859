// A block for each row; its threads stride over the row twice.
#include "kernels/rms_norm.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

template <class Y>
__global__ void __launch_bounds__(kNormThreads)
    rms_norm_kernel(const float* __restrict__ x, const float* __restrict__ weight,
                    Y* __restrict__ y, int width, float eps, bool wide) {
  OMNI_SHARED(float, partial, kNormWarps);
  wait_for_input();
  const int me = int(threadIdx.x);
  x += int64_t(blockIdx.x) * width, y += int64_t(blockIdx.x) * width;
  float squares = 0;
  if (wide)
    for (int i = 4 * me; i < width; i += 4 * kNormThreads)
      squares = add_squares(squares, *reinterpret_cast<const float4*>(x + i));
  else
    for (int i = me; i < width; i += kNormThreads) squares += x[i] * x[i];
  squares = warp_sum(squares);
  if (me % 32 == 0) partial[me / 32] = squares;
  __syncthreads();
  const float scale = rms_factor(partial, width, eps);
  for (int i = me; i < width; i += kNormThreads) assign(y[i], x[i] * scale * weight[i]);
}

// In place; a block for each head of a token.
__global__ void __launch_bounds__(kThreads)
    rms_norm_heads_kernel(float* x, int64_t stride, const float* __restrict__ weight, int head_dim,
                          float eps) {
  OMNI_SHARED(float, partial, kThreads / 32);
  x += int64_t(blockIdx.x) * stride + int64_t(blockIdx.y) * head_dim;
  float squares = 0;
  for (int i = int(threadIdx.x); i < head_dim; i += kThreads) squares += x[i] * x[i];
  const float scale = rsqrtf(block_sum(squares, partial) / float(head_dim) + eps);
  for (int i = int(threadIdx.x); i < head_dim; i += kThreads) x[i] = x[i] * scale * weight[i];
}

}  // namespace

template <class Y>
cudaError_t rms_norm(const float* x, const float* weight, Y* y, int64_t n_rows, int width,
                     float eps, cudaStream_t stream) {
  if (n_rows == 0) return cudaSuccess;
  const bool wide = width % 4 == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;
  return launch_early("rms_norm", rms_norm_kernel<Y>, {{unsigned(n_rows)}, {kNormThreads}}, stream,
                      x, weight, y, width, eps, wide);
}
template cudaError_t rms_norm(const float*, const float*, float*, int64_t, int, float,
                              cudaStream_t);
template cudaError_t rms_norm(const float*, const float*, bf16*, int64_t, int, float, cudaStream_t);

cudaError_t rms_norm_heads(float* x, int64_t stride, const float* weight, int64_t n, int n_heads,
                           int head_dim, float eps, cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  return launch("rms_norm_heads", rms_norm_heads_kernel,
                {{unsigned(n), unsigned(n_heads)}, {kThreads}}, stream, x, stride, weight, head_dim,
                eps);
}

}  // namespace omni::cuda
