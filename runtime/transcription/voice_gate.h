// Whether a stretch of sound may hold a voice, by voice activity; on the side of yes. What it lets
// through the recogniser still may not believe.
#pragma once

#include <cstdint>
#include <deque>
#include <span>

#include "vad/voice_activity.h"

namespace omni {

class VoiceGate {
 public:
  void reset();
  // What follows, 16 kHz.
  void push(std::span<const float> samples);
  // Of samples [from, to) since reset(), none of them forgotten or still to come. A window at the
  // end that is not whole yet (32 ms) is looked at with the next.
  bool may_hold_a_voice(int64_t from, int64_t to) const;
  void forget(int64_t before);  // samples

 private:
  VoiceActivity activity_;
  int64_t first_ = 0;                // window that windows_ begins with
  std::deque<float> probabilities_;  // of windows
};

}  // namespace omni
