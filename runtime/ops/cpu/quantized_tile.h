// What the products of quantized weights share, whether a segment is summed in floats or in integers. For files that are compiled once a level.
#pragma once

#include "cpu/multiply.h"
#include "cpu/quantized.h"

namespace omni::ops::cpu {
namespace {

// One panel of a tile, and a segment of it at a time.
template <class S>
struct PanelOfTile {
  const QuantizedTile& t;
  int64_t at, n_scales;  // first output; of a column
  const S* scales;
  const uint8_t* zeros;

  PanelOfTile(const QuantizedTile& tile, int64_t panel)
      : t(tile), at(panel * kColumns), n_scales((tile.n_segments + tile.segments_of_a_scale - 1) / tile.segments_of_a_scale),
        scales(static_cast<const S*>(tile.scales) + panel * n_scales * kColumns), zeros(tile.zeros ? tile.zeros + panel * n_scales * kColumns : nullptr) {}

  // y[row] ← (segment > 0 ? y : bias) + scale · (total − zero · Σ x); total: what the segment comes to without scale and zero.
  void add(const Vec (&total)[kVecs], int64_t row, int64_t segment) const {
    const int64_t columns = least(kColumns, t.n_out - at), scale_at = segment / t.segments_of_a_scale * kColumns, of_x = row * t.n_segments + segment;
    float* y = t.y + row * t.y_stride + at;
    const float* before = segment > 0 ? y : t.bias ? t.bias + at : nullptr;
    const bool whole = columns == kColumns;
    float edge[kColumns] = {};
    if (before && !whole) before = static_cast<float*>(std::memcpy(edge, before, size_t(columns) * sizeof(float)));
    float* to = whole ? y : edge;
    const Vec minus_sum = splat(-t.x_sums[of_x]);
    unroll<kVecs>([&](auto v) {
      const Vec scale = load(scales + scale_at + v * kLanes);
      const Vec zero = zeros ? load_bytes(zeros + scale_at + v * kLanes) : splat(float(t.zero));
      const Vec sum_of_segment = fma(zero, minus_sum, total[v]);
      const Vec y_before = before ? load(before + v * kLanes) : splat(0);
      store(to + v * kLanes, fma(t.rounded ? scale * splat(t.x_scales[of_x]) : scale, sum_of_segment, y_before));
    });
    if (!whole) std::memcpy(y, edge, size_t(columns) * sizeof(float));
  }
};

}  // namespace
}  // namespace omni::ops::cpu
