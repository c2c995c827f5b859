// y = x · Wᵀ of a weight of integers with more rows than linear_few_quantized() takes: each weight
// is widened once for up to 64 of them.
#pragma once

#include "kernels/linear_quantized.h"

namespace omni::cuda {

// Up to how many rows it reads less than what makes a matrix of bfloat16 and multiplies with that:
// each 64 rows read the integers, which are half a byte or a byte; the other one writes two bytes a
// weight, and reads them.
constexpr int64_t kMostTileRows = 256;

// How many floats of `parts` it wants; none where there are blocks enough without.
int64_t n_tile_parts(const QuantizedWeight& weight, int64_t n);

// As linear_few_quantized(). parts: n_tile_parts() floats, whatever they hold.
cudaError_t linear_tiles_quantized(const bf16* x, const QuantizedWeight& weight, const float* bias,
                                   Into into, void* y, float* parts, int64_t n,
                                   cudaStream_t stream);

}  // namespace omni::cuda
