// Picks frames by their time stamps: the first frame at or after each multiple of 1/rate, counted from the first frame. Any input rate, fixed or not,
// gives `rate` frames a second on average; an input slower than `rate` gives each of its frames once.
#pragma once

#include <cstdint>
#include <optional>

#include "omni/types.h"

namespace omni {

class FrameSampler {
 public:
  explicit FrameSampler(Rational rate) : rate_(rate) {}
  bool wants(Nanoseconds time);
  void reset() { origin_.reset(); }

 private:
  Nanoseconds due(int64_t index) const;

  Rational rate_;
  std::optional<Nanoseconds> origin_;
  int64_t next_ = 0;  // index of the next multiple
};

}  // namespace omni
