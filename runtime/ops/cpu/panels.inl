// Products by fused multiply-adds: panels_avx2.cc, panels_avx512.cc and panels_neon.cc compile this one text. W is widened as it is read.
#include <cstring>
#include <type_traits>

#include "cpu/panels.h"
#include "cpu/simd.h"

namespace omni::ops::cpu {
namespace {

constexpr int kVecs = kLanes == 4 ? 4 : 2;             // registers across a panel
constexpr int kRows = kLanes == 16 ? 12 : 6;           // rows of x that share what is loaded of W
constexpr int64_t kColumns = int64_t{kVecs} * kLanes;  // outputs of a panel
constexpr int64_t kDepth = 256;                        // of n_in at a time: that much of a panel stays in the first cache
constexpr int64_t kAhead = 1024;                       // bytes of weights fetched ahead of their use

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// A piece of the product: rows from x and y on, depth of n_in.
struct Piece {
  const float* x;
  int64_t x_stride, depth;
  const float* bias;  // or nullptr
  bool more;          // y holds what the depth before came to
  float* y;
  int64_t y_stride;
  int64_t columns;  // of the panel that are written
};

// y[M, columns] ← (more ? y : bias) + x[M, depth] · w[depth, kColumns]
template <int M, class T>
void multiply(const Piece& piece, const T* w) {
  const Piece p = piece;  // its members in registers: what is written to y cannot change them
  Vec total[M][kVecs];
  float edge[kColumns] = {};
  const bool whole = p.columns == kColumns;
  unroll<M>([&](auto i) {
    const float* from = p.more ? p.y + i * p.y_stride : p.bias;
    if (from && !whole) from = static_cast<float*>(std::memcpy(edge, from, size_t(p.columns) * sizeof(float)));
    unroll<kVecs>([&](auto v) { total[i][v] = from ? load(from + v * kLanes) : splat(0); });
  });
  for (int64_t k = 0; k < p.depth; ++k, w += kColumns) {
    Vec weights[kVecs];
    unroll<kVecs>([&](auto v) { weights[v] = load(w + v * kLanes); });
    unroll<M>([&](auto i) {
      const Vec value = splat(p.x[i * p.x_stride + k]);
      unroll<kVecs>([&](auto v) { total[i][v] = fma(value, weights[v], total[i][v]); });
    });
  }
  unroll<M>([&](auto i) {
    float* to = whole ? p.y + i * p.y_stride : edge;
    unroll<kVecs>([&](auto v) { store(to + v * kLanes, total[i][v]); });
    if (!whole) std::memcpy(p.y + i * p.y_stride, edge, size_t(p.columns) * sizeof(float));
  });
}

// The same for 1 … kRows rows.
template <int M, class T>
void multiply_some(int64_t n_rows, const Piece& piece, const T* w) {
  if (n_rows == M) return multiply<M>(piece, w);
  if constexpr (M > 1) multiply_some<M - 1>(n_rows, piece, w);
}

// One row against P panels at once: enough sums that none waits for itself.
template <int P, class T>
void multiply_row(const PanelTile& t, const T* w, int64_t first) {
  Vec total[P][kVecs];
  float edge[P * kColumns] = {};
  const size_t bytes = size_t(least(P * kColumns, t.n_out - first)) * sizeof(float);
  if (t.bias) std::memcpy(edge, t.bias + first, bytes);
  unroll<P>([&](auto p) { unroll<kVecs>([&](auto v) { total[p][v] = load(edge + p * kColumns + v * kLanes); }); });
  const float* x = t.x;
  const int64_t n_in = t.n_in;
  for (int64_t k = 0; k < n_in; ++k) {
    const Vec value = splat(x[k]);
    unroll<P>([&](auto p) {
      const T* row = w + (p * n_in + k) * kColumns;
      __builtin_prefetch(reinterpret_cast<const char*>(row) + kAhead);
      unroll<kVecs>([&](auto v) { total[p][v] = fma(value, load(row + v * kLanes), total[p][v]); });
    });
  }
  unroll<P>([&](auto p) { unroll<kVecs>([&](auto v) { store(edge + p * kColumns + v * kLanes, total[p][v]); }); });
  std::memcpy(t.y + first, edge, bytes);
}

template <class T>
const float* in_floats(const T* w, int64_t depth, float* room) {
  if constexpr (std::is_same_v<T, float>) return w;
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
    for (; first + (kAtOnce - 1) * kColumns < t.n_out; first += kAtOnce * kColumns, w += kAtOnce * panel) multiply_row<kAtOnce>(t, w, first);
  }
  const auto piece = [&](int64_t row, int64_t k, int64_t depth, int64_t at) {
    return Piece{t.x + row * t.n_in + k, t.n_in, depth, t.bias ? t.bias + at : nullptr, k > 0, t.y + row * t.y_stride + at, t.y_stride, least(kColumns, t.n_out - at)};
  };
  if (t.n_rows <= kRows) {
    for (; first < t.n_out; first += kColumns, w += panel) multiply_some<kRows>(t.n_rows, piece(0, 0, t.n_in, first), w);
    return;
  }
  alignas(64) float room[kDepth * kColumns];
  for (int64_t k = 0; k < t.n_in; k += kDepth) {
    const int64_t depth = least(kDepth, t.n_in - k);
    for (int64_t at = 0; at < t.n_out; at += kColumns) {
      const float* floats = in_floats(w + at / kColumns * panel + k * kColumns, depth, room);
      for (int64_t row = 0; row < t.n_rows; row += kRows) multiply_some<kRows>(least(kRows, t.n_rows - row), piece(row, k, depth, at), floats);
    }
  }
}

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_PANELS {kColumns, kRows, multiply_tile<float>, multiply_tile<Float16>, multiply_tile<BFloat16>}
