// y = silu(gate) · up: the middle of a SwiGLU layer. (Shazeer: GLU Variants Improve Transformer,
// 2020)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// gate_up: [n_rows, 2 · width], gate first; y: [n_rows, width]. T: of both, float or bf16; also
// from float to bf16.
template <class T, class Y>
cudaError_t silu_mul(const T* gate_up, Y* y, int64_t n_rows, int width, cudaStream_t stream);

}  // namespace omni::cuda
