#include "common/gstomnistats.h"

#include <algorithm>
#include <cmath>

namespace {
constexpr size_t kKept = 512;
}

void GstOmniDelays::add(GstClockTime value) {
  if (values_.size() < kKept) values_.push_back(value);
  else values_[next_] = value;
  next_ = (next_ + 1) % kKept;
  max_ = std::max(max_, value);
}

double GstOmniDelays::percentile_ms(double p) const {
  if (values_.empty()) return 0;
  std::vector<GstClockTime> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  return double(sorted[size_t(std::lround(p * double(sorted.size() - 1)))]) / GST_MSECOND;
}
