#pragma once

#include <gst/gst.h>

// Running time of an element now; GST_CLOCK_TIME_NONE while it has no clock, which is until it
// plays.
GstClockTime gst_omni_running_time_now(GstElement* element);
