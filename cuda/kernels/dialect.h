// The CUDA that kernels are written in: what nvcc takes as it is and g++ takes on top of cuda/emu.
// Launches go through launch(), shared memory through OMNI_SHARED; no <<<>>>, no textures, no
// launches from the device. Host code that links with nvcc's kernels (OMNI_CUDA_TOOLKIT) sees the
// types alone.
#pragma once

#if defined(__CUDACC__) || OMNI_CUDA_TOOLKIT
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <atomic>
#endif

#if defined(__CUDACC__)
#define OMNI_SHARED(T, name, n) __shared__ T name[n]
// The LaunchShape's `shared` bytes.
#define OMNI_DYNAMIC_SHARED(T, name)             \
  extern __shared__ uint4 omni_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(omni_dynamic_shared)
#define OMNI_UNROLL _Pragma("unroll")  // before a loop over an array that shall stay in registers
#define OMNI_UNROLL_1 _Pragma("unroll 1")  // not at all: where code would grow for nothing
#define OMNI_UNROLL_2 _Pragma("unroll 2")  // by two only: where more would spill registers
#define OMNI_UNROLL_4 _Pragma("unroll 4")

namespace omni::cuda {
struct LaunchShape {
  dim3 grid, block;
  unsigned shared = 0;  // bytes of OMNI_DYNAMIC_SHARED
};
constexpr unsigned kSharedUnasked = 48 << 10;  // more has to be asked for
template <class... P, class... A>
cudaError_t launch_with(cudaLaunchAttribute* attributes, unsigned n_attributes,
                        void (*kernel)(P...), const LaunchShape& shape, cudaStream_t stream,
                        A... arguments) {
  if (shape.shared > kSharedUnasked) {
    const cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                               int(shape.shared));
    if (e != cudaSuccess) return e;
  }
  cudaLaunchConfig_t c = {};
  c.gridDim = shape.grid, c.blockDim = shape.block, c.stream = stream;
  c.dynamicSmemBytes = shape.shared;
  c.attrs = attributes, c.numAttrs = n_attributes;
  return cudaLaunchKernelEx(&c, kernel, static_cast<P>(arguments)...);
}
template <class... P, class... A>
cudaError_t launch(const char*, void (*kernel)(P...), const LaunchShape& shape, cudaStream_t stream,
                   A... arguments) {
  return launch_with(nullptr, 0, kernel, shape, stream, arguments...);
}

inline int n_multiprocessors() {
  int device = 0, n = 1;
  if (cudaGetDevice(&device) == cudaSuccess)
    cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, device);
  return n;
}
// Bytes of shared memory that a block may have, if it asks for them.
inline unsigned most_shared() {
  int device = 0, n = int(kSharedUnasked);
  if (cudaGetDevice(&device) == cudaSuccess)
    cudaDeviceGetAttribute(&n, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return unsigned(n);
}

// Whether kernels of the current device may begin before what they wait for has ended.
inline bool begins_early() {
  constexpr int kMostDevices = 64;
  static std::atomic<signed char> known[kMostDevices];  // 0: not asked yet
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= kMostDevices) return false;
  if (!known[device]) {
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    known[device] = major >= 9 ? 1 : -1;
  }
  return known[device] > 0;
}

// The same for a kernel each of whose threads calls wait_for_input() before it writes anything, or
// reads what a kernel behind the stream's last copy writes: its blocks come to the device while the
// kernel before it ends. All of them divide a multiprocessor's memory alike, most of it shared:
// kernels that divide it otherwise would not run on it at the same time. (programmatic dependent
// launch: CUDA programming guide, 4.5)
template <class... P, class... A>
cudaError_t launch_early(const char*, void (*kernel)(P...), const LaunchShape& shape,
                         cudaStream_t stream, A... arguments) {
  cudaLaunchAttribute early[2];
  early[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early[0].val.programmaticStreamSerializationAllowed = 1;
  early[1].id = cudaLaunchAttributePreferredSharedMemoryCarveout;
  early[1].val.sharedMemCarveout = cudaSharedmemCarveoutMaxShared;
  return launch_with(early, begins_early() ? 2 : 0, kernel, shape, stream, arguments...);
}
}  // namespace omni::cuda
#elif !OMNI_CUDA_TOOLKIT
#include "emu/device.h"

#define OMNI_UNROLL
#define OMNI_UNROLL_1
#define OMNI_UNROLL_2
#define OMNI_UNROLL_4

namespace omni::cuda {
using LaunchShape = emu::LaunchShape;
inline int n_multiprocessors() { return 3; }  // so few that tests go through all of them
inline unsigned most_shared() { return 227 << 10; }
template <class... P, class... A>
cudaError_t launch(const char* name, void (*kernel)(P...), const LaunchShape& shape,
                   cudaStream_t stream, A... arguments) {
  return emu::launch(shape, stream, name, [=] { kernel(static_cast<P>(arguments)...); });
}
template <class... P, class... A>
cudaError_t launch_early(const char* name, void (*kernel)(P...), const LaunchShape& shape,
                         cudaStream_t stream, A... arguments) {
  return launch(name, kernel, shape, stream, arguments...);
}
}  // namespace omni::cuda
#endif

namespace omni::cuda {

using bf16 = __nv_bfloat16;
using half = __half;

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
__device__ inline float to_float(half x) { return __half2float(x); }
__device__ inline void assign(float& y, float x) { y = x; }
__device__ inline void assign(bf16& y, float x) { y = __float2bfloat16_rn(x); }

// Of a kernel that launch_early() launched: the next one may begin, too; and until all kernels
// before this one have ended.
__device__ inline void wait_for_input() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
}
// The same, and only then the next one may begin: for a kernel that waits for memory time and again
// and so would wait longer while that one fetches what it will need.
__device__ inline void wait_for_input_first() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\ngriddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// A thread a value: how to launch it, and which value is a thread's (to be compared with n).
constexpr int kOneEach = 256;
inline LaunchShape one_each(int64_t n) {
  return {{unsigned((n + kOneEach - 1) / kOneEach)}, {kOneEach}};
}
__device__ inline int64_t one_each_index() { return int64_t(blockIdx.x) * kOneEach + threadIdx.x; }

// Over the lanes of a warp, in all of them. All lanes call it.
__device__ inline float warp_sum(float x) {
  for (int delta = 16; delta > 0; delta /= 2) x += __shfl_xor_sync(0xffffffffu, x, delta);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int delta = 16; delta > 0; delta /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, delta));
  return x;
}

// Over the threads of a block of whole warps, in all of them. `partial`: shared, one float a warp.
// All threads of the block call it.
__device__ inline float block_sum(float x, float* partial) {
  x = warp_sum(x);
  __syncthreads();  // `partial` may still be read from the sum before
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (unsigned w = 0; w < blockDim.x / 32; ++w) sum += partial[w];
  return sum;
}
__device__ inline float block_max(float x, float* partial) {
  x = warp_max(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  float highest = partial[0];
  for (unsigned w = 1; w < blockDim.x / 32; ++w) highest = fmaxf(highest, partial[w]);
  return highest;
}

// What other blocks of this launch have written and is_last_warp() has told of; aligned.
template <class T>
__device__ inline T load_written(const T* from) {
#ifdef __CUDACC__
  return __ldcg(from);  // not through the first cache, which may hold what was there before
#else
  return *from;
#endif
}

// In all lanes of a warp, whether it is the last of n that come by with this counter: then what
// they wrote before is there. counter: 0 before the first and behind the last. All lanes call it.
__device__ inline bool is_last_warp(int* counter, int n) {
  int is_last = 0;
  __syncwarp();
  if (threadIdx.x % 32 == 0) {
#ifdef __CUDACC__
    __threadfence();
    is_last = atomicAdd(counter, 1) == n - 1;
    if (is_last) *counter = 0;
    __threadfence();
#else
    is_last = emu::is_last_warp(counter, n);
#endif
  }
  __syncwarp();
  return __shfl_sync(0xffffffffu, is_last, 0) != 0;
}

#endif

}  // namespace omni::cuda
