#include "streams/gstomniclock.h"

#include "common/gstomniptr.h"

GstClockTime gst_omni_running_time_now(GstElement* element) {
  ClockPtr clock(gst_element_get_clock(element));
  if (!clock) return GST_CLOCK_TIME_NONE;
  const GstClockTime now = gst_clock_get_time(clock.get()),
                     base = gst_element_get_base_time(element);
  return now > base ? now - base : 0;
}
