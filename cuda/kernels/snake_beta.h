// x + sin²(αx)/β between upsampling by 2 and downsampling by 2 with a filter of 12 taps; the ends
// are repeated. (BigVGAN, arXiv 2206.04658; Qwen2_5OmniAntiAliasedActivation1d)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// x, y: [n, c]; alpha, beta_reciprocal: [c] as they are used; filter: [12], all on the device.
cudaError_t snake_beta(const float* x, const float* alpha, const float* beta_reciprocal,
                       const float* filter, float* y, int64_t n, int c, cudaStream_t stream);

}  // namespace omni::cuda
