#include "video/smart_resize.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "omni/error.h"

namespace omni {

namespace {

void check(int height, int width) {
  const std::string size = std::to_string(width) + "x" + std::to_string(height);
  if (height <= 0 || width <= 0)
    throw Error(ErrorCode::invalid_argument, "a picture of " + size + " pixels");
  if (double(std::max(height, width)) / std::min(height, width) > 200)
    throw Error(ErrorCode::invalid_argument,
                "a picture of " + size + " pixels: the aspect ratio is above 200");
}

}  // namespace

PictureSize smart_resize(int height, int width, int factor, int64_t min_pixels,
                         int64_t max_pixels) {
  check(height, width);
  const double h = height, w = width, f = factor;
  // ties to even
  auto h_bar = int64_t(std::nearbyint(h / f)) * factor,
       w_bar = int64_t(std::nearbyint(w / f)) * factor;
  if (h_bar * w_bar > max_pixels) {
    const double beta = std::sqrt(h * w / double(max_pixels));
    h_bar = std::max<int64_t>(factor, int64_t(std::floor(h / beta / f)) * factor);
    w_bar = std::max<int64_t>(factor, int64_t(std::floor(w / beta / f)) * factor);
  } else if (h_bar * w_bar < min_pixels) {
    const double beta = std::sqrt(double(min_pixels) / (h * w));
    h_bar = int64_t(std::ceil(h * beta / f)) * factor;
    w_bar = int64_t(std::ceil(w * beta / f)) * factor;
  }
  return {int(h_bar), int(w_bar)};
}

PictureSize smart_resize(VideoFrames frames, int height, int width, int factor, int64_t min_pixels,
                         int64_t max_pixels) {
  check(height, width);
  double h = height, w = width;
  const double f = factor, t = std::max(frames.n, frames.temporal_factor);
  if (height < factor || width < factor) {
    const double scale = std::max(f / h, f / w);
    h = std::floor(h * scale), w = std::floor(w * scale);
    check(int(h), int(w));
  }
  // ties to even
  const auto t_bar = int64_t(std::nearbyint(t / frames.temporal_factor)) * frames.temporal_factor;
  auto h_bar = int64_t(std::nearbyint(h / f)) * factor,
       w_bar = int64_t(std::nearbyint(w / f)) * factor;
  if (t_bar * h_bar * w_bar > max_pixels) {
    const double beta = std::sqrt(t * h * w / double(max_pixels));
    h_bar = std::max<int64_t>(factor, int64_t(std::floor(h / beta / f)) * factor);
    w_bar = std::max<int64_t>(factor, int64_t(std::floor(w / beta / f)) * factor);
  } else if (t_bar * h_bar * w_bar < min_pixels) {
    const double beta = std::sqrt(double(min_pixels) / (t * h * w));
    h_bar = int64_t(std::ceil(h * beta / f)) * factor;
    w_bar = int64_t(std::ceil(w * beta / f)) * factor;
  }
  return {int(h_bar), int(w_bar)};
}

}  // namespace omni
