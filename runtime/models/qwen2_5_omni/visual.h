// The vision tower: patch embedding, blocks with window or full attention, merger.
// (Qwen2_5OmniVisionEncoder)
#pragma once

#include <vector>

#include "layers/layers.h"
#include "qwen2_5_omni/config.h"

namespace omni::qwen2_5_omni {

// Order of the merged tokens by windows, and where the windows begin, both on the merged grid.
struct Windows {
  std::vector<int64_t> order;   // order[i] = merged token that comes i-th
  std::vector<int64_t> begins;  // first token of each window, and the number of tokens at the end
};
Windows windows_of(int merged_h, int merged_w, int window);

class Visual {
 public:
  Visual(const Weights& w, const VisionConfig& config);

  // patches [grid_h · grid_w, 1176] in merge order → [grid_h · grid_w / merge², out_hidden]
  Tensor forward(ops::Context& cx, const Tensor& patches, int grid_h, int grid_w) const;

 private:
  struct Block {
    RmsNorm norm1, norm2;
    Linear qkv, proj;
    SwiGluMlp mlp;
  };
  Tensor attend(ops::Context& cx, const Block& block, const Tensor& x, const Tensor& rotary,
                std::span<const int64_t> spans) const;

  VisionConfig config_;
  Linear patch_embed_;
  std::vector<Block> blocks_;
  RmsNorm ln_q_;  // of the merger
  Linear mlp_0_, mlp_2_;
};

}  // namespace omni::qwen2_5_omni
