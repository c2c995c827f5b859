// The angles of rotary embeddings, of positions on several axes. (M-RoPE: Wang et al., Qwen2-VL,
// 2024)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// Where a token stands, on three axes.
struct RotaryPosition {
  int64_t axis[3];
};

// cos, sin [n, n_frequencies] of position[axis[i]] · frequency[i], of doubles: positions grow as
// long as a stream runs.
cudaError_t rotary_table(const RotaryPosition* positions, int64_t n, const float* frequency,
                         const int* axis, int n_frequencies, float* cos, float* sin,
                         cudaStream_t stream);

}  // namespace omni::cuda
