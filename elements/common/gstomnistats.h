// The last values of a duration, and their percentiles.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <vector>

class GstOmniDelays {
 public:
  void add(GstClockTime value);
  bool empty() const { return values_.empty(); }
  double percentile_ms(double p) const;  // of the last 512
  double max_ms() const { return double(max_) / GST_MSECOND; }  // of all

 private:
  std::vector<GstClockTime> values_;
  size_t next_ = 0;
  GstClockTime max_ = 0;
};
