// The size at which a picture is looked at. (transformers, image_processing_qwen2_vl.py,
// smart_resize)
#pragma once

#include <cstdint>

namespace omni {

struct PictureSize {
  int height, width;
  bool operator==(const PictureSize&) const = default;
};

// Both sides multiples of `factor`, area within [min_pixels, max_pixels], aspect ratio kept as far
// as that allows. Throws invalid_argument for an empty picture or an aspect ratio above 200.
PictureSize smart_resize(int height, int width, int factor, int64_t min_pixels, int64_t max_pixels);

// The same with an area of all frames of a video together, which come in groups of temporal_factor.
// (video_processing_qwen3_vl.py, smart_resize)
struct VideoFrames {
  int n, temporal_factor;
};
PictureSize smart_resize(VideoFrames frames, int height, int width, int factor, int64_t min_pixels,
                         int64_t max_pixels);

}  // namespace omni
