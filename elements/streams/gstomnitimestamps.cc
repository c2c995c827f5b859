#include "streams/gstomnitimestamps.h"

#include <algorithm>

namespace {
constexpr gint64 kMost = 2 * GST_SECOND, kMostUnknown = 60 * GST_SECOND, kLasting = GST_SECOND;
constexpr gint64 kLatest = G_MAXINT64 / 4;  // stamps above it are none: sums cannot overflow
}  // namespace

GstSegment gst_omni_segment_of(GstEvent* event) {
  GstSegment segment;
  gst_event_copy_segment(event, &segment);
  const bool from_the_end = segment.rate < 0 || segment.applied_rate < 0;
  if (from_the_end && !GST_CLOCK_TIME_IS_VALID(segment.stop)) segment.stop = guint64(kLatest);
  if (segment.rate < 0) segment.offset = std::min(segment.offset, segment.stop);
  return segment;
}

void GstOmniTimestamps::restart(const GstSegment& segment) {
  reverse_ = segment.rate < 0;
  started_ = false;
  offset_ = 0;
  jump_.reset();
  const GstClockTime origin = reverse_ ? segment.stop : segment.start;
  expected_ = origin > guint64(kLatest) ? 0 : gint64(origin);
  if (reverse_) expected_ = -expected_;
}

GstClockTime GstOmniTimestamps::give(gint64 at, GstClockTime duration) {
  started_ = true;
  at = std::min(at, kLatest);
  expected_ = std::min(kLatest, at + gint64(std::min<GstClockTime>(duration, kLatest)));
  return GstClockTime(std::max<gint64>(0, reverse_ ? -at : at));
}

GstOmniTimestamps::Stamp GstOmniTimestamps::next(GstClockTime pts, GstClockTime duration,
                                                 GstClockTime latest) {
  if (pts > guint64(kLatest)) return {give(expected_, duration)};
  const gint64 at = (reverse_ ? -gint64(pts) : gint64(pts)) + offset_;
  const gint64 jump = at - expected_;
  const bool known = duration > 0;
  if (!started_ || ABS(jump) <= (known ? kMost : kMostUnknown)) {
    jump_.reset();
    return {give(at, duration)};
  }
  const bool judged = GST_CLOCK_TIME_IS_VALID(latest) && !reverse_;
  const bool can_be = jump > 0 && (!judged || GstClockTime(at) <= latest);
  if (judged && can_be) {
    jump_.reset();
    return {give(at, duration)};
  }
  const bool goes_on = jump_ && at >= jump_->last && at - jump_->last <= kMostUnknown;
  const gint64 step = goes_on && !known ? at - jump_->last : 0;
  if (!goes_on) jump_ = Jump{at, at};
  jump_->last = at;
  const gint64 lasted = at - jump_->first + gint64(std::min<GstClockTime>(duration, kLatest));
  if (lasted >= kLasting) {
    jump_.reset();
    if (!can_be) offset_ += expected_ + step - at;
    return {give(can_be ? at : expected_ + step, duration), goes_on ? 0 : jump};
  }
  return {give(expected_ + step, duration), goes_on ? 0 : jump};
}
