// The audio facet of a family: log-mel frames → rows of the text model, unit after unit.
#pragma once

#include "audio/log_mel.h"
#include "ops/ops.h"

namespace omni {

struct AudioSpec {
  int n_mels = 0;
  int unit_frames = 0;           // mel frames that are encoded together
  double seconds_per_token = 0;  // media time of a row that comes out
  // A unit becomes segments of so many mel frames and rows, between which frames of video may lie;
  // 0: one.
  int segment_frames = 0, segment_tokens = 0;
  LogMel::Tail tail = LogMel::Tail::zeros;
  int live_unit_frames = 0;  // instead of unit_frames while answers wait for the unit; 0: the same
};

class AudioEncoder {
 public:
  virtual ~AudioEncoder() = default;

  // where its weights are and a Context's arena must be; nullptr: the host
  virtual const Device* device() const = 0;
  virtual const AudioSpec& spec() const = 0;
  // mel [frames ≤ unit_frames, n_mels], normalised, of the host or the device → [n_tokens, hidden]
  // in cx.arena; n_tokens may be 0
  virtual Tensor encode(ops::Context& cx, const Tensor& mel) const = 0;
};

}  // namespace omni
