// The voice in a stream of sound that comes in pieces of any size.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/arena.h"
#include "core/thread_pool.h"
#include "vad/silero_vad.h"

namespace omni {

// One thread at a time.
class VoiceActivity {
 public:
  VoiceActivity();

  // Calls on_window with the probability of every window that is whole now, in order. Samples are
  // mono, SileroVad::kSampleRate, −1 … 1.
  void push(std::span<const float> samples, const std::function<void(float)>& on_window);
  // The same for the window that is not whole, filled up with silence. A new stream begins.
  void finish(const std::function<void(float)>& on_window);
  void reset();

 private:
  std::shared_ptr<const SileroVad> vad_ = SileroVad::shared();
  ThreadPool pool_{1};
  Arena arena_;
  SileroVad::State state_;
  std::vector<float> rest_;  // of a window
};

}  // namespace omni
