// The vision tower: patch embedding, learned positions interpolated to the grid, blocks in which
// all patches of a pair of frames attend to all, a merger, and mergers of inner blocks (DeepStack).
// (Qwen3VLVisionModel,
// Qwen3OmniMoeVisionEncoder)
#pragma once

#include <vector>

#include "interface/vision.h"
#include "layers/layers.h"
#include "qwen/deepstack_config.h"

namespace omni::qwen {

// How a family calls the tensors of its mergers.
struct MergerNames {
  const char *list, *norm, *fc1, *fc2;
};

class DeepStackVisual final : public VisionEncoder {
 public:
  DeepStackVisual(const Weights& w, const DeepStackConfig& config, const VisionSpec& spec,
                  const MergerNames& names);

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
  DeepStackConfig config_;
  VisionSpec spec_;
  Linear patch_embed_;
  Tensor pos_embed_;  // [side · side, hidden], on the host
  std::vector<Block> blocks_;
  Merger merger_;
  std::vector<Merger> deepstack_mergers_;
  std::vector<int> deepstack_merger_of_;  // of each block; −1: none
};

}  // namespace omni::qwen
