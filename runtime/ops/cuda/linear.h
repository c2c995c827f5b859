// Products with a weight on a CUDA device: of few rows at the rate of memory, of many through
// cuBLASLt or, without it, on tensor cores by a kernel of the project's own.
#pragma once

#include "ops/cuda/cuda_weight.h"
#include "ops/ops.h"

namespace omni::ops::cuda {

// As in ops.h. False: nothing is better there than the product and what follows it, one by one.
void linear(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias, Tensor& y);
bool add_linear(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias, Tensor& y);
bool linear_silu_mul(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias,
                     Tensor& y);
bool normed_linear(Context& cx, const Normed& x, const CudaWeight& w, const Tensor& bias,
                   Tensor& y);
bool normed_linear_silu_mul(Context& cx, const Normed& x, const CudaWeight& w, const Tensor& bias,
                            Tensor& y);

}  // namespace omni::ops::cuda
