#include "video/patchify.h"

#include <cstddef>

#include "video/picture_kernels.h"

namespace omni {

void patchify(const PatchLayout& layout, PictureSize size, const uint8_t* rgb0, const uint8_t* rgb1,
              float* out) {
  float scale[3], offset[3];
  for (std::size_t c = 0; c < 3; ++c)
    scale[c] = float(1 / (255 * layout.std[c])), offset[c] = float(-layout.mean[c] / layout.std[c]);
  const auto normalise = picture_kernels().normalise;
  const int p = layout.patch, merge = layout.merge, blocks_h = size.height / p / merge,
            blocks_w = size.width / p / merge;
  const int64_t plane = int64_t(size.width) * size.height;
  const uint8_t* pictures[2] = {rgb0, rgb1};
  for (int bh = 0; bh < blocks_h; ++bh)
    for (int bw = 0; bw < blocks_w; ++bw)
      for (int mh = 0; mh < merge; ++mh)
        for (int mw = 0; mw < merge; ++mw) {
          const int64_t corner =
              int64_t(bh * merge + mh) * p * size.width + int64_t(bw * merge + mw) * p;
          for (int c = 0; c < 3; ++c)
            for (const uint8_t* picture : pictures) {
              normalise(picture + c * plane + corner, size.width, p, p, scale[c], offset[c], out);
              out += p * p;
            }
        }
}

}  // namespace omni
