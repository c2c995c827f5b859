// The last values of a duration, and their percentiles; what is said when one is longer than was
// promised.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <vector>

class GstOmniDelays {
 public:
  bool add(GstClockTime value);  // true: none was as long before
  bool empty() const { return values_.empty(); }
  double percentile_ms(double p) const;                         // of the last 512
  double max_ms() const { return double(max_) / GST_MSECOND; }  // of all

 private:
  std::vector<GstClockTime> values_;
  size_t next_ = 0;
  GstClockTime max_ = 0;
};

// What is said again only when it has become twice as bad, so that the bus does not fill.
class GstOmniWorsening {
 public:
  bool is_to_be_said(guint64 value);  // not of 0

 private:
  guint64 said_ = 0;
};

// Posts the warning that text came `delay` after its `what` (words, media) where `promised` was
// reported as latency.
void gst_omni_warn_late(GstElement* element, const char* what, GstClockTime delay,
                        GstClockTime promised, const char* advice);
