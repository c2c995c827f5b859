#include <immintrin.h>

#include "video/picture_kernels.h"

namespace omni {

namespace {

// Sums of the 16 values of each of 16 vectors.
inline __m512i sum_each(const __m512i (&v)[16]) {
  __m512i quad[4];
  for (int q = 0; q < 4; ++q) {
    const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(v[4 * q], v[4 * q + 1]), _mm512_unpackhi_epi32(v[4 * q], v[4 * q + 1]));
    const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(v[4 * q + 2], v[4 * q + 3]), _mm512_unpackhi_epi32(v[4 * q + 2], v[4 * q + 3]));
    quad[q] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  }
  const __m512i low = _mm512_add_epi32(_mm512_shuffle_i32x4(quad[0], quad[1], 0x88), _mm512_shuffle_i32x4(quad[0], quad[1], 0xdd));
  const __m512i high = _mm512_add_epi32(_mm512_shuffle_i32x4(quad[2], quad[3], 0x88), _mm512_shuffle_i32x4(quad[2], quad[3], 0xdd));
  return _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88), _mm512_shuffle_i32x4(low, high, 0xdd));
}

inline __m512i taps_of(const uint8_t* p) { return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }

void row(const uint8_t* row, const int* first, const int16_t* weight, int n_taps, int precision, int n, uint8_t* out) {
  const __m512i half = _mm512_set1_epi32(1 << (precision - 1));
  const __m128i shift = _mm_cvtsi32_si128(precision);
  for (int i = 0; i < n; i += 16) {
    __m512i sums[16];
    for (int k = 0; k < 16; ++k) {
      const uint8_t* in = row + first[i + k];
      const int16_t* w = weight + int64_t(i + k) * n_taps;
      __m512i sum = _mm512_madd_epi16(taps_of(in), _mm512_loadu_si512(w));
      for (int t = 32; t < n_taps; t += 32) sum = _mm512_add_epi32(sum, _mm512_madd_epi16(taps_of(in + t), _mm512_loadu_si512(w + t)));
      sums[k] = sum;
    }
    const __m512i rounded = _mm512_sra_epi32(_mm512_add_epi32(sum_each(sums), half), shift);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm512_cvtusepi32_epi8(_mm512_max_epi32(rounded, _mm512_setzero_si512())));
  }
}

void column(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps, int precision, int n, uint8_t* out) {
  const __m512i half = _mm512_set1_epi32(1 << (precision - 1)), zero = _mm512_setzero_si512();
  const __m128i shift = _mm_cvtsi32_si128(precision);
  for (int x = 0; x < n; x += 32) {
    const bool whole = n - x >= 32;
    const __mmask32 mask = whole ? ~__mmask32(0) : (__mmask32(1) << (n - x)) - 1;
    auto load = [&](int t) { return whole ? taps_of(in + t * stride + x) : _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, in + t * stride + x)); };
    __m512i low = half, high = half;
    for (int t = 0; t < n_taps; t += 2) {  // two rows at a time: pairs of samples against pairs of weights
      const bool two = t + 1 < n_taps;
      const __m512i a = load(t), b = two ? load(t + 1) : zero;
      const __m512i w = _mm512_set1_epi32(int(uint16_t(weight[t])) | int(uint32_t(uint16_t(two ? weight[t + 1] : 0)) << 16));
      low = _mm512_add_epi32(low, _mm512_madd_epi16(_mm512_unpacklo_epi16(a, b), w));
      high = _mm512_add_epi32(high, _mm512_madd_epi16(_mm512_unpackhi_epi16(a, b), w));
    }
    const __m512i words = _mm512_packs_epi32(_mm512_sra_epi32(low, shift), _mm512_sra_epi32(high, shift));
    _mm256_mask_storeu_epi8(out + x, mask, _mm512_cvtusepi16_epi8(_mm512_max_epi16(words, zero)));
  }
}

void normalise(const uint8_t* in, int n, float scale, float offset, float* out) {
  const __m512 s = _mm512_set1_ps(scale), o = _mm512_set1_ps(offset);
  for (int i = 0; i < n; i += 16) {
    const __mmask16 mask = n - i >= 16 ? __mmask16(~0) : __mmask16((1u << (n - i)) - 1);
    const __m512 v = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, in + i)));
    _mm512_mask_storeu_ps(out + i, mask, _mm512_add_ps(_mm512_mul_ps(v, s), o));
  }
}

}  // namespace

const PictureKernels kAvx512PictureKernels = {row, column, normalise};

}  // namespace omni
