// The one place with inline PTX: the tensor cores' product, how its factors come to shared memory
// and from there to registers, and what the emulation computes in their stead.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

// Two floats rounded to the nearest bfloat16, `low` in the low half.
__device__ inline uint32_t two_bf16(float low, float high) {
#ifdef __CUDACC__
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return __float2bfloat16_rn(low).bits | uint32_t(__float2bfloat16_rn(high).bits) << 16;
#endif
}
__device__ inline float low_bf16(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ inline float high_bf16(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

// 2ˣ, approximately; 0 for −∞.
__device__ inline float fast_exp2(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return std::exp2(x);
#endif
}

// c ← c + a · b over a warp: a 16 × 16, b 16 × 8 of bfloat16 pairs, c 16 × 8 of float, as PTX lays
// out the fragments of mma.m16n8k16: with group = lane / 4 and t = lane % 4, a[0..3]: rows group,
// group + 8, group, group + 8; columns 2t and 2t + 1, in a[2] and a[3] 8 further; b[0..1]: column
// group, rows 2t and 2t + 1, in b[1] 8 further; c[0..3]: row group (c[2], c[3]: + 8), columns 2t
// and 2t + 1. All lanes call it. (PTX ISA 9.7.14.5.8)
__device__ inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  struct Fragments {
    uint32_t a[4], b[2];
  } mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
  const void* const* all = emu::exchange(0xffffffffu, &mine, __LINE__);
  const int group = emu::lane() / 4, t = emu::lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = group + i / 2 * 8, column = 2 * t + i % 2;
    for (int pair = 0; pair < 8; ++pair) {  // of the 16 that are summed
      const auto* left = static_cast<const Fragments*>(all[row % 8 * 4 + pair % 4]);
      const auto* right = static_cast<const Fragments*>(all[column * 4 + pair % 4]);
      const uint32_t x = left->a[row / 8 + pair / 4 * 2], y = right->b[pair / 4];
      c[i] += low_bf16(x) * low_bf16(y);
      c[i] += high_bf16(x) * high_bf16(y);
    }
  }
  emu::leave_exchange(__LINE__);  // the others still look at `mine`
#endif
}
__device__ inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  mma_bf16(c, a, b[0], b[1]);
}

// Sixteen aligned bytes of global memory that nothing writes while the kernel runs and that no
// other thread reads.
__device__ inline uint4 load_once(const void* from) {
#ifdef __CUDACC__
  uint4 x;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "l"(__cvta_generic_to_global(from)));
  return x;
#else
  const uint4 x = *static_cast<const uint4*>(from);
  return x;
#endif
}

// Four 8 × 8 matrices of bfloat16 from shared memory: lane 8i + r says where row r of matrix i
// lies, sixteen aligned bytes; x[i] ← its row lane / 4, columns 2 · (lane % 4) and the next one.
// Transposed: its column lane / 4, rows 2 · (lane % 4) and the next one. All lanes call it. (PTX
// ISA 9.7.14.5.15)
template <bool kTransposed = false>
__device__ inline void load_matrices(uint32_t (&x)[4], const bf16* row) {
#ifdef __CUDACC__
  const auto at = uint32_t(__cvta_generic_to_shared(row));
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
#else
  const uint4 mine = *reinterpret_cast<const uint4*>(row);
  const void* const* all = emu::exchange(0xffffffffu, &mine, __LINE__);
  const int group = emu::lane() / 4, t = emu::lane() % 4;
  const auto value = [&](int matrix, int r, int column) {
    return uint32_t(static_cast<const uint16_t*>(all[8 * matrix + r])[column]);
  };
  for (int i = 0; i < 4; ++i)
    x[i] = kTransposed ? value(i, 2 * t, group) | value(i, 2 * t + 1, group) << 16
                       : value(i, group, 2 * t) | value(i, group, 2 * t + 1) << 16;
  emu::leave_exchange(__LINE__);
#endif
}

// Sixteen bytes from global to shared memory, both aligned, past the registers; zeros where they
// are not `wanted` (`from` is not read then). They are there, for this thread, when
// wait_for_copies() says so; before, nobody may look. (PTX ISA 9.7.9.25.3)
__device__ inline void copy_async(void* to, const void* from, bool wanted) {
#ifdef __CUDACC__
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(
                   uint32_t(__cvta_generic_to_shared(to))),
               "l"(from), "r"(wanted ? 16 : 0)
               : "memory");
#else
  emu::copy_async(to, wanted ? from : nullptr, 16);
#endif
}
// Ends a group of this thread's copies, and waits until all but the last kOpen groups are there.
__device__ inline void end_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emu::end_copies();
#endif
}
template <int kOpen>
__device__ inline void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(kOpen) : "memory");
#else
  emu::wait_for_copies(kOpen);
#endif
}

#endif

}  // namespace omni::cuda
