#include "video/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

// Integer arithmetic: every instruction set gives the same bits, so the loader may pick the widest.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define OMNI_WIDEST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define OMNI_WIDEST
#endif

namespace omni {

namespace {

constexpr int kTapBlock = 16;  // taps along a row are padded to whole vectors

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

inline uint8_t clamp8(int v) { return uint8_t(std::clamp(v, 0, 255)); }

OMNI_WIDEST void resize_row(const uint8_t* row, const int* first, const int16_t* weight, int n_taps, int precision, int n, uint8_t* out) {
  for (int i = 0; i < n; ++i) {
    const uint8_t* in = row + first[i];
    const int16_t* w = weight + int64_t(i) * n_taps;
    int sum = 0;
    for (int b = 0; b < n_taps; b += kTapBlock)
#pragma omp simd reduction(+ : sum)
      for (int t = 0; t < kTapBlock; ++t) sum += int(int16_t(in[b + t])) * int(w[b + t]);
    out[i] = clamp8((sum + (1 << (precision - 1))) >> precision);
  }
}

OMNI_WIDEST void resize_column(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps, int precision, int n, uint8_t* out) {
  constexpr int kBlock = 64;
  for (int begin = 0; begin < n; begin += kBlock) {
    const int width = std::min(kBlock, n - begin);
    int sum[kBlock];
    for (int x = 0; x < kBlock; ++x) sum[x] = 1 << (precision - 1);
    for (int t = 0; t < n_taps; ++t) {
      const uint8_t* row = in + t * stride + begin;
      const int w = weight[t];
#pragma omp simd
      for (int x = 0; x < width; ++x) sum[x] += int(row[x]) * w;
    }
#pragma omp simd
    for (int x = 0; x < width; ++x) out[begin + x] = clamp8(sum[x] >> precision);
  }
}

}  // namespace

PlaneResizer::Axis PlaneResizer::make_axis(int in, int out, int tap_multiple) {
  const double scale = double(in) / out, support = 2 * std::max(scale, 1.0), inverse = 1 / std::max(scale, 1.0);
  std::vector<std::vector<double>> weights(static_cast<size_t>(out));
  Axis axis;
  size_t most = 1;
  double highest = 0;
  for (int i = 0; i < out; ++i) {
    const double centre = scale * (i + 0.5);
    const int begin = std::max(int(centre - support + 0.5), 0), end = std::min(int(centre + support + 0.5), in);
    auto& w = weights[size_t(i)];
    double sum = 0;
    for (int j = begin; j < end; ++j) w.push_back(cubic((j - centre + 0.5) * inverse)), sum += w.back();
    for (double& x : w) x /= sum, highest = std::max(highest, x);
    axis.first.push_back(begin);
    most = std::max(most, w.size());
  }
  axis.precision = 0;
  while (axis.precision < 22 && int(0.5 + highest * double(1 << (axis.precision + 1))) < (1 << 15)) ++axis.precision;
  axis.n_taps = (int(most) + tap_multiple - 1) / tap_multiple * tap_multiple;
  axis.weight.assign(size_t(out) * size_t(axis.n_taps), 0);
  for (size_t i = 0; i < weights.size(); ++i)
    for (size_t j = 0; j < weights[i].size(); ++j)
      axis.weight[i * size_t(axis.n_taps) + j] = int16_t(std::lround(weights[i][j] * double(1 << axis.precision)));
  return axis;
}

PlaneResizer::PlaneResizer(int in_width, int in_height, int out_width, int out_height)
    : in_width_(in_width), in_height_(in_height), out_width_(out_width), out_height_(out_height), x_(make_axis(in_width, out_width, kTapBlock)),
      y_(make_axis(in_height, out_height, 1)), row_(size_t(in_width + x_.n_taps + kTapBlock)), middle_(size_t(in_height) * size_t(out_width)) {
  // Near the lower edge an output row has fewer taps: begin earlier so that the zeros at the end stay inside the picture.
  for (size_t i = 0; i < y_.first.size(); ++i) {
    const int beyond = y_.first[i] + y_.n_taps - in_height;
    if (beyond <= 0) continue;
    auto w = y_.weight.begin() + int64_t(i) * y_.n_taps;
    const int shift = std::min(beyond, y_.first[i]);
    std::rotate(w, w + y_.n_taps - shift, w + y_.n_taps);
    y_.first[i] -= shift;
  }
}

void PlaneResizer::run(const Plane& in, uint8_t* out) {
  for (int y = 0; y < in_height_; ++y) {
    const uint8_t* source = in.data + y * in.stride;
    if (in.step == 1) std::memcpy(row_.data(), source, size_t(in_width_));
    else for (int x = 0; x < in_width_; ++x) row_[size_t(x)] = source[int64_t(x) * in.step];
    uint8_t* middle = middle_.data() + int64_t(y) * out_width_;
    if (in_width_ == out_width_) std::memcpy(middle, row_.data(), size_t(in_width_));
    else resize_row(row_.data(), x_.first.data(), x_.weight.data(), x_.n_taps, x_.precision, out_width_, middle);
  }
  if (in_height_ == out_height_) {
    std::memcpy(out, middle_.data(), middle_.size());
    return;
  }
  for (int y = 0; y < out_height_; ++y)
    resize_column(middle_.data() + int64_t(y_.first[size_t(y)]) * out_width_, out_width_, y_.weight.data() + int64_t(y) * y_.n_taps,
                  std::min(y_.n_taps, in_height_), y_.precision, out_width_, out + int64_t(y) * out_width_);
}

}  // namespace omni
