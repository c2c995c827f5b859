// Samples and time, without overflow however long a stream is.
#pragma once

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

}  // namespace omni
