// Quantized weights times rows rounded to int8, by instructions that multiply bytes and add them
// up: dots_avx2.cc, dots_avx512vnni.cc and dots_neon.cc compile this one text. Integers are summed
// exactly, so rows computed together and alone have the same bits.
#include "cpu/quantized_tile.h"

namespace omni::ops::cpu {
namespace {

constexpr int kDotRows = kLanes == 8 ? 4 : kRows;

// Weights<Halved>: a register of words, ready to be multiplied by any number of rows. Row<Halved>:
// the values of a row that belong to it. dot(): total + Σ of the products in each word.
template <bool Halved>
struct Row {
  Words x[Halved ? 2 : 1];
  explicit Row(const int8_t* values) {
    unroll<Halved ? 2 : 1>([&](auto j) { x[j] = splat_word(values + 4 * j); });
  }
};

#if defined(__AVX512VNNI__) || defined(__ARM_FEATURE_DOTPROD)
constexpr bool kSignedBytes = kLanes == 4;  // AVX512_VNNI wants one factor without a sign

template <bool Halved>
struct Weights {
  Words words[Halved ? 2 : 1];
  explicit Weights(Words w) {
    if constexpr (Halved)
      words[0] = low_bits<0x0f0f0f0f>(w), words[1] = low_bits<0x0f0f0f0f>(shift_right<4>(w));
    else
      words[0] = w;
  }
};

inline Words dot(Words total, Words w, Words x) {
#if defined(__AVX512VNNI__)
  // gcc 12 copies the sums of the intrinsic between registers, which halves the speed.
  asm("vpdpbusd %2, %1, %0" : "+v"(total) : "v"(w), "v"(x));
  return total;
#else
  return vdotq_s32(total, vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(x));
#endif
}

template <bool Halved>
Words dot(Words total, const Weights<Halved>& w, const Row<Halved>& row) {
  unroll<Halved ? 2 : 1>([&](auto j) { total = dot(total, w.words[j], row.x[j]); });
  return total;
}
#else
constexpr bool kSignedBytes = true;

// vpmaddubsw wants one factor without a sign and adds pairs to 16 bits, which |w| · ±x of bytes and
// halves of bytes never exceed.
template <bool Halved>
struct Weights {
  Words low, other;  // halves: columns 0 … 3 and 4 … 7; bytes: |w| and w
  explicit Weights(Words w)
      : low(Halved ? low_bits<0x0f0f0f0f>(w) : _mm256_abs_epi8(w)),
        other(Halved ? low_bits<0x0f0f0f0f>(shift_right<4>(w)) : w) {}
};

template <bool Halved>
Words dot(Words total, const Weights<Halved>& w, const Row<Halved>& row) {
  Words pairs;
  if constexpr (Halved)
    pairs = _mm256_add_epi16(_mm256_maddubs_epi16(w.low, row.x[0]),
                             _mm256_maddubs_epi16(w.other, row.x[1]));
  else
    pairs = _mm256_maddubs_epi16(w.low, _mm256_sign_epi8(row.x[0], w.other));
  return _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif

// A segment of M rows against P panels side by side.
template <int M, int P, bool Halved, class S>
void multiply_dots(const QuantizedTile& t, int64_t first_panel, int64_t row, int64_t segment) {
  constexpr int kDeep = Halved ? 8 : 4;
  const PanelSegment<S> first(t, first_panel, segment);
  const int64_t depth = first.depth, step = first.n * kColumns;
  const uint32_t* w = first.words(kDeep);
  const int8_t* x = t.rounded + row * t.n_in + first.begin;
  const int64_t stride = t.n_in;
  Words total[M][P][kVecs];
  unroll<M>([&](auto i) {
    unroll<P>([&](auto p) { unroll<kVecs>([&](auto v) { total[i][p][v] = Words{}; }); });
  });
  for (int64_t k = 0; k < depth; k += kDeep, w += step)
    unroll<P>([&](auto p) {
      const uint32_t* from = w + p * kColumns;
      unroll<kVecs>([&](auto v) {
        const Weights<Halved> weights(load_words(from + v * kLanes));
        unroll<M>([&](auto i) {
          total[i][p][v] = dot(total[i][p][v], weights, Row<Halved>(x + i * stride + k));
        });
      });
    });
  unroll<P>([&](auto p) {
    const PanelSegment<S> done(t, first_panel + p, segment);
    unroll<M>([&](auto i) {
      Vec sums[kVecs];
      unroll<kVecs>([&](auto v) { sums[v] = to_floats(total[i][p][v]); });
      done.add(sums, row + i);
    });
  });
}

template <int M, bool Halved, class S>
void multiply_dots_some(int64_t n_rows, const QuantizedTile& t, int64_t panel, int64_t row,
                        int64_t segment) {
  if (n_rows == M) return multiply_dots<M, 1, Halved, S>(t, panel, row, segment);
  if constexpr (M > 1) multiply_dots_some<M - 1, Halved, S>(n_rows, t, panel, row, segment);
}

template <bool Halved, class S>
void multiply_tile_of_dots(const QuantizedTile& t) {
  const int64_t n_panels = (t.n_out + kColumns - 1) / kColumns;
  int64_t first = 0;
  if (t.n_rows == 1)
    for (; first + kGroup <= n_panels; first += kGroup)
      for (int64_t s = 0; s < t.n_segments; ++s)
        multiply_dots<1, kGroup, Halved, S>(t, first, 0, s);
  for (int64_t s = 0; s < t.n_segments; ++s)
    for (int64_t p = first; p < n_panels; ++p)
      for (int64_t row = 0; row < t.n_rows; row += kDotRows)
        multiply_dots_some<kDotRows, Halved, S>(least(kDotRows, t.n_rows - row), t, p, row, s);
}

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_DOTS                                                                       \
  {                                                                                     \
    kColumns, kGroup, kRows, true, kSignedBytes,                                        \
        {multiply_tile_of_dots<false, Float16>, multiply_tile_of_dots<false, float>}, { \
      multiply_tile_of_dots<true, Float16>, multiply_tile_of_dots<true, float>          \
    }                                                                                   \
  }
