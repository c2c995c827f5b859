// Planes of any supported raw format → three planes of 8-bit R, G, B at the size that the model looks at. YUV planes are resized as they are and
// converted afterwards: the conversion is linear, and the small picture has far fewer pixels.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "omni/video.h"
#include "video/resize.h"
#include "video/smart_resize.h"

namespace omni {

class FrameScaler {
 public:
  // rgb: 3 planes of size.height · size.width each. Keeps its tables while frame and output sizes stay the same. One thread at a time.
  void run(const VideoFrame& frame, PictureSize size, uint8_t* rgb);

 private:
  PlaneResizer& resizer(int in_width, int in_height, PictureSize size, ResizeOrder order, std::optional<PlaneResizer>& slot);
  std::optional<PlaneResizer> rgb_, luma_, chroma_;
  PictureSize size_{0, 0};
  std::vector<uint8_t> yuv_;
};

}  // namespace omni
