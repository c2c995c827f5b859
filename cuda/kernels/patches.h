// From a raw frame to the vision tower's patches in one kernel: antialiased bicubic resize, colour,
// normalisation, patch order. The arithmetic is the host's (runtime/tokenizers/video): 8-bit
// components, 16-bit fixed-point weights, one axis after the other with 8 bits between; so are the
// bits.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kMostSpan = 1024;  // samples along one axis that a patch may be made of

// Along one axis: output i = Σ over t < n_taps of sample first[i] + t times weight[i · n_taps + t]
// / 2^precision. Samples behind the end have weight 0. On the device.
struct ResizeAxis {
  const int* first;
  const int16_t* weight;
  int n_taps, precision;
};

struct PatchPlane {
  const uint8_t* data;
  int64_t stride;  // bytes from row to row
  int step;        // and from sample to sample
  int width, height;
  ResizeAxis x, y;
};

struct PatchPicture {
  PatchPlane plane[3];  // R, G, B; or Y, Cb, Cr
  bool rows_first;      // which axis is resized first
  bool yuv;
  int y_offset, y, r_v, g_u, g_v, b_u;  // of the conversion, 16.16
  float scale[3], offset[3];            // of R, G and B
};

// Fills one picture's half of patches[grid_h · grid_w, 3, 2, patch, patch]: picture 0 or 1 of the
// pair, blocks of merge × merge patches together. patch ≤ 16, merge divides the grid.
// cudaErrorInvalidValue for what it cannot do, a span (of `widest_span` samples) above kMostSpan
// among it.
cudaError_t patches(const PatchPicture& picture, float* out, int index, int grid_h, int grid_w,
                    int patch, int merge, int widest_span, cudaStream_t stream);

}  // namespace omni::cuda
