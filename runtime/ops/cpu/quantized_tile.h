// What the products of quantized weights share, whether a segment is summed in floats or in
// integers. For files that are compiled once a level.
#pragma once

#include "cpu/multiply.h"
#include "cpu/quantized.h"

namespace omni::ops::cpu {
namespace {

// panels: as many sums as it takes that none waits for itself
constexpr int64_t kGroup = 8 / kVecs;

// A segment of one panel of a tile.
template <class S>
struct PanelSegment {
  const QuantizedTile& t;
  int64_t segment, at;   // first output of the panel
  int64_t begin, depth;  // columns of W
  int64_t first, n;      // panel of the group, and panels in it
  int64_t panel;
  int64_t of_scale;  // of its first output, among the scales
  Vec scale[kVecs], zero[kVecs];

  PanelSegment(const QuantizedTile& tile, int64_t panel_, int64_t segment_)
      : t(tile),
        segment(segment_),
        at(panel_ * kColumns),
        begin(segment * t.segment),
        depth(least(t.segment, t.n_in - begin)),
        first(panel_ / kGroup * kGroup),
        n(least(kGroup, (t.n_out + kColumns - 1) / kColumns - first)),
        panel(panel_ - first) {
    const int64_t n_scales = (t.n_segments + t.segments_of_a_scale - 1) / t.segments_of_a_scale;
    of_scale = (first * n_scales + segment / t.segments_of_a_scale * n + panel) * kColumns;
    unroll<kVecs>([&](auto v) {
      scale[v] = load(static_cast<const S*>(t.scales) + of_scale + v * kLanes);
      zero[v] = t.zeros ? load_bytes(t.zeros + of_scale + v * kLanes) : splat(float(t.zero));
    });
  }

  // Its words, of `deep` columns each, one row of them every n · kColumns.
  const uint32_t* words(int64_t deep) const {
    return t.words + (first * t.n_in + begin * n) / deep * kColumns + panel * kColumns;
  }

  // y[row] ← (segment > 0 ? y : bias) + scale · x_scale · (total − zero · Σ x); total: what the
  // segment comes to without scale and zero.
  void add(const Vec (&total)[kVecs], int64_t row) const {
    const int64_t of_x = segment * t.n_all + row;
    const Vec minus_sum = splat(-t.x_sums[of_x]), x_scale = splat(t.rounded ? t.x_scales[of_x] : 1);
    float* y = t.y + row * t.y_stride + at;
    const auto more = [&](auto v, const float* before) {
      return fma(scale[v], fma(zero[v], minus_sum, total[v]) * x_scale, load(before + v * kLanes));
    };
    if (segment > 0 && t.n_out - at >= kColumns) {
      unroll<kVecs>([&](auto v) { store(y + v * kLanes, more(v, y)); });
      return;
    }
    const size_t bytes = size_t(least(kColumns, t.n_out - at)) * sizeof(float);
    float edge[kColumns] = {};
    if (const float* before = segment > 0 ? y : t.bias ? t.bias + at : nullptr)
      std::memcpy(edge, before, bytes);
    unroll<kVecs>([&](auto v) { store(edge + v * kLanes, more(v, edge)); });
    std::memcpy(y, edge, bytes);
  }
};

}  // namespace
}  // namespace omni::ops::cpu
