// The vision facet of a family: how frames become patches, and patches become rows of the text
// model.
#pragma once

#include <cstdint>
#include <optional>

#include "omni/video.h"
#include "ops/ops.h"
#include "video/patchify.h"

namespace omni {

// Area of a resized frame, or of all frames that share it.
struct PixelLimits {
  int64_t min = 0, max = 0;
  int frames = 1;
};

struct VisionSpec {
  PatchLayout layout;
  int temporal_patch = 2;  // frames in a patch
  // What the processor's configuration asks for. Where those of video are of a whole video,
  // `frames` is the most that it may have.
  PixelLimits video, image;
  std::optional<Rational> frame_rate;  // of video
  FrameSpread frame_spread = FrameSpread::arange;
};

// What becomes of frames of one size.
struct ImagePlan {
  PictureSize size{0, 0};          // that they are resized to
  int grid_h = 0, grid_w = 0;      // patches
  int64_t patch_size = 0;          // values of a patch
  int tokens_h = 0, tokens_w = 0;  // grid of the rows that come out
};

class VisionEncoder {
 public:
  virtual ~VisionEncoder() = default;

  // where its weights are and a Context's arena must be; nullptr: the host
  virtual const Device* device() const = 0;
  virtual const VisionSpec& spec() const = 0;
  // Throws invalid_argument for a size that cannot be resized into `limits`.
  virtual ImagePlan plan(PictureSize source, PixelLimits limits) const = 0;
  // patches [grid_h · grid_w, patch_size] of the host or the device, in the layout's order →
  // [tokens_h · tokens_w, media_width], row-major, in cx.arena
  virtual Tensor encode(ops::Context& cx, const Tensor& patches, const ImagePlan& plan) const = 0;
};

}  // namespace omni
