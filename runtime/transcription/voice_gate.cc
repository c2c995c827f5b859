#include "transcription/voice_gate.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace omni {

namespace {
constexpr size_t kWindow = 100, kStep = 25;  // frames of 10 ms
constexpr float kFloor = -5.5f;              // log10 mel power below which nobody speaks
// what is that much weaker than the strongest band of the window does not count: of a tone that is
// rounding noise
constexpr float kRange = 4;
// standard deviation of the mean log10 power within a window; steady noise has some hundredths
constexpr double kLeastChange = 0.12;
}  // namespace

bool may_hold_a_voice(std::span<const float> log_mel, int n_mels) {
  const size_t bands = size_t(n_mels), n = log_mel.size() / bands;
  for (size_t begin = 0; begin < n; begin += kStep) {
    const size_t end = std::min(n, begin + kWindow);
    if (end - begin < 10) break;
    const auto window = log_mel.subspan(begin * bands, (end - begin) * bands);
    const float highest = *std::max_element(window.begin(), window.end());
    if (highest < kFloor) continue;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < end - begin; ++i) {
      double level = 0;
      for (size_t k = 0; k < bands; ++k)
        level += double(std::max(window[i * bands + k], highest - kRange));
      level /= double(bands);
      sum += level, squares += level * level;
    }
    const double frames = double(end - begin), mean = sum / frames;
    if (std::sqrt(std::max(0.0, squares / frames - mean * mean)) >= kLeastChange) return true;
  }
  return false;
}

}  // namespace omni
