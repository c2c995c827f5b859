// One register of floats at the level that a text is compiled for, and the few things done with it.
// For files that are compiled once a level.
#pragma once

#include <cstdint>
#include <utility>

#include "core/dtype.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace omni::ops::cpu {
namespace {  // a name of its own in every file: the same text means another thing at each level

#if defined(__AVX512F__)
using Vec = __m512;
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec load(const BFloat16* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
inline Vec load(const Float16* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vec splat(float x) { return _mm512_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline float sum(Vec v) { return _mm512_reduce_add_ps(v); }
inline Vec load_bytes(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
using Words = __m512i;
inline Words load_words(const uint32_t* p) { return _mm512_loadu_si512(p); }
template <int N>
Words shift_left(Words w) {
  return _mm512_slli_epi32(w, N);
}
template <int N>
Words shift_right(Words w) {
  return _mm512_srli_epi32(w, N);
}
template <int N>
Words shift_right_signed(Words w) {
  return _mm512_srai_epi32(w, N);
}
template <int Mask>
Words low_bits(Words w) {
  return _mm512_and_si512(w, _mm512_set1_epi32(Mask));
}
inline Vec to_floats(Words w) { return _mm512_cvtepi32_ps(w); }
inline Vec as_floats(Words w) { return _mm512_castsi512_ps(w); }
inline void store_words(uint32_t* p, Words w) { _mm512_storeu_si512(p, w); }
inline Words splat_int(int word) { return _mm512_set1_epi32(word); }
#elif defined(__AVX2__)
using Vec = __m256;
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec load(const BFloat16* p) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
inline Vec load(const Float16* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Vec splat(float x) { return _mm256_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline float sum(Vec v) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
inline Vec load_bytes(const uint8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
using Words = __m256i;
inline Words load_words(const uint32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
template <int N>
Words shift_left(Words w) {
  return _mm256_slli_epi32(w, N);
}
template <int N>
Words shift_right(Words w) {
  return _mm256_srli_epi32(w, N);
}
template <int N>
Words shift_right_signed(Words w) {
  return _mm256_srai_epi32(w, N);
}
template <int Mask>
Words low_bits(Words w) {
  return _mm256_and_si256(w, _mm256_set1_epi32(Mask));
}
inline Vec to_floats(Words w) { return _mm256_cvtepi32_ps(w); }
inline Vec as_floats(Words w) { return _mm256_castsi256_ps(w); }
inline void store_words(uint32_t* p, Words w) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), w);
}
inline Words splat_int(int word) { return _mm256_set1_epi32(word); }
#elif defined(__aarch64__)
using Vec = float32x4_t;
inline Vec load(const float* p) { return vld1q_f32(p); }
inline Vec load(const BFloat16* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&p->bits), 16));
}
inline Vec load(const Float16* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits))); }
inline Vec splat(float x) { return vdupq_n_f32(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
inline void store(float* p, Vec v) { vst1q_f32(p, v); }
inline float sum(Vec v) { return vaddvq_f32(v); }
inline Vec load_bytes(const uint8_t* p) {
  return Vec{float(p[0]), float(p[1]), float(p[2]), float(p[3])};
}
using Words = int32x4_t;
inline Words load_words(const uint32_t* p) { return vreinterpretq_s32_u32(vld1q_u32(p)); }
template <int N>
Words shift_left(Words w) {
  return w << N;
}
template <int N>
Words shift_right(Words w) {
  return vreinterpretq_s32_u32(vreinterpretq_u32_s32(w) >> N);
}
template <int N>
Words shift_right_signed(Words w) {
  return w >> N;
}
template <int Mask>
Words low_bits(Words w) {
  return vandq_s32(w, vdupq_n_s32(Mask));
}
inline Vec to_floats(Words w) { return vcvtq_f32_s32(w); }
inline Vec as_floats(Words w) { return vreinterpretq_f32_s32(w); }
inline void store_words(uint32_t* p, Words w) { vst1q_u32(p, vreinterpretq_u32_s32(w)); }
inline Words splat_int(int word) { return vdupq_n_s32(word); }
#else
#error "a level without vectors has no use for this file"
#endif

// to[i · stride + j] = rows[j][c + i], of a square of kSquare.
#if defined(__x86_64__)
constexpr int kSquare = 8;
inline __m256 load_eight(const float* p) { return _mm256_loadu_ps(p); }
inline __m256 load_eight(const BFloat16* p) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
template <class T>
inline void transpose_square(const T* const (&rows)[8], int64_t c, float* to, int64_t stride) {
  __m256 r[8], a[8];
  for (int i = 0; i < 8; ++i) r[i] = load_eight(rows[i] + c);
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}
#else
constexpr int kSquare = 4;
template <class T>
inline void transpose_square(const T* const (&rows)[4], int64_t c, float* to, int64_t stride) {
  const float32x4x2_t a = vtrnq_f32(load(rows[0] + c), load(rows[1] + c)),
                      b = vtrnq_f32(load(rows[2] + c), load(rows[3] + c));
  vst1q_f32(to, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])));
  vst1q_f32(to + stride, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])));
  vst1q_f32(to + 2 * stride, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])));
  vst1q_f32(to + 3 * stride, vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1])));
}
#endif

inline Words splat_word(const int8_t* four) {
  int word;
  __builtin_memcpy(&word, four, 4);
  return splat_int(word);
}

constexpr int kLanes = int(sizeof(Vec) / sizeof(float));

// body(constant) for 0 … N − 1, unrolled before the compiler decides what lives in registers: it
// keeps an array of sums in memory otherwise.
template <int N, class Body>
[[gnu::always_inline]] inline void unroll(const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, I>()), ...);
  }
  (std::make_integer_sequence<int, N>());
}

}  // namespace
}  // namespace omni::ops::cpu
