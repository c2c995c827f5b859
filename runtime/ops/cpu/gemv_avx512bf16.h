// One row times a packed tile: what decoding a token consists of. Bound by the reading of weights,
// which oneDNN's kernels do at half the machine's rate when the tiles are as small as those of a
// small model.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace omni::ops::cpu {

// y[j] = Σ_k x[k] · W[k, j] (+ bias[j]), j < n. W lies as oneDNN packs bfloat16 (BA16a64b2a):
// blocks of 64 columns, in each the pairs of rows one after the other, [n/64][k/2][64][2], k
// rounded up to 32 with zeros.
void gemv_bf16(const BFloat16* x, const BFloat16* w, const float* bias, int64_t k, int64_t n,
               float* y);

}  // namespace omni::ops::cpu
