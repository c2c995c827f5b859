// Quantized weights times rows rounded to int8, by instructions that add four products of bytes: dots_avx512vnni.cc and dots_neon.cc compile this one text.
// Integers are summed exactly, so rows computed together and alone have the same bits.
#include "cpu/quantized_tile.h"

namespace omni::ops::cpu {
namespace {

// Words of a panel as bytes: kBytesDeep columns of W each time.
template <bool Halved>
struct Weights {
  static constexpr int kDeep = Halved ? 8 : 4;
  Words words[kVecs];
  explicit Weights(const uint32_t* from) {
    unroll<kVecs>([&](auto v) { words[v] = load_words(from + v * kLanes); });
  }
  template <class V, class J>
  Words at(V v, J) const {
    if constexpr (!Halved) return words[v];
    else return low_halves(shift_right<4 * J::value>(words[v]));
  }
};

// total[M][P · kVecs] of a segment for M rows against P panels side by side.
template <int M, int P, bool Halved, class S>
void multiply_dots(const QuantizedTile& t, int64_t first_panel, int64_t row, int64_t segment) {
  const int64_t begin = segment * t.segment, depth = least(t.segment, t.n_in - begin), panel = t.n_in / Weights<Halved>::kDeep * kColumns;
  const uint32_t* w = t.words + first_panel * panel + begin / Weights<Halved>::kDeep * kColumns;
  const int8_t* x = t.rounded + row * t.n_in + begin;
  const int64_t stride = t.n_in;
  Words total[M][P][kVecs];
  unroll<M>([&](auto i) { unroll<P>([&](auto p) { unroll<kVecs>([&](auto v) { total[i][p][v] = no_words(); }); }); });
  for (int64_t k = 0; k < depth; k += Weights<Halved>::kDeep, w += kColumns)
    unroll<P>([&](auto p) {
      if constexpr (M == 1) __builtin_prefetch(reinterpret_cast<const char*>(w + p * panel) + 1024);
      const Weights<Halved> weights(w + p * panel);
      unroll<Weights<Halved>::kDeep / 4>([&](auto j) {
        Words bytes[kVecs];
        unroll<kVecs>([&](auto v) { bytes[v] = weights.at(v, j); });
        unroll<M>([&](auto i) {
          const Words four = splat_word(x + i * stride + k + 4 * j);
          unroll<kVecs>([&](auto v) { total[i][p][v] = dot(total[i][p][v], bytes[v], four); });
        });
      });
    });
  unroll<M>([&](auto i) {
    unroll<P>([&](auto p) {
      Vec sums[kVecs];
      unroll<kVecs>([&](auto v) { sums[v] = to_floats(total[i][p][v]); });
      PanelOfTile<S>(t, first_panel + p).add(sums, row + i, segment);
    });
  });
}

template <int M, bool Halved, class S>
void multiply_dots_some(int64_t n_rows, const QuantizedTile& t, int64_t panel, int64_t row, int64_t segment) {
  if (n_rows == M) return multiply_dots<M, 1, Halved, S>(t, panel, row, segment);
  if constexpr (M > 1) multiply_dots_some<M - 1, Halved, S>(n_rows, t, panel, row, segment);
}

template <bool Halved, class S>
void multiply_tile_of_dots(const QuantizedTile& t) {
  const int64_t n_panels = (t.n_out + kColumns - 1) / kColumns;
  int64_t first = 0;
  if (t.n_rows == 1) {
    constexpr int kAtOnce = 8 / kVecs;
    for (; first + kAtOnce <= n_panels; first += kAtOnce)
      for (int64_t s = 0; s < t.n_segments; ++s) multiply_dots<1, kAtOnce, Halved, S>(t, first, 0, s);
  }
  for (int64_t s = 0; s < t.n_segments; ++s)
    for (int64_t p = first; p < n_panels; ++p)
      for (int64_t row = 0; row < t.n_rows; row += kRows) multiply_dots_some<kRows, Halved, S>(least(kRows, t.n_rows - row), t, p, row, s);
}

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_DOTS(SIGNED_BYTES) \
  {kColumns, kRows, true, SIGNED_BYTES, {multiply_tile_of_dots<false, Float16>, multiply_tile_of_dots<false, float>}, {multiply_tile_of_dots<true, Float16>, multiply_tile_of_dots<true, float>}}
