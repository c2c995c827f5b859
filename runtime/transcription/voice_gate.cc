#include "transcription/voice_gate.h"

#include <algorithm>

namespace omni {

namespace {
constexpr int64_t kWindow = SileroVad::kWindow;
constexpr float kMaybe = .35f;  // below it speech ends (speech_segmenter.h)
}  // namespace

void VoiceGate::reset() {
  activity_.reset();
  probabilities_.clear();
  first_ = 0;
}

void VoiceGate::push(std::span<const float> samples) {
  activity_.push(samples, [this](float p) { probabilities_.push_back(p); });
}

bool VoiceGate::may_hold_a_voice(int64_t from, int64_t to) const {
  if (from >= to) return false;
  const auto n = int64_t(probabilities_.size());
  const int64_t begin = std::clamp<int64_t>(from / kWindow - first_, 0, n),
                end = std::clamp<int64_t>((to + kWindow - 1) / kWindow - first_, begin, n);
  return std::any_of(probabilities_.begin() + begin, probabilities_.begin() + end,
                     [](float p) { return p >= kMaybe; });
}

void VoiceGate::forget(int64_t before) {
  for (; !probabilities_.empty() && (first_ + 1) * kWindow <= before; ++first_)
    probabilities_.pop_front();
}

}  // namespace omni
