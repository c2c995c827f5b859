// What a kernel finds when it is compiled as C++: the keywords, the built-in variables, barriers,
// warp operations and the arithmetic functions of CUDA. Each CUDA thread is a fiber of one CPU
// thread; a block runs until all its threads are at the same barrier, or done.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "emu/cuda_runtime.h"

#define __global__ static
#define __device__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__

struct uint3 {
  unsigned x, y, z;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(8) float2 {
  float x, y;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Of the thread that is running.
extern thread_local uint3 threadIdx, blockIdx;
extern thread_local dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace omni::emu {

struct LaunchShape {
  dim3 grid, block;
  unsigned shared = 0;  // bytes of dynamic_shared()
};

cudaError_t launch(const LaunchShape& shape, cudaStream_t stream, const char* name,
                   std::function<void()> thread_body);
void* shared_array(const void* site, size_t bytes);
void* dynamic_shared();
void sync_threads(int line);
void sync_warp(unsigned mask, int line);
// Every lane of `mask` gives four bytes and gets those of lane source(lane).
uint32_t shuffle(unsigned mask, uint32_t value, int source_lane, int line);

// Every lane of `mask` offers an address and gets those of all 32; what they point at must stay
// until the next operation of the warp.
const void* const* exchange(unsigned mask, const void* mine, int line);

bool any(unsigned mask, bool predicate, int line);
// Behind an exchange: nobody looks at what was offered any more. Like it, orders no memory.
inline void leave_exchange(int line) { exchange(0xffffffffu, nullptr, line); }

// A copy to shared memory that is done as late as it may be: `to` is undefined until this thread
// waits for the group. nullptr: zeros.
void copy_async(void* to, const void* from, size_t bytes);
void end_copies();
void wait_for_copies(int n_open);

// Threads are fibers of one thread, so nothing comes between. The checker does not see it: atomics
// are no race among one another.
int atomic_add(int* address, int value);
// Counts the calling thread's warp, of n, for whom another one is the last: what it wrote until
// then is in the past of the last one, which the counter is set back by.
bool is_last_warp(int* counter, int n);

template <class T>
T shuffle_as(unsigned mask, T value, int source_lane, int line) {
  static_assert(sizeof(T) == 4);
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  bits = shuffle(mask, bits, source_lane, line);
  std::memcpy(&value, &bits, 4);
  return value;
}
inline int lane() {
  return int((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32);
}

}  // namespace omni::emu

#define OMNI_SHARED(T, name, n)      \
  static const char name##_site = 0; \
  T* name = static_cast<T*>(::omni::emu::shared_array(&name##_site, sizeof(T) * (n)))
#define OMNI_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::omni::emu::dynamic_shared())
#define __syncthreads() ::omni::emu::sync_threads(__LINE__)
#define __syncwarp() ::omni::emu::sync_warp(0xffffffffu, __LINE__)
#define __shfl_xor_sync(mask, value, delta) \
  ::omni::emu::shuffle_as(mask, value, ::omni::emu::lane() ^ (delta), __LINE__)
#define __any_sync(mask, predicate) ::omni::emu::any(mask, predicate, __LINE__)
#define __shfl_sync(mask, value, source) ::omni::emu::shuffle_as(mask, value, source, __LINE__)

struct __nv_bfloat16 {
  uint16_t bits;
};
static inline float __bfloat162float(__nv_bfloat16 x) {
  const uint32_t u = uint32_t(x.bits) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
static inline __nv_bfloat16 __float2bfloat16_rn(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  if ((u & 0x7fffffff) > 0x7f800000) return {uint16_t(u >> 16 | 0x40)};
  return {uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}
struct __half {
  uint16_t bits;
};
// Not by a type of the compiler: they have it under different names, or not at all.
static inline float __half2float(__half x) {
  uint32_t u = uint32_t(x.bits & 0x7fff) << 13;
  float f;
  std::memcpy(&f, &u, 4);
  f *= 0x1p112f;  // the bias of binary32's exponent less that of binary16's
  std::memcpy(&u, &f, 4);
  if ((x.bits & 0x7c00) == 0x7c00) u |= 0x7f800000;  // infinity, NaN
  u |= uint32_t(x.bits & 0x8000) << 16;
  std::memcpy(&f, &u, 4);
  return f;
}
static inline __half __ushort_as_half(uint16_t bits) { return {bits}; }
static inline uint32_t __float_as_uint(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
static inline float __uint_as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
// Byte i of the result is byte (selector >> 4i & 7) of y‖x.
static inline uint32_t __byte_perm(uint32_t x, uint32_t y, uint32_t selector) {
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i)
    result |= uint32_t(uint8_t((uint64_t{y} << 32 | x) >> (selector >> (4 * i) & 7) * 8))
              << (8 * i);
  return result;
}
#define atomicAdd(address, value) ::omni::emu::atomic_add(address, value)
// Names that the C library has for itself, or will have.
#define rsqrtf(x) (1.f / std::sqrt(x))
#define __expf(x) std::exp(x)
#define __sinf(x) std::sin(x)
static inline int min(int a, int b) { return a < b ? a : b; }
