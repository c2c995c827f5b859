// LogMel's frames on a device: samples go there, bands come back.
#pragma once

#include <memory>

#include "audio/log_mel.h"
#include "core/arena.h"
#include "ops/mel_frames.h"

namespace omni {

class DeviceLogMel {
 public:
  // The arena, on a device, must live as long.
  DeviceLogMel(Arena& arena, int n_mels);
  void operator()(std::span<const float> samples, int64_t n_frames, std::vector<float>& out) const;

 private:
  Arena& arena_;
  Tensor tables_[5];
  ops::MelFrames frames_;
};

// Of a model on a device its frames are computed there, otherwise on the host.
inline LogMel make_log_mel(Arena& arena, int n_mels, LogMel::Tail tail = LogMel::Tail::zeros) {
  return arena.device() ? LogMel(n_mels, DeviceLogMel(arena, n_mels), tail)
                        : LogMel(n_mels, {}, tail);
}

}  // namespace omni
