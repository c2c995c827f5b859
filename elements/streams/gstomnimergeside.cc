// The stream beside the video: how far it has come, and what it brings.
#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "streams/gstomnimerge.h"

namespace {

constexpr GstClockTime kBack = 2 * GST_SECOND;    // what is no rounding of the side stream's times
constexpr GstClockTime kLatest = G_MAXINT64 / 4;  // sums cannot overflow
constexpr gsize kMostBytes = 1 << 18;             // of one buffer

}  // namespace

void GstOmniMerge::add_side_pad(GstPad* pad) {
  gst_pad_set_element_private(pad, this);
  // the stream ends here
  gst_pad_set_iterate_internal_links_function(
      pad, [](GstPad*, GstObject*) -> GstIterator* { return nullptr; });
  gst_pad_set_chain_function(pad, [](GstPad* p, GstObject* parent, GstBuffer* buffer) {
    BufferPtr owned(buffer);
    return gst_omni_guard(parent, GST_FLOW_ERROR,
                          [&] { return of(p)->chain_side(std::move(owned)); });
  });
  gst_pad_set_event_function(pad, [](GstPad* p, GstObject* parent, GstEvent* event) {
    EventPtr owned(event);
    return gboolean(
        gst_omni_guard(parent, false, [&] { return of(p)->event_side(std::move(owned)); }));
  });
  gst_pad_set_link_function(pad, [](GstPad* p, GstObject*, GstPad*) {
    std::lock_guard guard(of(p)->lock_);
    of(p)->side_linked_ = true;
    return GST_PAD_LINK_OK;
  });
  gst_pad_set_unlink_function(pad, [](GstPad* p, GstObject*) {
    std::lock_guard guard(of(p)->lock_);
    of(p)->side_linked_ = false;
    of(p)->changed_.notify_all();
  });
  {
    std::lock_guard guard(lock_);
    side_ = pad;
    side_linked_ = side_eos_ = false;
    side_reached_ = 0;
    gst_segment_init(&side_segment_, GST_FORMAT_TIME);
  }
  gst_element_add_pad(element_, pad);
}

void GstOmniMerge::remove_side_pad(GstPad* pad) {
  gst_pad_set_active(pad, FALSE);
  {
    std::lock_guard guard(lock_);
    side_ = nullptr;
  }
  changed_.notify_all();
  hooks_.clear();
  gst_element_remove_pad(element_, pad);
}

void GstOmniMerge::side_advances(GstClockTime until) {
  bool back = false;
  {
    std::lock_guard guard(lock_);
    back = until + kBack < side_reached_;
    const GstClockTime reached = back ? until : std::max(side_reached_, until);
    if (reached != std::exchange(side_reached_, reached)) {
      stalled_since_.reset();
      alone_since_.reset();
    }
  }
  if (back) hooks_.forget_after(until);
  changed_.notify_all();
}

GstFlowReturn GstOmniMerge::chain_side(BufferPtr buffer) {
  GstClockTime start, shown;
  const GstClockTime duration =
      GST_BUFFER_DURATION_IS_VALID(buffer.get()) ? GST_BUFFER_DURATION(buffer.get()) : 0;
  {
    std::lock_guard guard(lock_);
    side_thread_ = std::this_thread::get_id();
    if (side_segment_.format != GST_FORMAT_TIME) return GST_FLOW_ERROR;
    start = GST_BUFFER_PTS_IS_VALID(buffer.get())
                ? gst_segment_to_running_time(&side_segment_, GST_FORMAT_TIME,
                                              GST_BUFFER_PTS(buffer.get()))
                : shown_;
    shown = shown_;
  }
  if (!GST_CLOCK_TIME_IS_VALID(start)) return GST_FLOW_OK;  // outside the segment
  if (start > kLatest || duration > kLatest)
    throw omni::Error(omni::ErrorCode::corrupt_file, "a time beside the video that cannot be");
  if (gst_buffer_get_size(buffer.get()) > kMostBytes)
    throw omni::Error(omni::ErrorCode::unsupported,
                      "a buffer of more than 256 kB beside the video");
  hooks_.take(buffer.get(), start, duration, shown);
  side_advances(start + duration);
  return GST_FLOW_OK;
}

bool GstOmniMerge::set_side_segment(const GstSegment& segment) {
  std::lock_guard guard(lock_);
  const GstFormat before = std::exchange(side_segment_, segment).format;
  if (segment.format == GST_FORMAT_TIME) return true;
  if (before == GST_FORMAT_TIME)
    throw omni::Error(omni::ErrorCode::unsupported,
                      "a stream beside the video whose segment is not in time format");
  return false;
}

void GstOmniMerge::gap_beside(GstEvent* event) {
  GstClockTime at = 0, duration = 0, until = GST_CLOCK_TIME_NONE;
  gst_event_parse_gap(event, &at, &duration);
  if (!GST_CLOCK_TIME_IS_VALID(duration)) duration = 0;
  {
    std::lock_guard guard(lock_);
    if (side_segment_.format == GST_FORMAT_TIME && at <= kLatest && duration <= kLatest)
      until = gst_segment_to_running_time(&side_segment_, GST_FORMAT_TIME, at + duration);
  }
  if (GST_CLOCK_TIME_IS_VALID(until)) side_advances(until);
}

bool GstOmniMerge::event_side(EventPtr event) {
  {
    std::lock_guard guard(lock_);
    if (GST_EVENT_IS_SERIALIZED(event.get())) side_thread_ = std::this_thread::get_id();
  }
  switch (GST_EVENT_TYPE(event.get())) {
    case GST_EVENT_SEGMENT: {
      if (!set_side_segment(gst_omni_segment_of(event.get()))) return false;
      break;
    }
    case GST_EVENT_GAP:
      gap_beside(event.get());
      break;
    case GST_EVENT_EOS:
    case GST_EVENT_STREAM_START: {
      std::lock_guard guard(lock_);
      side_eos_ = GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS;
      break;
    }
    case GST_EVENT_FLUSH_STOP: {
      hooks_.clear();
      std::lock_guard guard(lock_);
      gst_segment_init(&side_segment_, GST_FORMAT_TIME);
      side_reached_ = 0;
      side_eos_ = false;
      break;
    }
    default:
      break;
  }
  changed_.notify_all();
  return true;  // it ends here
}
