// The inner product of everything that multiplies: rows against a panel, which is
// [depth][kColumns]. For files that are compiled once a level.
#pragma once

#include <cstring>

#include "cpu/simd.h"

namespace omni::ops::cpu {
namespace {

constexpr int kVecs = kLanes == 4 ? 4 : 2;             // registers across a panel
constexpr int kRows = kLanes == 16 ? 12 : 6;           // rows of x that share what is loaded of W
constexpr int64_t kColumns = int64_t{kVecs} * kLanes;  // of a panel

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Where the rows come from and go to.
struct Piece {
  const float* x;
  int64_t x_stride, depth;
  int64_t w_step;     // from one step of the panel to the next
  const float* bias;  // or nullptr
  bool more;          // y holds what the depth before came to
  float* y;
  int64_t y_stride;
  int64_t columns;  // of the panel that are written
};

// How a panel of a format is read: Step<T>(w) is kDeep of its rows, at(v, j) the v-th register of
// the j-th of them.
template <class T>
struct Step {
  static constexpr int kDeep = 1;
  const T* w;
  explicit Step(const T* from) : w(from) {}
  template <class V, class J>
  Vec at(V v, J) const {
    return load(w + v * kLanes);
  }
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
    if (from && !whole)
      from = static_cast<float*>(std::memcpy(edge, from, size_t(p.columns) * sizeof(float)));
    unroll<kVecs>([&](auto v) { total[i][v] = from ? load(from + v * kLanes) : splat(0); });
  });
  for (int64_t k = 0; k < p.depth; k += Step<T>::kDeep, w += p.w_step) {
    const Step<T> step(w);
    unroll<Step<T>::kDeep>([&](auto j) {
      Vec weights[kVecs];
      unroll<kVecs>([&](auto v) { weights[v] = step.at(v, j); });
      unroll<M>([&](auto i) {
        const Vec value = splat(p.x[i * p.x_stride + k + j]);
        unroll<kVecs>([&](auto v) { total[i][v] = fma(value, weights[v], total[i][v]); });
      });
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

}  // namespace
}  // namespace omni::ops::cpu
