// What a device needs to know to make patches of a raw frame that is in its memory; made by
// tokenizers/video, done by a ComputeDevice. (The host has FrameScaler and patchify.)
#pragma once

#include <cstdint>

namespace omni::ops {

// All pointers are the device's.
struct FramePatches {
  struct Axis {
    const int* first;
    const int16_t* weight;  // [outputs, n_taps]
    int n_taps, precision;
  };
  struct Plane {
    const uint8_t* data;
    int64_t stride;
    int step, width, height;
    Axis x, y;
  };
  Plane plane[3];  // R, G, B or Y, Cb, Cr
  bool rows_first, yuv;
  int y_offset, y, r_v, g_u, g_v, b_u;
  float scale[3], offset[3];
  int index;  // 0 or 1: the picture's half of each patch
  int grid_h, grid_w, patch, merge;
  int widest_span;  // input samples along an axis that a patch is made of
};

}  // namespace omni::ops
