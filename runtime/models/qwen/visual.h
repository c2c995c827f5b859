// The vision tower: patch embedding, blocks with window or full attention, merger.
// (Qwen2_5_VisionTransformerPretrainedModel, Qwen2VisionTransformerPretrainedModel,
// Qwen2_5OmniVisionEncoder)
#pragma once

#include <variant>
#include <vector>

#include "interface/vision.h"
#include "layers/layers.h"
#include "layers/recorded.h"
#include "qwen/config.h"

namespace omni::qwen {

// Order of the merged tokens by windows, and where the windows begin, both on the merged grid.
struct Windows {
  std::vector<int64_t> order;   // order[i] = merged token that comes i-th
  std::vector<int64_t> begins;  // first token of each window, and the number of tokens at the end
};
Windows windows_of(int merged_h, int merged_w, int window);

class Visual final : public VisionEncoder {
 public:
  Visual(const Weights& w, const VisionConfig& config, const VisionSpec& spec);

  const Device* device() const override { return device_; }
  const VisionSpec& spec() const override { return spec_; }
  ImagePlan plan(PictureSize source, PixelLimits limits) const override;
  // patches [grid_h · grid_w, patch_size] in merge order → [grid_h · grid_w / merge², out_hidden]
  Tensor encode(ops::Context& cx, const Tensor& patches, const ImagePlan& plan) const override;

 private:
  using Norm = std::variant<RmsNorm, LayerNorm>;
  struct Block {
    Norm norm1, norm2;
    Linear qkv, proj;
    std::variant<SwiGluMlp, Mlp> mlp;
  };
  Norm norm(const Weights& w) const;
  // Where the computation is: patches, and rotary_table() of the tokens in the windows' order.
  Tensor tokens(ops::Context& cx, const Tensor& patches, const Tensor& rotary,
                const Windows& windows) const;

  const Device* device_;
  VisionConfig config_;
  VisionSpec spec_;
  Linear patch_embed_;
  std::vector<Block> blocks_;
  Norm ln_q_;  // of the merger
  Linear mlp_0_, mlp_2_;
  Recorded recorded_;
};

}  // namespace omni::qwen
