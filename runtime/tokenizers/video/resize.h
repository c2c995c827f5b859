// Antialiased bicubic resize of 8-bit components, rounded as torchvision and Pillow round it:
// 16-bit fixed-point weights, one axis after the other, 8 bits between. (pytorch,
// aten/src/ATen/native/cpu/UpSampleKernelAVXAntialias.h; Pillow, Resample.c; a = −0.5)
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace omni {

// Components of a picture side by side: sample (x, y) of component c is data[y · stride + x · step
// + c].
struct Plane {
  const uint8_t* data;
  int64_t stride;
  int step;
  int width, height;
};

// rows_first gives the reference's bits for RGB; columns_first leaves few rows to the pass along
// them, which costs the most.
enum class ResizeOrder { rows_first, columns_first };

// Output i of an axis = Σ over t < n_taps of input first[i] + t times weight(i)[t] / 2^precision.
struct ResizeAxis {
  std::vector<int> first;
  // int16 [outputs, n_taps], zeros at the end; aligned, so that no vector straddles two cache lines
  Tensor weights;
  int n_taps, precision;
  int16_t* weight(size_t output) {
    return static_cast<int16_t*>(weights.raw()) + output * size_t(n_taps);
  }
};
// Taps and outputs filled up with zeros to multiples.
ResizeAxis make_resize_axis(int in, int out, int tap_multiple, int out_multiple);

class PlaneResizer {
 public:
  PlaneResizer(int in_width, int in_height, int out_width, int out_height, ResizeOrder order);

  // Component offsets[i] of `in` → outs[i], out_width · out_height samples each. One thread at a
  // time.
  void run(const Plane& in, int n, const int* offsets, uint8_t* const* outs);

  int in_width() const { return in_width_; }
  int in_height() const { return in_height_; }

 private:
  void rows(const uint8_t* in, int step, int offset, uint8_t* out);
  // in: the first row that row y of the output looks at.
  void columns(const uint8_t* in, int64_t stride, int bytes, int y, uint8_t* out);
  void run_rows_first(const Plane& in, int n, const int* offsets, uint8_t* const* outs);
  void run_columns_first(const Plane& in, int n, const int* offsets, uint8_t* const* outs);

  int in_width_, in_height_, out_width_, out_height_;
  ResizeOrder order_;
  ResizeAxis x_, y_;
  std::vector<int16_t> row_;     // one row of one component, with room for the taps beyond its end
  std::vector<uint8_t> middle_;  // what lies between the two passes
  std::vector<uint8_t> padded_;  // one output row, rounded up to whole vectors
};

}  // namespace omni
