// Samples and time, without overflow however long a stream is.
#pragma once

#include <algorithm>
#include <chrono>

#include "omni/types.h"

namespace omni {

// Time that `n` samples last.
constexpr Nanoseconds duration_of(int64_t n, int64_t rate) {
  return Nanoseconds(__int128(n) * kSecond / rate);
}

// Whole samples in `time`.
constexpr int64_t samples_in(Nanoseconds time, int64_t rate) {
  return int64_t(__int128(time) * rate / kSecond);
}

// How long to wait where it is looked at anew afterwards. Times of a stream may be centuries away,
// and the standard library adds what it is given to the time that it is.
constexpr std::chrono::nanoseconds wait_time(Nanoseconds left) {
  return std::chrono::nanoseconds(std::min(left, 3600 * kSecond));
}

}  // namespace omni
