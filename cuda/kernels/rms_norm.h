// y = x / sqrt(mean(x²) + eps) · weight, over rows. (Zhang, Sennrich: Root Mean Square Layer
// Normalization, 2019; torch.nn.functional.rms_norm)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// x, y: [n_rows, width], weight: [width], all on the device. Y: float or bf16.
template <class Y>
cudaError_t rms_norm(const float* x, const float* weight, Y* y, int64_t n_rows, int width,
                     float eps, cudaStream_t stream);

// The same over each head of n tokens, in place; head h of token i starts at x + i · stride + h ·
// head_dim. weight: [head_dim].
cudaError_t rms_norm_heads(float* x, int64_t stride, const float* weight, int64_t n, int n_heads,
                           int head_dim, float eps, cudaStream_t stream);

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

// The same bits in every kernel that norms rows of a multiple of four values: kNormThreads threads
// take four at a time, then a warp's sums are added, then the warps' one after the other.
constexpr int kNormThreads = 512, kNormWarps = kNormThreads / 32;
__device__ inline float add_squares(float sum, const float4& v) {
  return fmaf(v.w, v.w, fmaf(v.z, v.z, fmaf(v.y, v.y, fmaf(v.x, v.x, sum))));
}
// What the values of a row are multiplied with; squares: of each warp.
__device__ inline float rms_factor(const float* squares, int width, float eps) {
  float sum = 0;
  OMNI_UNROLL for (int w = 0; w < kNormWarps; ++w) sum += squares[w];
  return rsqrtf(sum / float(width) + eps);
}

#endif

}  // namespace omni::cuda
