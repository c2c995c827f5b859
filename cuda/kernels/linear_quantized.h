// y = x · Wᵀ of few rows with a weight of integers, which is read as it is, and that weight in
// bfloat16 for products of many rows.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"
#include "kernels/linear_few.h"

namespace omni::cuda {

// W [n_out, n_in], W[o, i] = (q − zero) · scale, as linear_few_quantized() reads it. The inputs are
// cut into steps of kStepInputs, the outputs into an even number of blocks of kBlockOutputs, filled
// up with scales of 0; for each block and step, in this order,
// - values: 16 bytes (4 bits) or twice 16 bytes (8 bits) for each of 32 lanes, all first ones ahead
//   of all second ones. Lane 4 o + p has of output o the inputs 8p … 8p + 7 of each kChunkInputs
//   of the step in turn: of 4 bits a word for each, input 2j at bit 3 + 4j and 2j + 1 at 19 + 4j,
//   the last one in the bits 31, 0, 1 and 2; of 8 bits two words, with the inputs 0, 2, 1, 3 and 4,
//   6, 5, 7, signed.
// - scales: a word for each output and each of the step's groups, the groups of an output side by
//   side: of 4 bits a float16, to be multiplied by `unit`, below the bits of −16 − zero as
//   bfloat16, of 8 bits a float.
constexpr int kStepInputs = 128, kChunkInputs = 32, kBlockOutputs = 8, kMostGroups = 4;
struct QuantizedWeight {
  // n_in: a multiple of 8; with fewer than kMostGroups, of kStepInputs
  int n_out, n_in;
  int bits;    // 4 or 8
  int groups;  // of a step: 1, 2 (of 4 bits only) or kMostGroups
  float unit;  // of the scales of 4 bits; 1 for 8
  const uint32_t* values;
  const uint32_t* scales;
};

// As linear_few() with Into; of silu_mul n_out is a multiple of 2 · kBlockOutputs.
cudaError_t linear_few_quantized(const bf16* x, const QuantizedWeight& weight, const float* bias,
                                 Into into, void* y, int n, cudaStream_t stream);

// The same of rms_norm(x), rounded to bf16: the bits of rms_norm.h and linear_few_quantized(), one
// after the other.
bool can_norm_few(int64_t n, const QuantizedWeight& weight);
cudaError_t linear_few_quantized(const NormedRows& x, const QuantizedWeight& weight,
                                 const float* bias, Into into, void* y, int n, cudaStream_t stream);

// y [n_out, n_in] = W, rounded.
cudaError_t dequantize(const QuantizedWeight& weight, bf16* y, cudaStream_t stream);

}  // namespace omni::cuda
