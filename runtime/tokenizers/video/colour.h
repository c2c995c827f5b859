// Planes of any supported raw format → three planes of 8-bit R, G, B at the size that the model
// looks at. YUV planes are resized as they are and converted afterwards: the conversion is linear,
// and the small picture has far fewer pixels.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "omni/video.h"
#include "video/resize.h"
#include "video/smart_resize.h"

namespace omni {

// Y'CbCr → R'G'B' in 16.16 fixed point. (ITU-R BT.601, BT.709, BT.2020: Kr and Kb)
struct Conversion {
  int y_offset, y, r_v, g_u, g_v, b_u;
  Conversion(ColourMatrix matrix, bool full_range);
};

// Samples of interleaved R, G and B; step 0: planes.
struct Interleaved {
  int step, r, g, b;
};
Interleaved interleaved(PixelFormat format);
// Bytes of a sample; its upper 8 bits are the last of them.
inline int sample_bytes(PixelFormat format) { return format == PixelFormat::p010 ? 2 : 1; }

class FrameScaler {
 public:
  // rgb: 3 planes of size.height · size.width each. Keeps its tables while frame and output sizes
  // stay the same. One thread at a time.
  void run(const VideoFrame& frame, PictureSize size, uint8_t* rgb);

 private:
  PlaneResizer& resizer(int in_width, int in_height, PictureSize size, ResizeOrder order,
                        std::optional<PlaneResizer>& slot);
  std::optional<PlaneResizer> rgb_, luma_, chroma_;
  PictureSize size_{0, 0};
  std::vector<uint8_t> yuv_;
};

}  // namespace omni
