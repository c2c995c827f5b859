#include "streams/gstomnistats.h"

#include <algorithm>
#include <cmath>

namespace {
constexpr size_t kKept = 512;
}

bool GstOmniDelays::add(GstClockTime value) {
  const bool longest = values_.empty() || value > max_;
  if (values_.size() < kKept)
    values_.push_back(value);
  else
    values_[next_] = value;
  next_ = (next_ + 1) % kKept;
  max_ = std::max(max_, value);
  return longest;
}

double GstOmniDelays::percentile_ms(double p) const {
  if (values_.empty()) return 0;
  std::vector<GstClockTime> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  return double(sorted[size_t(std::lround(p * double(sorted.size() - 1)))]) / GST_MSECOND;
}

bool GstOmniWorsening::is_to_be_said(guint64 value) {
  if (value == 0 || value / 2 < said_) return false;
  said_ = value;
  return true;
}

void gst_omni_warn_late(GstElement* element, const char* what, GstClockTime delay,
                        GstClockTime promised, const char* advice) {
  GST_ELEMENT_WARNING_WITH_DETAILS(element, STREAM, FAILED,
                                   ("Text is later than promised: %" G_GUINT64_FORMAT
                                    " ms after its %s, %" G_GUINT64_FORMAT " ms were reported",
                                    delay / GST_MSECOND, what, promised / GST_MSECOND),
                                   ("raise `latency` or `lateness`, or use %s", advice),
                                   ("delay", G_TYPE_UINT64, guint64(delay), "promised",
                                    G_TYPE_UINT64, guint64(promised), nullptr));
}
