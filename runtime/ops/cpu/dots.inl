// Quantized weights times rows rounded to int8, by instructions that multiply bytes and add them
// up: dots_*.cc compile this one text. Integers are summed exactly, so rows computed together and
// alone have the same bits.
#include "cpu/quantized_tile.h"

// Whether four products of bytes are added to a sum of 32 bits, or (vpmaddubsw) two to one of 16.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(__ARM_FEATURE_DOTPROD)
#define OMNI_ADDS_FOUR 1
#else
#define OMNI_ADDS_FOUR 0
#endif

namespace omni::ops::cpu {
namespace {

constexpr int kDotRows = OMNI_ADDS_FOUR ? kRows : 4;

// Weights<Halved>: a register of words, ready to be multiplied by any number of rows. Row<Halved>:
// the values of a row that belong to it. dot(): total + Σ of the products in each word.
template <bool Halved>
struct Row {
  Words x[Halved ? 2 : 1];
  explicit Row(const int8_t* values) {
    unroll<Halved ? 2 : 1>([&](auto j) { x[j] = splat_word(values + 4 * j); });
  }
};

#if OMNI_ADDS_FOUR
constexpr bool kSignedBytes = kLanes == 4;  // vpdpbusd wants one factor without a sign

template <bool Halved>
struct Weights {
  Words words[Halved ? 2 : 1];
  explicit Weights(const uint32_t* from) {
    const Words w = load_words(from);
    if constexpr (Halved)
      words[0] = low_bits<0x0f0f0f0f>(w), words[1] = low_bits<0x0f0f0f0f>(shift_right<4>(w));
    else
      words[0] = w;
  }
};

inline Words dot(Words total, Words w, Words x) {
  // gcc 12 copies the sums of the intrinsic between registers, which halves the speed.
#if defined(__AVX512VNNI__)
  asm("vpdpbusd %2, %1, %0" : "+v"(total) : "v"(w), "v"(x));
  return total;
#elif defined(__AVXVNNI__)
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(total) : "x"(w), "x"(x));
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
  explicit Weights(const uint32_t* from) {
    const Words w = load_words(from);
    low = Halved ? low_bits<0x0f0f0f0f>(w) : _mm256_abs_epi8(w);
    other = Halved ? low_bits<0x0f0f0f0f>(shift_right<4>(w)) : w;
  }
  Weights(Words first, Words second) : low(first), other(second) {}  // of halves
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
  const int8_t* x = t.rounded + (segment * t.n_all + row) * t.segment;
  const int64_t stride = t.segment;
  Words total[M][P][kVecs];
  unroll<M>([&](auto i) {
    unroll<P>([&](auto p) { unroll<kVecs>([&](auto v) { total[i][p][v] = Words{}; }); });
  });
  for (int64_t k = 0; k < depth; k += kDeep, w += step)
    unroll<P>([&](auto p) {
      const uint32_t* from = w + p * kColumns;
      unroll<kVecs>([&](auto v) {
        const Weights<Halved> weights(from + v * kLanes);
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
void multiply_dots_some(int64_t n_rows, const QuantizedTile& t, int64_t panel, int64_t segment) {
  if (n_rows == M) return multiply_dots<M, 1, Halved, S>(t, panel, 0, segment);
  if constexpr (M > 1) multiply_dots_some<M - 1, Halved, S>(n_rows, t, panel, segment);
}

// A segment of a panel, a byte a weight.
struct PanelBytes {
  const uint32_t* words;
  int64_t n, step;  // words of a column, and from one row of them to the next
};

// Halves of bytes as bytes with kHalvesZero, for all the rows of a tile.
template <class S>
PanelBytes widen(const PanelSegment<S>& panel, uint32_t* to) {
  const PanelBytes bytes{to, panel.depth / 4, kColumns};
  alignas(64) uint32_t up[kColumns];
  const uint8_t* zeros = panel.t.zeros ? panel.t.zeros + panel.of_scale : nullptr;
  for (int64_t c = 0; c < kColumns; ++c)
    up[c] = uint32_t(kHalvesZero - (zeros ? zeros[c] : panel.t.zero)) * 0x01010101u;
  const uint32_t* w = panel.words(8);
  for (int64_t k = 0; k < panel.depth; k += 8, w += panel.n * kColumns, to += 2 * kColumns)
    unroll<kVecs>([&](auto v) {
      const Words halves = load_words(w + v * kLanes), more = load_words(up + v * kLanes);
      store_words(to + v * kLanes, low_bits<0x0f0f0f0f>(halves) + more);
      store_words(to + kColumns + v * kLanes, low_bits<0x0f0f0f0f>(shift_right<4>(halves)) + more);
    });
  return bytes;
}

// sums[M, kColumns] += a segment of M rows against a panel; of_x: where the first of them is among
// what rows have for each segment.
template <int M, bool Halved>
void multiply_bytes(const QuantizedTile& t, int64_t of_x, const PanelBytes& panel,
                    const Vec (&scale)[kVecs], float* sums) {
  const int8_t* x = t.rounded + of_x * t.segment;
  const int64_t stride = t.segment, step = panel.step;
  Words total[M][kVecs];
  unroll<M>([&](auto i) {
    unroll<kVecs>([&](auto v) { total[i][v] = splat_int(t.x_begins[of_x + i]); });
  });
  const uint32_t* w = panel.words;
#if OMNI_ADDS_FOUR
  for (int64_t k = 0; k < panel.n; ++k, w += step, x += 4) {
    Words words[kVecs];
    unroll<kVecs>([&](auto v) { words[v] = load_words(w + v * kLanes); });
    unroll<M>([&](auto i) {
      const Words row = splat_word(x + i * stride);
      unroll<kVecs>([&](auto v) { total[i][v] = dot(total[i][v], words[v], row); });
    });
  }
#else
  constexpr int kWords = Halved ? 2 : 1;
  for (int64_t k = 0; k < panel.n; k += kWords, w += kWords * step, x += kWords * 4)
    unroll<kVecs>([&](auto v) {
      const auto weights = [&] {
        if constexpr (Halved)
          return Weights<true>(load_words(w + v * kLanes), load_words(w + step + v * kLanes));
        else
          return Weights<false>(w + v * kLanes);
      }();
      unroll<M>(
          [&](auto i) { total[i][v] = dot(total[i][v], weights, Row<Halved>(x + i * stride)); });
    });
#endif
  unroll<M>([&](auto i) {
    const Vec x_scale = splat(t.x_scales[of_x + i]), base = splat(t.x_bases[of_x + i]);
    unroll<kVecs>([&](auto v) {
      float* to = sums + i * kColumns + v * kLanes;
      store(to, fma(scale[v], fma(as_floats(total[i][v]), x_scale, base), load(to)));
    });
  });
}

template <int M, bool Halved>
void multiply_bytes_some(int64_t n_rows, const QuantizedTile& t, int64_t of_x,
                         const PanelBytes& panel, const Vec (&scale)[kVecs], float* sums) {
  if (n_rows == M) return multiply_bytes<M, Halved>(t, of_x, panel, scale, sums);
  if constexpr (M > 1) multiply_bytes_some<M - 1, Halved>(n_rows, t, of_x, panel, scale, sums);
}

// Many rows against the panels of a group. What they come to stays in the cache until it is whole.
template <bool Halved, class S>
void multiply_group(const QuantizedTile& t, int64_t first, int64_t n_panels) {
  alignas(64) float sums[kGroup][kMostRows * kColumns];
  alignas(64) uint32_t widened[kMostSegment / 4 * kColumns];
  const auto bytes_of = [&](int64_t p) {
    return size_t(least(kColumns, t.n_out - (first + p) * kColumns)) * sizeof(float);
  };
  for (int64_t p = 0; p < n_panels; ++p) {
    float begin[kColumns] = {};
    if (t.bias) std::memcpy(begin, t.bias + (first + p) * kColumns, bytes_of(p));
    for (int64_t row = 0; row < t.n_rows; ++row)
      std::memcpy(sums[p] + row * kColumns, begin, sizeof begin);
  }
  for (int64_t s = 0; s < t.n_segments; ++s)
    for (int64_t p = 0; p < n_panels; ++p) {
      const PanelSegment<S> panel(t, first + p, s);
      const PanelBytes w = Halved ? widen(panel, widened)
                                  : PanelBytes{panel.words(4), panel.depth / 4, panel.n * kColumns};
      for (int64_t row = 0; row < t.n_rows; row += kDotRows)
        multiply_bytes_some<kDotRows, Halved>(least(kDotRows, t.n_rows - row), t, s * t.n_all + row,
                                              w, panel.scale, sums[p] + row * kColumns);
    }
  for (int64_t p = 0; p < n_panels; ++p)
    for (int64_t row = 0; row < t.n_rows; ++row)
      std::memcpy(t.y + row * t.y_stride + (first + p) * kColumns, sums[p] + row * kColumns,
                  bytes_of(p));
}

template <bool Halved, class S>
void multiply_tile_of_dots(const QuantizedTile& t) {
  const int64_t n_panels = (t.n_out + kColumns - 1) / kColumns;
  if (t.n_rows > kDotRows) {
    for (int64_t p = 0; p < n_panels; p += kGroup)
      multiply_group<Halved, S>(t, p, least(kGroup, n_panels - p));
    return;
  }
  int64_t first = 0;
  if (t.n_rows == 1)
    for (; first + kGroup <= n_panels; first += kGroup)
      for (int64_t s = 0; s < t.n_segments; ++s)
        multiply_dots<1, kGroup, Halved, S>(t, first, 0, s);
  for (int64_t s = 0; s < t.n_segments; ++s)
    for (int64_t p = first; p < n_panels; ++p)
      multiply_dots_some<kDotRows, Halved, S>(t.n_rows, t, p, s);
}

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_DOTS                                                                       \
  {                                                                                     \
    kColumns, kGroup, kDotRows, true, kSignedBytes,                                     \
        {multiply_tile_of_dots<false, Float16>, multiply_tile_of_dots<false, float>}, { \
      multiply_tile_of_dots<true, Float16>, multiply_tile_of_dots<true, float>          \
    }                                                                                   \
  }
