// The resizing loops of both x86 levels: sums of pairs of 16-bit products (vpmaddwd). Registers of
// 512 bits gain nothing.
#include <immintrin.h>

#include "video/picture_kernels.inl"

namespace omni {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline __m256i dot(const int16_t* in, const int16_t* weight, int n_taps) {
  __m256i sum = _mm256_madd_epi16(load(in), load(weight));
  for (int t = 16; t < n_taps; t += 16)
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(load(in + t), load(weight + t)));
  return sum;
}

// Sums of the four values of each half of four vectors, half by half.
inline __m256i sum_halves(__m256i a, __m256i b, __m256i c, __m256i d) {
  return _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
}

void row(const int16_t* row, const int* first, const int16_t* weight, int n_taps, int precision,
         int n, uint8_t* out) {
  const __m256i half = _mm256_set1_epi32(1 << (precision - 1));
  const __m128i shift = _mm_cvtsi32_si128(precision);
  for (int i = 0; i < n; i += 8, first += 8, weight += 8 * n_taps) {
    const auto sum = [&](int k) { return dot(row + first[k], weight + k * n_taps, n_taps); };
    const __m256i a = sum_halves(sum(0), sum(1), sum(2), sum(3)),
                  b = sum_halves(sum(4), sum(5), sum(6), sum(7));
    const __m256i all = _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                                         _mm256_permute2x128_si256(a, b, 0x31));
    const __m256i whole = _mm256_sra_epi32(_mm256_add_epi32(all, half), shift);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), _mm_packus_epi16(words, words));
  }
}

// 32 columns. Bytes of two rows side by side become pairs of words, against pairs of weights.
inline void columns(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps,
                    int precision, uint8_t* out) {
  const __m256i half = _mm256_set1_epi32(1 << (precision - 1)), zero = _mm256_setzero_si256();
  __m256i s0 = half, s1 = half, s2 = half, s3 = half;
  const auto add = [&](__m256i a, __m256i b, int w0, int w1) __attribute__((always_inline)) {
    const __m256i w = _mm256_set1_epi32((w0 & 0xffff) | int(unsigned(w1) << 16));
    const __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
    s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), w));
    s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), w));
    s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), w));
    s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), w));
  };
  int t = 0;
  for (; t + 2 <= n_taps; t += 2, in += 2 * stride)
    add(load(in), load(in + stride), weight[t], weight[t + 1]);
  if (t < n_taps) add(load(in), zero, weight[t], 0);
  const __m128i shift = _mm_cvtsi32_si128(precision);
  const __m256i a = _mm256_packs_epi32(_mm256_sra_epi32(s0, shift), _mm256_sra_epi32(s1, shift));
  const __m256i b = _mm256_packs_epi32(_mm256_sra_epi32(s2, shift), _mm256_sra_epi32(s3, shift));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_packus_epi16(a, b));
}

void column(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps, int precision,
            int n, uint8_t* out) {
  constexpr int kBlock = 32;
  if (n < kBlock) {
    for (int x = 0; x < n; ++x) {
      int sum = 1 << (precision - 1);
      for (int t = 0; t < n_taps; ++t) sum += in[t * stride + x] * weight[t];
      out[x] = clamp8(sum >> precision);
    }
    return;
  }
  for (int x = 0; x < n; x += kBlock) {
    const int at = std::min(x, n - kBlock);  // the last block begins early
    columns(in + at, stride, weight, n_taps, precision, out + at);
  }
}

}  // namespace
}  // namespace omni
