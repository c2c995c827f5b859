#include <algorithm>
#include <cmath>

#include "omni/video.h"

namespace omni {

namespace {
constexpr Nanoseconds kSlack = 1'000'000;  // time stamps of 30000/1001 and the like are rounded
}

Nanoseconds FrameSampler::due(int64_t index) const {
  return Nanoseconds(__int128(index) * 1'000'000'000 * rate_.den / rate_.num);
}

bool FrameSampler::wants(Nanoseconds time) {
  if (!origin_ || time < *origin_) origin_ = time, next_ = 0;
  const Nanoseconds elapsed = time - *origin_;
  if (elapsed + kSlack < due(next_)) return false;
  // the first multiple that is due after it, however far that is
  const __int128 period = __int128(1'000'000'000) * rate_.den;
  next_ = int64_t((__int128(elapsed + kSlack + 1) * rate_.num + period - 1) / period);
  return true;
}

// The nearest number of pairs, halves to even, as Python rounds; of one frame a pair.
int EvenSampler::whole_pairs(int frames) {
  return std::max(2, 2 * int(std::nearbyint(frames / 2.0)));
}

// In double precision, halves to even: so numpy computes it.
int64_t EvenSampler::index(int64_t k) const {
  if (spread_ == FrameSpread::arange) return k * total_ / frames_;
  if (k == 0) return 0;
  if (k == frames_ - 1) return total_ - 1;
  return int64_t(std::nearbyint(double(k) * (double(total_ - 1) / (frames_ - 1))));
}

bool EvenSampler::wants(Nanoseconds time) {
  if (!origin_ || time < *origin_) origin_ = time, next_ = 0;
  const auto at = int64_t(std::llround(double(time - *origin_) * 1e-9 * frame_rate_.value()));
  if (next_ == frames_ || at < index(next_)) return false;
  while (next_ < frames_ && index(next_) <= at) ++next_;
  return true;
}

}  // namespace omni
