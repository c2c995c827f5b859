// The CUDA that kernels are written in: what nvcc takes as it is and g++ takes on top of cuda/emu. Launches go through launch(), shared memory through OMNI_SHARED;
// no <<<>>>, no textures, no launches from the device.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define OMNI_SHARED(T, name, n) __shared__ T name[n]

namespace omni::cuda {
struct LaunchShape {
  dim3 grid, block;
};
template <class... P, class... A>
cudaError_t launch(const char*, void (*kernel)(P...), const LaunchShape& shape, cudaStream_t stream, A... arguments) {
  cudaLaunchConfig_t c = {};
  c.gridDim = shape.grid, c.blockDim = shape.block, c.stream = stream;
  return cudaLaunchKernelEx(&c, kernel, static_cast<P>(arguments)...);
}
}  // namespace omni::cuda
#else
#include "emu/device.h"

namespace omni::cuda {
using LaunchShape = emu::LaunchShape;
template <class... P, class... A>
cudaError_t launch(const char* name, void (*kernel)(P...), const LaunchShape& shape, cudaStream_t stream, A... arguments) {
  return emu::launch(shape, stream, name, [=] { kernel(static_cast<P>(arguments)...); });
}
}  // namespace omni::cuda
#endif

namespace omni::cuda {

using bf16 = __nv_bfloat16;

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
__device__ inline void assign(float& y, float x) { y = x; }
__device__ inline void assign(bf16& y, float x) { y = __float2bfloat16_rn(x); }

// The sum over the threads of a block, in all of them. `partial`: shared, one float a warp. All threads of the block call it.
__device__ inline float block_sum(float x, float* partial) {
  for (int delta = 16; delta > 0; delta /= 2) x += __shfl_xor_sync(0xffffffffu, x, delta);
  const int warp = int(threadIdx.x) / 32, n_warps = (int(blockDim.x) + 31) / 32;
  __syncthreads();  // `partial` may still be read from the sum before
  if (threadIdx.x % 32 == 0) partial[warp] = x;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < n_warps; ++w) sum += partial[w];
  return sum;
}

}  // namespace omni::cuda
