#include "vad/voice_activity.h"

#include <algorithm>

namespace omni {

VoiceActivity::VoiceActivity() { rest_.reserve(SileroVad::kWindow); }

void VoiceActivity::push(std::span<const float> samples,
                         const std::function<void(float)>& on_window) {
  ops::Context cx{pool_, arena_};
  while (!samples.empty()) {
    const size_t n = std::min(samples.size(), size_t(SileroVad::kWindow) - rest_.size());
    rest_.insert(rest_.end(), samples.begin(), samples.begin() + std::ptrdiff_t(n));
    samples = samples.subspan(n);
    if (rest_.size() < size_t(SileroVad::kWindow)) return;
    const std::span<const float, SileroVad::kWindow> window(rest_);
    const float probability = (*vad_)(cx, window, state_);
    rest_.clear();
    on_window(probability);
  }
}

void VoiceActivity::finish(const std::function<void(float)>& on_window) {
  if (!rest_.empty()) {
    const std::vector<float> silence(size_t(SileroVad::kWindow) - rest_.size());
    push(silence, on_window);
  }
  reset();
}

void VoiceActivity::reset() {
  state_ = {};
  rest_.clear();
}

}  // namespace omni
