#include "video/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "video/picture_kernels.h"

namespace omni {

namespace {

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

ResizeAxis make_resize_axis(int in, int out, int tap_multiple, int out_multiple) {
  const double scale = double(in) / out, support = 2 * std::max(scale, 1.0),
               inverse = 1 / std::max(scale, 1.0);
  std::vector<std::vector<double>> weights(static_cast<size_t>(out));
  ResizeAxis axis;
  size_t most = 1;
  double highest = 0;
  for (int i = 0; i < out; ++i) {
    const double centre = scale * (i + 0.5);
    const int begin = std::max(int(centre - support + 0.5), 0),
              end = std::min(int(centre + support + 0.5), in);
    auto& w = weights[size_t(i)];
    double sum = 0;
    for (int j = begin; j < end; ++j)
      w.push_back(cubic((j - centre + 0.5) * inverse)), sum += w.back();
    for (double& x : w) x /= sum, highest = std::max(highest, x);
    axis.first.push_back(begin);
    most = std::max(most, w.size());
  }
  axis.precision = 0;
  while (axis.precision < 22 && int(0.5 + highest * double(1 << (axis.precision + 1))) < (1 << 15))
    ++axis.precision;
  axis.n_taps = round_up(int(most), tap_multiple);
  axis.first.resize(size_t(round_up(out, out_multiple)));
  axis.weights = Tensor::zeros(
      DType::u8, {int64_t(axis.first.size() * size_t(axis.n_taps) * sizeof(int16_t))});
  for (size_t i = 0; i < weights.size(); ++i)
    for (size_t j = 0; j < weights[i].size(); ++j)
      axis.weight(i)[j] = int16_t(std::lround(weights[i][j] * double(1 << axis.precision)));
  return axis;
}

PlaneResizer::PlaneResizer(int in_width, int in_height, int out_width, int out_height,
                           ResizeOrder order)
    : in_width_(in_width),
      in_height_(in_height),
      out_width_(out_width),
      out_height_(out_height),
      order_(order),
      x_(make_resize_axis(in_width, out_width, kTapBlock, kOutputBlock)),
      y_(make_resize_axis(in_height, out_height, 1, 1)),
      row_(size_t(in_width + x_.n_taps)),
      padded_(x_.first.size()) {
  if (in_height == out_height) {  // each row from the one beside it
    for (size_t i = 0; i < y_.first.size(); ++i) y_.first[i] = int(i);
    y_.n_taps = 1;
    return;
  }
  // Near the lower edge an output row has fewer taps: begin earlier so that the zeros at the end
  // stay inside the picture.
  for (size_t i = 0; i < y_.first.size(); ++i) {
    const int beyond = y_.first[i] + y_.n_taps - in_height;
    if (beyond <= 0) continue;
    int16_t* w = y_.weight(i);
    const int shift = std::min(beyond, y_.first[i]);
    std::rotate(w, w + y_.n_taps - shift, w + y_.n_taps);
    y_.first[i] -= shift;
  }
}

void PlaneResizer::rows(const uint8_t* in, int step, int offset, uint8_t* out) {
  if (in_width_ == out_width_) {
    for (int x = 0; x < out_width_; ++x) out[x] = in[x * step + offset];
    return;
  }
  const PictureKernels& k = picture_kernels();
  k.component(in, step, offset, in_width_, row_.data());
  k.row(row_.data(), x_.first.data(), x_.weight(0), x_.n_taps, x_.precision, int(x_.first.size()),
        padded_.data());
  std::memcpy(out, padded_.data(), size_t(out_width_));
}

void PlaneResizer::columns(const uint8_t* in, int64_t stride, int bytes, int y, uint8_t* out) {
  if (in_height_ == out_height_) {
    std::memcpy(out, in, size_t(bytes));
    return;
  }
  picture_kernels().column(in, stride, y_.weight(size_t(y)), y_.n_taps, y_.precision, bytes, out);
}

void PlaneResizer::run(const Plane& in, int n, const int* offsets, uint8_t* const* outs) {
  if (order_ == ResizeOrder::columns_first) return run_columns_first(in, n, offsets, outs);
  run_rows_first(in, n, offsets, outs);
}

void PlaneResizer::run_columns_first(const Plane& in, int n, const int* offsets,
                                     uint8_t* const* outs) {
  const int bytes = in_width_ * in.step;
  middle_.resize(size_t(bytes));
  for (int y = 0; y < out_height_; ++y) {
    columns(in.data + y_.first[size_t(y)] * in.stride, in.stride, bytes, y, middle_.data());
    for (int c = 0; c < n; ++c)
      rows(middle_.data(), in.step, offsets[c], outs[c] + int64_t(y) * out_width_);
  }
}

// A window of rows moves down the picture: so the picture is read once, and what lies between the
// passes stays in the cache.
void PlaneResizer::run_rows_first(const Plane& in, int n, const int* offsets,
                                  uint8_t* const* outs) {
  const int window = std::min(in_height_, 4 * y_.n_taps);
  const int64_t width = out_width_;
  middle_.resize(size_t(n * window * width));
  int top = 0, bottom = 0;  // rows [top, bottom) are in the window
  const auto middle = [&](int c, int y) { return middle_.data() + (c * window + y - top) * width; };
  for (int y = 0; y < out_height_; ++y) {
    const int first = y_.first[size_t(y)], end = first + y_.n_taps;
    if (end - top > window) {
      for (int c = 0; c < n; ++c)
        std::memmove(middle(c, top), middle(c, first), size_t((bottom - first) * width));
      top = first;
    }
    for (; bottom < end; ++bottom)
      for (int c = 0; c < n; ++c)
        rows(in.data + bottom * in.stride, in.step, offsets[c], middle(c, bottom));
    for (int c = 0; c < n; ++c)
      columns(middle(c, first), width, int(width), y, outs[c] + y * width);
  }
}

}  // namespace omni
