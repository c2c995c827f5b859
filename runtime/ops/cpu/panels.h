// Products of rows with a matrix that lies in panels: the inner part of linear_panels.cc, once a
// level.
#pragma once

#include <cstdint>

namespace omni::ops::cpu {

// y[n_rows, n_out] = bias + x[n_rows, n_in] · W, of neighbouring panels. A panel holds `columns`
// outputs: [n_in][columns].
struct PanelTile {
  const float* x;  // row stride n_in
  int64_t n_rows, n_in;
  const void* w;
  int64_t n_out;      // of these panels; what the last one has beyond it is not written
  const float* bias;  // of the first output, or nullptr
  float* y;
  int64_t y_stride;
};

// The functions of a level, for weights in that format. Every output is one sum that goes through
// n_in in order, whatever the number of rows: rows computed together and alone have the same bits.
struct Panels {
  int columns;
  int few_rows;  // up to that many rows W is best cut finely: what is read of it is read once
  void (*f32)(const PanelTile& tile);
  void (*f16)(const PanelTile& tile);
  void (*bf16)(const PanelTile& tile);
};

extern const Panels kAvx2Panels, kAvx512Panels, kNeonPanels;

}  // namespace omni::ops::cpu
