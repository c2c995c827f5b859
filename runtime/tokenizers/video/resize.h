// Antialiased bicubic resize of 8-bit planes, rounded as torchvision and Pillow round it: 16-bit fixed-point weights, first along the rows, then along
// the columns, 8 bits between. (pytorch, aten/src/ATen/native/cpu/UpSampleKernelAVXAntialias.h; Pillow, Resample.c; a = −0.5)
#pragma once

#include <cstdint>
#include <vector>

namespace omni {

// One component of a picture: sample (x, y) is data[y · stride + x · step].
struct Plane {
  const uint8_t* data;
  int64_t stride;
  int step;
  int width, height;
};

class PlaneResizer {
 public:
  PlaneResizer(int in_width, int in_height, int out_width, int out_height);

  // out[y · out_width + x]. One thread at a time.
  void run(const Plane& in, uint8_t* out);

  int in_width() const { return in_width_; }
  int in_height() const { return in_height_; }

 private:
  struct Axis {
    std::vector<int> first;       // first input sample of each output sample
    std::vector<int16_t> weight;  // n_taps each, zeros at the end
    int n_taps, precision;
  };
  static Axis make_axis(int in, int out, int tap_multiple);

  int in_width_, in_height_, out_width_, out_height_;
  Axis x_, y_;
  std::vector<uint8_t> row_;     // one input row, with room for the taps beyond its end
  std::vector<uint8_t> middle_;  // [in_height, out_width]
};

}  // namespace omni
