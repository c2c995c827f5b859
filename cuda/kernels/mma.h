// The one place with inline PTX: the tensor cores' product, and what the emulation computes in its
// stead.
#pragma once

#include "kernels/dialect.h"

namespace omni::cuda {

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

// c ← c + a · b over a warp: a 16 × 16, b 16 × 8 of bfloat16 pairs, c 16 × 8 of float, as PTX lays
// out the fragments of mma.m16n8k16: with group = lane / 4 and t = lane % 4, a[0..3]: rows group,
// group + 8, group, group + 8; columns 2t and 2t + 1, in a[2] and a[3] 8 further; b[0..1]: column
// group, rows 2t and 2t + 1, in b[1] 8 further; c[0..3]: row group (c[2], c[3]: + 8), columns 2t
// and 2t + 1. All lanes call it. (PTX ISA 9.7.14.5.8)
__device__ inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  struct Fragments {
    uint32_t a[4], b[2];
  } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const void* const* all = emu::exchange(0xffffffffu, &mine, __LINE__);
  const auto half_of = [](uint32_t pair, int k) {
    return to_float(bf16{uint16_t(pair >> (16 * (k % 2)))});
  };
  const int group = emu::lane() / 4, t = emu::lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = group + i / 2 * 8, column = 2 * t + i % 2;
    for (int k = 0; k < 16; ++k) {
      const auto* left = static_cast<const Fragments*>(all[row % 8 * 4 + k % 8 / 2]);
      const auto* right = static_cast<const Fragments*>(all[column * 4 + k % 8 / 2]);
      c[i] += half_of(left->a[row / 8 + k / 8 * 2], k) * half_of(right->b[k / 8], k);
    }
  }
  __syncwarp();  // the others still look at `mine`
#endif
}

#endif

}  // namespace omni::cuda
