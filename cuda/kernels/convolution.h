// What convolutions over time are made of around a product: columns laid out before it, or added up
// behind it.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// columns[n, kernel · c]: frames i · stride + tap · dilation − before of x[n_in, c], i from `first`
// on, tap-major. Outside: zeros, or reflected. (torch.nn.functional.unfold)
cudaError_t unfold(const float* x, float* columns, int64_t n_in, int c, int64_t first, int64_t n,
                   int kernel, int stride, int dilation, int64_t before, bool reflect,
                   cudaStream_t stream);

// y[n_out, c] = bias + the columns[n, kernel · c] that fall on a frame: tap of column i on frame i
// · stride + tap − padding. (torch.nn.functional.fold)
cudaError_t fold(const float* columns, const float* bias, float* y, int64_t n, int64_t n_out, int c,
                 int kernel, int stride, int padding, cudaStream_t stream);

}  // namespace omni::cuda
