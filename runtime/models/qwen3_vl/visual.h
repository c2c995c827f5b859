// The vision tower: patch embedding, learned positions interpolated to the grid, blocks in which
// all patches of a pair of frames attend to all, a merger, and mergers of inner blocks (DeepStack).
// (Qwen3VLVisionModel)
#pragma once

#include <vector>

#include "interface/vision.h"
#include "layers/layers.h"
#include "qwen3_vl/config.h"

namespace omni::qwen3_vl {

class Visual final : public VisionEncoder {
 public:
  Visual(const Weights& w, const VisionConfig& config, const VisionSpec& spec);

  const Device* device() const override { return device_; }
  const VisionSpec& spec() const override { return spec_; }
  ImagePlan plan(PictureSize source, PixelLimits limits) const override;
  // patches [grid_h · grid_w, patch_size] in merge order → [grid_h · grid_w / merge², (1 + levels)
  // · out_hidden]: the merger's rows, then those of deepstack_merger_list in the order of the
  // blocks that they look at.
  Tensor encode(ops::Context& cx, const Tensor& patches, const ImagePlan& plan) const override;

 private:
  struct Block {
    LayerNorm norm1, norm2;
    Linear qkv, proj;
    Mlp mlp;
  };
  struct Merger {
    LayerNorm norm;
    Mlp mlp;
  };
  // [n, hidden], bilinear between the learned positions, whose corners are those of the grid; on
  // the host
  Tensor position_embeddings(const ImagePlan& plan) const;
  // x [n, hidden] → [n / merge², out_hidden]
  Tensor merge(ops::Context& cx, const Merger& merger, const Tensor& x, bool is_inner) const;

  const Device* device_;
  VisionConfig config_;
  VisionSpec spec_;
  Linear patch_embed_;
  Tensor pos_embed_;  // [side · side, hidden], on the host
  std::vector<Block> blocks_;
  Merger merger_;
  std::vector<Merger> deepstack_mergers_;
  std::vector<int> deepstack_merger_of_;  // of each block; −1: none
};

}  // namespace omni::qwen3_vl
