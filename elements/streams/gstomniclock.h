#pragma once

#include <gst/gst.h>

#include <algorithm>
#include <chrono>

// Running time of an element now; GST_CLOCK_TIME_NONE while it has no clock, which is until it
// plays.
GstClockTime gst_omni_running_time_now(GstElement* element);

// How long to wait where it is looked at anew afterwards. Times of a stream may be centuries away,
// and the standard library adds what it is given to the time that it is.
inline std::chrono::nanoseconds gst_omni_wait_time(GstClockTime left) {
  return std::chrono::nanoseconds(gint64(std::min<GstClockTime>(left, 3600 * GST_SECOND)));
}
