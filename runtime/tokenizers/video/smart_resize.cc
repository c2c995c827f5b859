#include "video/smart_resize.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "omni/error.h"

namespace omni {

PictureSize smart_resize(int height, int width, int factor, int64_t min_pixels,
                         int64_t max_pixels) {
  const std::string size = std::to_string(width) + "x" + std::to_string(height);
  if (height <= 0 || width <= 0)
    throw Error(ErrorCode::invalid_argument, "a picture of " + size + " pixels");
  if (double(std::max(height, width)) / std::min(height, width) > 200)
    throw Error(ErrorCode::invalid_argument,
                "a picture of " + size + " pixels: the aspect ratio is above 200");
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

}  // namespace omni
