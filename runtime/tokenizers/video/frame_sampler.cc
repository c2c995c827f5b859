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
  while (due(next_) <= elapsed + kSlack) ++next_;
  return true;
}

}  // namespace omni
