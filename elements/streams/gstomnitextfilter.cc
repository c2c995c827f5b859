#include "streams/gstomnitextfilter.h"

#include <algorithm>
#include <utility>

#include "omni/captions.h"
#include "streams/gstomnitimestamps.h"

namespace {
constexpr gsize kMostText = 1 << 16;  // bytes of one buffer
}

GstOmniTextFilter::GstOmniTextFilter(GstElement* element, GstElementClass* klass)
    : element_(element) {
  gst_segment_init(&segment_, GST_FORMAT_UNDEFINED);
  sink_ = gst_omni_new_pad(klass, "sink");
  src_ = gst_omni_new_pad(klass, "src");
  gst_pad_set_element_private(sink_, this);
  gst_pad_set_element_private(src_, this);
  gst_pad_set_chain_function(sink_, GST_DEBUG_FUNCPTR(chain));
  gst_pad_set_event_function(sink_, GST_DEBUG_FUNCPTR(sink_event));
  gst_pad_set_query_function(src_, GST_DEBUG_FUNCPTR(src_query));
  gst_pad_use_fixed_caps(src_);
  gst_element_add_pad(element, sink_);
  gst_element_add_pad(element, src_);
}

void GstOmniTextFilter::push(BufferPtr buffer) {
  if (flow_ == GST_FLOW_OK) flow_ = gst_pad_push(src_, buffer.release());
}

void GstOmniTextFilter::push_gap(GstClockTime start, GstClockTime end) {
  if (end > start && flow_ == GST_FLOW_OK)
    gst_pad_push_event(src_, gst_event_new_gap(start, end - start));
}

BufferPtr gst_omni_text_buffer(const std::string& text, GstClockTime start, GstClockTime duration) {
  BufferPtr b(gst_buffer_new_allocate(nullptr, text.size(), nullptr));
  gst_buffer_fill(b.get(), 0, text.data(), text.size());
  GST_BUFFER_PTS(b.get()) = start;
  GST_BUFFER_DURATION(b.get()) = duration;
  return b;
}

// Text that no segment came before has times that count from 0, as downstream is told. After an end
// of stream the segment stays, as it does on the pad.
void GstOmniTextFilter::begin_if_needed() {
  if (begun_) return;
  if (segment_.format == GST_FORMAT_UNDEFINED) {
    gst_segment_init(&segment_, GST_FORMAT_TIME);
    gst_pad_push_event(src_, gst_event_new_segment(&segment_));
  }
  begin(segment_);
  end_ = segment_.start;
  begun_ = true;
}

void GstOmniTextFilter::take(GstBuffer* buffer) {
  begin_if_needed();
  const GstClockTime start =
      GST_BUFFER_PTS_IS_VALID(buffer) ? std::max(GST_BUFFER_PTS(buffer), segment_.start) : end_;
  GstClockTime duration = GST_BUFFER_DURATION_IS_VALID(buffer) ? GST_BUFFER_DURATION(buffer) : 0;
  if (start > G_MAXINT64 - G_MAXINT64 / 4 || duration > G_MAXINT64 / 4)
    throw omni::Error(omni::ErrorCode::corrupt_file, "text with a time that cannot be");
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
    throw omni::Error(omni::ErrorCode::corrupt_file, "a text buffer that cannot be read");
  std::string s(reinterpret_cast<const char*>(map.data), std::min(map.size, kMostText));
  const bool too_long = map.size > kMostText;
  gst_buffer_unmap(buffer, &map);
  if (too_long)
    throw omni::Error(omni::ErrorCode::unsupported,
                      "a text of more than 65536 bytes in one buffer");
  s.erase(std::find(s.begin(), s.end(), '\0'), s.end());
  release(start);
  const bool endless = duration == 0;
  if (endless) duration = GstClockTime(omni::reading_time(s));
  end_ = std::max(end_, start + duration);
  if (endless && waits_for_end())
    held_ = {std::move(s), start, duration, BufferPtr(gst_buffer_ref(buffer))};
  else
    text(s, start, duration, buffer);
}

// The text that is held leaves; the next begins at `next`, or not before.
void GstOmniTextFilter::release(GstClockTime next) {
  if (!held_) return;
  const std::optional<Held> held = std::exchange(held_, std::nullopt);
  text(held->text, held->start,
       next > held->start ? std::min(held->duration, next - held->start) : held->duration,
       held->source.get());
}

// What is held leaves: nothing more belongs to it.
void GstOmniTextFilter::end() {
  release(GST_CLOCK_TIME_NONE);
  if (begun_) finish();
  begun_ = false;
}

// Forgets the stream. Called when none runs: flushed, or stopped.
void GstOmniTextFilter::clear() {
  held_.reset();
  reset();
  begun_ = false;
  flow_ = GST_FLOW_OK;
  gst_segment_init(&segment_, GST_FORMAT_UNDEFINED);
}

GstFlowReturn GstOmniTextFilter::chain(GstPad* pad, GstObject* parent, GstBuffer* raw) {
  GstOmniTextFilter& f = *static_cast<GstOmniTextFilter*>(gst_pad_get_element_private(pad));
  const BufferPtr buffer(raw);
  return gst_omni_guard(parent, GST_FLOW_ERROR, [&] {
    if (!gst_pad_has_current_caps(f.src_)) return GST_FLOW_NOT_NEGOTIATED;
    if (f.flow_ == GST_FLOW_OK) f.take(buffer.get());
    return f.flow_;
  });
}

bool GstOmniTextFilter::handle(GstPad* pad, GstEvent* raw) {
  EventPtr event(raw);
  switch (GST_EVENT_TYPE(raw)) {
    case GST_EVENT_STREAM_START: {
      event.reset(gst_event_make_writable(event.release()));
      GstStreamFlags flags = GST_STREAM_FLAG_NONE;
      gst_event_parse_stream_flags(event.get(), &flags);
      gst_event_set_stream_flags(event.get(), GstStreamFlags(flags | GST_STREAM_FLAG_SPARSE));
      if (flow_ == GST_FLOW_EOS) flow_ = GST_FLOW_OK;
      break;
    }
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(raw, &caps);
      return gst_pad_push_event(src_, gst_event_new_caps(output_caps(caps).get()));
    }
    case GST_EVENT_SEGMENT: {
      const GstSegment segment = gst_omni_segment_of(raw);
      end();
      if (flow_ == GST_FLOW_EOS) flow_ = GST_FLOW_OK;
      if (segment.format != GST_FORMAT_TIME) {
        // An event that was refused comes again with the next buffer.
        if (std::exchange(flow_, GST_FLOW_ERROR) == GST_FLOW_ERROR) return false;
        throw omni::Error(omni::ErrorCode::unsupported,
                          "text without times: its segment is not in time format");
      }
      segment_ = segment;
      gst_pad_push_event(src_, event.release());
      begin_if_needed();
      return true;
    }
    case GST_EVENT_GAP: {
      GstClockTime start = 0, duration = GST_CLOCK_TIME_NONE;
      gst_event_parse_gap(raw, &start, &duration);
      if (!GST_CLOCK_TIME_IS_VALID(start) || start >= G_MAXINT64 / 2) return true;
      if (flow_ != GST_FLOW_OK || !gst_pad_has_current_caps(src_)) return true;
      begin_if_needed();
      const GstClockTime time =
          GST_CLOCK_TIME_IS_VALID(duration) && duration < G_MAXINT64 / 2 ? start + duration : start;
      if (held_ && time >= held_->start + held_->duration) release(time);
      advance(held_ ? std::min(time, held_->start) : time);
      return true;
    }
    case GST_EVENT_EOS:
      end();
      break;
    case GST_EVENT_FLUSH_STOP:
      clear();
      break;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      release(GST_CLOCK_TIME_NONE);
      if (this->event(raw)) return true;
      break;
    default:
      break;
  }
  return gst_pad_event_default(pad, GST_OBJECT(element_), event.release());
}

gboolean GstOmniTextFilter::sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  GstOmniTextFilter& f = *static_cast<GstOmniTextFilter*>(gst_pad_get_element_private(pad));
  return gst_omni_guard(parent, FALSE, [&]() -> gboolean { return f.handle(pad, event); });
}

gboolean GstOmniTextFilter::src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  GstOmniTextFilter& f = *static_cast<GstOmniTextFilter*>(gst_pad_get_element_private(pad));
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  if (!gst_pad_peer_query(f.sink_, query)) return FALSE;
  gboolean live = FALSE;
  GstClockTime min = 0, max = GST_CLOCK_TIME_NONE;
  gst_query_parse_latency(query, &live, &min, &max);
  const GstClockTime own = f.latency();
  gst_query_set_latency(query, live, min + own, GST_CLOCK_TIME_IS_VALID(max) ? max + own : max);
  return TRUE;
}
