// Raw frames → patches in a device's memory, with the host's arithmetic (FrameScaler, patchify):
// frames that are on the device already are not touched by the host, others are uploaded as they
// are.
#pragma once

#include <map>

#include "core/arena.h"
#include "omni/video.h"
#include "ops/frame_patches.h"
#include "video/patchify.h"
#include "video/resize.h"

namespace omni {

class DevicePatches {
 public:
  // Picture `index` (0 or 1) of the pair that `patches` [grid, 3 · 2 · patch · patch], on the
  // arena's device, is made of. The frame has been read when it returns. Keeps its tables while
  // sizes stay the same.
  void run(Arena& arena, const PatchLayout& layout, const VideoFrame& frame, PictureSize size,
           int index, Tensor& patches);

 private:
  struct Axis {
    Tensor first, weights;  // on the device
    int n_taps, precision, widest_span;
    ops::FramePatches::Axis view() const {
      return {static_cast<const int*>(first.raw()), static_cast<const int16_t*>(weights.raw()),
              n_taps, precision};
    }
  };
  const Axis& axis(const Device* device, int in, int out, int patch);

  // Room for one frame from the host. Of the two pictures of a pair each has its own, so that one
  // is copied while the other is still computed with.
  struct Slot {
    Tensor bytes;  // u8
    std::unique_ptr<Device::Mark> arrived, read;
  };
  void upload(Arena& arena, Slot& slot, const VideoFrame& frame, const int64_t bytes[],
              int n_planes, const uint8_t* data[]);

  std::map<std::pair<int, int>, Axis> axes_;  // by input and output size
  std::unique_ptr<Device::Queue> copies_;
  Slot slots_[2];
};

}  // namespace omni
