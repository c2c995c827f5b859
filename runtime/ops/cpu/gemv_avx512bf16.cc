#include "cpu/gemv_avx512bf16.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace omni::ops::cpu {

namespace {
constexpr int64_t kAhead = 4096;  // bytes of weights fetched ahead of their use
}

void gemv_bf16(const BFloat16* x, const BFloat16* w, const float* bias, int64_t k, int64_t n,
               float* y) {
  const int64_t n_pairs = (k + 1) / 2, block = (k + 31) / 32 * 32 * 64,
                pairs_a_sum = k <= 1024 ? 256 : 512;  // as oneDNN: a row alone has its bits
  for (int64_t j = 0; j < n; j += 64, w += block) {
    __m512 sum[4], total[4];
    for (int c = 0; c < 4; ++c) sum[c] = total[c] = _mm512_setzero_ps();
    for (int64_t p = 0; p < n_pairs; ++p) {
      if (p && p % pairs_a_sum == 0)
        for (int c = 0; c < 4; ++c) {
          total[c] = _mm512_add_ps(total[c], sum[c]);
          sum[c] = _mm512_setzero_ps();
        }
      uint32_t pair = x[2 * p].bits;
      if (2 * p + 1 < k) pair |= uint32_t(x[2 * p + 1].bits) << 16;
      const auto broadcast = __m512bh(_mm512_set1_epi32(int(pair)));
      const auto* row = reinterpret_cast<const char*>(w + p * 128);
      for (int c = 0; c < 4; ++c) {
        _mm_prefetch(row + 64 * c + kAhead, _MM_HINT_T0);
        sum[c] = _mm512_dpbf16_ps(sum[c], broadcast, __m512bh(_mm512_loadu_si512(row + 64 * c)));
      }
    }
    for (int c = 0; c < 4; ++c) {
      const int64_t at = j + 16 * c, left = std::clamp<int64_t>(n - at, 0, 16);
      const auto mask = __mmask16((1u << left) - 1);
      __m512 whole = _mm512_add_ps(total[c], sum[c]);
      if (bias) whole = _mm512_add_ps(whole, _mm512_maskz_loadu_ps(mask, bias + at));
      _mm512_mask_storeu_ps(y + at, mask, whole);
    }
  }
}

}  // namespace omni::ops::cpu
