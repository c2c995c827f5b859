// Products by fused multiply-adds: panels_avx2.cc, panels_avx512.cc and panels_neon.cc compile this
// one text. W is widened as it is read.
#include <cstring>
#include <type_traits>

#include "cpu/multiply.h"
#include "cpu/panels.h"

namespace omni::ops::cpu {
namespace {

constexpr int64_t kDepth = 256;  // of n_in at a time: that much of a panel stays in the first cache

// One row against P panels at once: enough sums that none waits for itself.
template <int P, class T>
void multiply_row(const PanelTile& t, const T* w, int64_t first) {
  Vec total[P][kVecs];
  float edge[P * kColumns] = {};
  const size_t bytes = size_t(least(P * kColumns, t.n_out - first)) * sizeof(float);
  if (t.bias) std::memcpy(edge, t.bias + first, bytes);
  unroll<P>([&](auto p) {
    unroll<kVecs>([&](auto v) { total[p][v] = load(edge + p * kColumns + v * kLanes); });
  });
  const float* x = t.x;
  const int64_t n_in = t.n_in;
  for (int64_t k = 0; k < n_in; ++k) {
    const Vec value = splat(x[k]);
    unroll<P>([&](auto p) {
      const T* row = w + (p * n_in + k) * kColumns;
      unroll<kVecs>([&](auto v) { total[p][v] = fma(value, load(row + v * kLanes), total[p][v]); });
    });
  }
  unroll<P>([&](auto p) {
    unroll<kVecs>([&](auto v) { store(edge + p * kColumns + v * kLanes, total[p][v]); });
  });
  std::memcpy(t.y + first, edge, bytes);
}

template <class T>
const float* in_floats(const T* w, int64_t depth, float* room) {
  if constexpr (std::is_same_v<T, float>)
    return w;
  else {
    for (int64_t i = 0; i < depth * kColumns; i += kLanes) store(room + i, load(w + i));
    return room;
  }
}

template <class T>
void multiply_tile(const PanelTile& t) {
  const T* w = static_cast<const T*>(t.w);
  const int64_t panel = t.n_in * kColumns;
  int64_t first = 0;  // output
  if (t.n_rows == 1) {
    constexpr int kAtOnce = 8 / kVecs;
    for (; first + (kAtOnce - 1) * kColumns < t.n_out;
         first += kAtOnce * kColumns, w += kAtOnce * panel)
      multiply_row<kAtOnce>(t, w, first);
  }
  const auto piece = [&](int64_t row, int64_t k, int64_t depth, int64_t at) {
    return Piece{t.x + row * t.n_in + k,
                 t.n_in,
                 depth,
                 kColumns,
                 t.bias ? t.bias + at : nullptr,
                 k > 0,
                 t.y + row * t.y_stride + at,
                 t.y_stride,
                 least(kColumns, t.n_out - at)};
  };
  if (t.n_rows <= kRows) {
    for (; first < t.n_out; first += kColumns, w += panel)
      multiply_some<kRows>(t.n_rows, piece(0, 0, t.n_in, first), w);
    return;
  }
  alignas(64) float room[kDepth * kColumns];
  for (int64_t k = 0; k < t.n_in; k += kDepth) {
    const int64_t depth = least(kDepth, t.n_in - k);
    for (int64_t at = 0; at < t.n_out; at += kColumns) {
      const float* floats = in_floats(w + at / kColumns * panel + k * kColumns, depth, room);
      for (int64_t row = 0; row < t.n_rows; row += kRows)
        multiply_some<kRows>(least(kRows, t.n_rows - row), piece(row, k, depth, at), floats);
    }
  }
}

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_PANELS \
  { kColumns, kRows, multiply_tile<float>, multiply_tile<Float16>, multiply_tile<BFloat16> }
