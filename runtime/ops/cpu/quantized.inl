// Quantized weights times float32 rows: quantized_avx512.cc and quantized_neon.cc compile
// this one text.
#include "cpu/quantized_tile.h"

namespace omni::ops::cpu {
namespace {

// Words of a panel as floats, as multiply() reads them. (quantized.h: how columns lie in a word)
struct Bytes {
  uint32_t word;
};
struct Halves {
  uint32_t word;
};

template <>
struct Step<Bytes> {
  static constexpr int kDeep = 4;
  Words words[kVecs];
  explicit Step(const Bytes* from) {
    unroll<kVecs>([&](auto v) { words[v] = load_words(&from[v * kLanes].word); });
  }
  template <class V, class J>
  Vec at(V v, J j) const {
    return to_floats(shift_right_signed<24>(shift_left<24 - 8 * J::value>(words[v])));
  }
};

template <>
struct Step<Halves> {
  static constexpr int kDeep = 8;
  Words words[kVecs];
  explicit Step(const Halves* from) {
    unroll<kVecs>([&](auto v) { words[v] = load_words(&from[v * kLanes].word); });
  }
  template <class V, class J>
  Vec at(V v, J) const {
    constexpr int kShift = J::value < 4 ? 8 * J::value : 8 * (J::value - 4) + 4;
    return to_floats(low_bits<15>(shift_right<kShift>(words[v])));
  }
};

// One row against the panels of a whole group at once.
template <class W, class S>
void multiply_row(const QuantizedTile& t, int64_t first_panel) {
  for (int64_t s = 0; s < t.n_segments; ++s) {
    const PanelSegment<S> segment(t, first_panel, s);
    const auto* w = reinterpret_cast<const W*>(segment.words(Step<W>::kDeep));
    const float* x = t.x + segment.begin;
    Vec total[kGroup][kVecs];
    unroll<kGroup>([&](auto p) { unroll<kVecs>([&](auto v) { total[p][v] = splat(0); }); });
    for (int64_t k = 0; k < segment.depth; k += Step<W>::kDeep, w += kGroup * kColumns) {
      unroll<kGroup>([&](auto p) {
        const Step<W> step(w + p * kColumns);
        unroll<Step<W>::kDeep>([&](auto j) {
          const Vec value = splat(x[k + j]);
          unroll<kVecs>([&](auto v) { total[p][v] = fma(value, step.at(v, j), total[p][v]); });
        });
      });
    }
    unroll<kGroup>([&](auto p) { PanelSegment<S>(t, first_panel + p, s).add(total[p], 0); });
  }
}

// A segment of up to kRows rows against a panel, and what it comes to added to y.
template <class W, class S>
void multiply_segment(const PanelSegment<S>& panel, int64_t row, int64_t n_rows, const W* w,
                      int64_t w_step) {
  const QuantizedTile& t = panel.t;
  alignas(64) float sums[kRows * kColumns];
  multiply_some<kRows>(n_rows,
                       Piece{t.x + row * t.n_in + panel.begin, t.n_in, panel.depth, w_step, nullptr,
                             false, sums, kColumns, kColumns},
                       w);
  for (int64_t i = 0; i < n_rows; ++i) {
    Vec total[kVecs];
    unroll<kVecs>([&](auto v) { total[v] = load(sums + i * kColumns + v * kLanes); });
    panel.add(total, row + i);
  }
}

template <class W, class S>
void multiply_quantized(const QuantizedTile& t) {
  const int64_t n_panels = (t.n_out + kColumns - 1) / kColumns;
  int64_t first = 0;
  if (t.n_rows == 1)
    for (; first + kGroup <= n_panels; first += kGroup) multiply_row<W, S>(t, first);
  alignas(64) float floats[kMostSegment * kColumns];
  for (int64_t s = 0; s < t.n_segments; ++s)
    for (int64_t p = first; p < n_panels; ++p) {
      const PanelSegment<S> panel(t, p, s);
      const auto* w = reinterpret_cast<const W*>(panel.words(Step<W>::kDeep));
      if (t.n_rows <= kRows) {
        multiply_segment<W, S>(panel, 0, t.n_rows, w, panel.n * kColumns);
        continue;
      }
      float* to = floats;
      for (int64_t k = 0; k < panel.depth; k += Step<W>::kDeep, w += panel.n * kColumns) {
        const Step<W> step(w);
        unroll<Step<W>::kDeep>([&](auto j) {
          unroll<kVecs>([&](auto v) { store(to + v * kLanes, step.at(v, j)); });
          to += kColumns;
        });
      }
      for (int64_t row = 0; row < t.n_rows; row += kRows)
        multiply_segment<float, S>(panel, row, least(kRows, t.n_rows - row), floats, kColumns);
    }
}

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_QUANTIZED                                                            \
  {                                                                               \
    kColumns, kGroup, kRows, false, true,                                         \
        {multiply_quantized<Bytes, Float16>, multiply_quantized<Bytes, float>}, { \
      multiply_quantized<Halves, Float16>, multiply_quantized<Halves, float>      \
    }                                                                             \
  }
