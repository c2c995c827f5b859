// y = silu(gate) · up: the middle of a SwiGLU layer. (Shazeer: GLU Variants Improve Transformer,
// 2020)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// gate_up: [n_rows, 2 · width], gate first; y: [n_rows, width].
cudaError_t silu_mul(const float* gate_up, float* y, int64_t n_rows, int width,
                     cudaStream_t stream);

}  // namespace omni::cuda
