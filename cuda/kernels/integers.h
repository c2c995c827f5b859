// Integers of 4 and 8 bits as pairs of bfloat16, which hold them exactly.
#pragma once

#include "kernels/dialect.h"

namespace omni::cuda {

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

// x, which the compiler cannot know and so keeps in a register rather than to compute it again.
__device__ inline int kept(int x) {
#ifdef __CUDACC__
  asm volatile("" : "+r"(x));
#endif
  return x;
}

// Two bfloat16 each.
__device__ inline uint32_t add_bf16x2(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  __nv_bfloat162 x, y;
  memcpy(&x, &a, 4), memcpy(&y, &b, 4);
  x = __hadd2(x, y);
  memcpy(&a, &x, 4);
  return a;
#else
  uint32_t sum = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    bf16 part;
    assign(part, to_float(bf16{uint16_t(a >> shift)}) + to_float(bf16{uint16_t(b >> shift)}));
    sum |= uint32_t(part.bits) << shift;
  }
  return sum;
#endif
}

// 128 as bfloat16: its lowest mantissa bit is worth 1, the bit above its mantissa doubles it.
constexpr uint32_t k128 = 0x4300'4300, kNegative = 0x8000'8000;

// 1, and 16, whose fourth mantissa bit from above is worth 1: an integer of four bits fills them.
constexpr uint32_t k1 = 0x3f80'3f80, k16 = 0x4180'4180;

// (word & mask) | base, in one instruction. (PTX ISA 9.7.8.6: 0xea is (a & b) | c)
template <uint32_t kMask, uint32_t kBase>
__device__ inline uint32_t masked_onto(uint32_t word) {
#ifdef __CUDACC__
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(word), "n"(kMask), "r"(kBase));
  return result;
#else
  return (word & kMask) | kBase;
#endif
}

// Eight numbers of 4 bits with 16 added; pairs[j]: those at bits 3 + 4j and 19 + 4j of `word`, the
// last of which go on at bit 0.
__device__ inline void widen_int4(uint32_t word, uint32_t (&pairs)[4]) {
  OMNI_UNROLL for (int j = 0; j < 4; ++j) pairs[j] =
      masked_onto<0x0078'0078, k16>(j ? word >> (4 * j) | word << (32 - 4 * j) : word);
}
// Four signed numbers of 8 bits: pairs[0] of bytes 0 and 2, pairs[1] of bytes 1 and 3. The lower
// seven bits on 128, less 128 or, where the highest one is set, 256.
__device__ inline void widen_int8(uint32_t word, uint32_t* pairs) {
  OMNI_UNROLL for (int j = 0; j < 2; ++j) {
    const uint32_t bytes = word >> (8 * j);
    pairs[j] = add_bf16x2(masked_onto<0x007f'007f, k128>(bytes),
                          masked_onto<0x0080'0080, k128 | kNegative>(bytes));
  }
}

#endif

}  // namespace omni::cuda
