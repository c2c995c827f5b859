// Integers of 4 and 8 bits as pairs of bfloat16, which hold them exactly.
#pragma once

#include "kernels/dialect.h"

namespace omni::cuda {

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

// Two bfloat16 each.
__device__ inline uint32_t sub_bf16x2(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  __nv_bfloat162 x, y;
  memcpy(&x, &a, 4), memcpy(&y, &b, 4);
  x = __hsub2(x, y);
  memcpy(&a, &x, 4);
  return a;
#else
  uint32_t difference = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    bf16 part;
    assign(part, to_float(bf16{uint16_t(a >> shift)}) - to_float(bf16{uint16_t(b >> shift)}));
    difference |= uint32_t(part.bits) << shift;
  }
  return difference;
#endif
}

// 128 as bfloat16: its lowest mantissa bit is worth 1, the bit above its mantissa doubles it.
constexpr uint32_t k128 = 0x4300'4300;

// (word & mask) | k128, in one instruction. (PTX ISA 9.7.8.6: 0xea is (a & b) | c)
__device__ inline uint32_t on_128(uint32_t word, uint32_t mask) {
#ifdef __CUDACC__
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(word), "r"(mask), "r"(k128));
  return result;
#else
  return (word & mask) | k128;
#endif
}

// Eight numbers of 4 bits (pairs[j]: those at bits 4j and 16 + 4j of `word`), less a zero: `zeros`
// is 128 + zero, twice.
__device__ inline void widen_int4(uint32_t word, uint32_t zeros, uint32_t (&pairs)[4]) {
  OMNI_UNROLL for (int j = 0; j < 4; ++j) pairs[j] =
      sub_bf16x2(on_128(word >> (4 * j), 0x000f'000f), zeros);
}
// Four signed numbers of 8 bits: pairs[0] of bytes 0 and 2, pairs[1] of bytes 1 and 3. The lower
// seven bits, less 128 where the highest one is set.
__device__ inline void widen_int8(uint32_t word, uint32_t* pairs) {
  OMNI_UNROLL for (int j = 0; j < 2; ++j) {
    const uint32_t bytes = word >> (8 * j);
    pairs[j] = sub_bf16x2(on_128(bytes, 0x007f'007f), on_128(bytes, 0x0080'0080));
  }
}

#endif

}  // namespace omni::cuda
