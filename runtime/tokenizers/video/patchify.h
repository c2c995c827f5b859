// Two pictures → normalised patches in the order in which the vision tower merges them: rows run
// over (h/2 blocks, w/2 blocks, 2, 2), each row is laid out channel, picture, 14, 14.
// (transformers, image_processing_qwen2_vl.py, _preprocess)
#pragma once

#include <array>
#include <cstdint>

#include "video/smart_resize.h"

namespace omni {

struct PatchLayout {
  int patch = 14, merge = 2;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073},
      std{0.26862954, 0.26130258, 0.27577711};
};

// rgb0, rgb1: planes R, G, B of `size`. out: [(height/patch) · (width/patch), 3 · 2 · patch ·
// patch]
void patchify(const PatchLayout& layout, PictureSize size, const uint8_t* rgb0, const uint8_t* rgb1,
              float* out);

}  // namespace omni
