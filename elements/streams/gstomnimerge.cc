#include "streams/gstomnimerge.h"

#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "streams/gstomniclock.h"

namespace {

constexpr GstClockTime kAheadOfClock = 10 * GST_SECOND;  // a live frame is not from the future

}  // namespace

GstOmniMerge::GstOmniMerge(GstElement* element, GstOmniMergeSettings& settings,
                           GstOmniMergeHooks& hooks, std::chrono::nanoseconds patience)
    : element_(element), settings_(settings), hooks_(hooks), patience_(patience) {
  gst_segment_init(&side_segment_, GST_FORMAT_TIME);
  restart();
}

void GstOmniMerge::add_video_pads() {
  GstElementClass* klass = GST_ELEMENT_GET_CLASS(element_);
  sink_ = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "sink"), "sink");
  src_ = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "src"), "src");
  for (GstPad* pad : {sink_, src_}) {
    gst_pad_set_element_private(pad, this);
    GST_PAD_SET_PROXY_CAPS(pad);
    gst_pad_set_iterate_internal_links_function(pad, [](GstPad* p, GstObject*) {
      GValue other = G_VALUE_INIT;
      g_value_init(&other, GST_TYPE_PAD);
      g_value_set_object(&other, p == of(p)->sink_ ? of(p)->src_ : of(p)->sink_);
      GstIterator* it = gst_iterator_new_single(GST_TYPE_PAD, &other);
      g_value_unset(&other);
      return it;
    });
  }
  GST_PAD_SET_PROXY_ALLOCATION(sink_);
  gst_pad_set_chain_function(sink_, [](GstPad* pad, GstObject* parent, GstBuffer* buffer) {
    BufferPtr owned(buffer);
    return gst_omni_guard(parent, GST_FLOW_ERROR,
                          [&] { return of(pad)->chain_video(std::move(owned)); });
  });
  gst_pad_set_event_function(sink_, [](GstPad* pad, GstObject* parent, GstEvent* event) {
    EventPtr owned(event);
    return gboolean(
        gst_omni_guard(parent, false, [&] { return of(pad)->event_video(std::move(owned)); }));
  });
  gst_pad_set_activatemode_function(sink_,
                                    [](GstPad* pad, GstObject*, GstPadMode mode, gboolean active) {
                                      of(pad)->activate_sink(active);
                                      return gboolean(mode == GST_PAD_MODE_PUSH);
                                    });
  gst_pad_set_query_function(src_, [](GstPad* pad, GstObject* parent, GstQuery* query) {
    return gboolean((GST_QUERY_TYPE(query) == GST_QUERY_LATENCY && of(pad)->query_src(query)) ||
                    gst_pad_query_default(pad, parent, query));
  });
  gst_pad_set_event_function(src_, [](GstPad* pad, GstObject*, GstEvent* event) {
    return gst_pad_push_event(of(pad)->sink_, event);
  });
  gst_pad_set_activatemode_function(
      src_, [](GstPad* pad, GstObject*, GstPadMode mode, gboolean active) {
        return gboolean(mode == GST_PAD_MODE_PUSH && of(pad)->activate_src(active));
      });
  gst_element_add_pad(element_, sink_);
  gst_element_add_pad(element_, src_);
}

void GstOmniMerge::settings_changed() {
  changed_.notify_all();
  gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
}

guint64 GstOmniMerge::n_undecorated() {
  std::lock_guard guard(lock_);
  return n_undecorated_;
}

// --- video

// As omnivideotokenizer counts it, so that a result finds its frame whatever the stamps do.
GstClockTime GstOmniMerge::time_of(GstBuffer* frame) {
  const GstClockTime duration =
      GST_BUFFER_DURATION_IS_VALID(frame) ? GST_BUFFER_DURATION(frame) : frame_duration_;
  const GstClockTime now = live_ ? gst_omni_running_time_now(element_) : GST_CLOCK_TIME_NONE;
  GstClockTime latest = GST_CLOCK_TIME_NONE;
  if (GST_CLOCK_TIME_IS_VALID(now))
    latest =
        gst_segment_position_from_running_time(&segment_, GST_FORMAT_TIME, now + kAheadOfClock);
  const GstClockTime at = stamps_.next(GST_BUFFER_PTS(frame), duration, latest).time;
  return gst_segment_to_running_time(&segment_, GST_FORMAT_TIME, at);
}

GstFlowReturn GstOmniMerge::chain_video(BufferPtr buffer) {
  Lock lock(lock_);
  video_thread_ = std::this_thread::get_id();
  if (is_full()) changed_.notify_all();
  changed_.wait(lock, [&] { return flushing_ || flow_ != GST_FLOW_OK || !is_full(); });
  if (flushing_) return GST_FLOW_FLUSHING;
  if (flow_ != GST_FLOW_OK) return flow_;
  const GstClockTime time = time_of(buffer.get());
  queue_.push_back({MiniObjectPtr(GST_MINI_OBJECT(buffer.release())), time});
  changed_.notify_all();
  return GST_FLOW_OK;
}

bool GstOmniMerge::event_video(EventPtr event) {
  switch (GST_EVENT_TYPE(event.get())) {
    case GST_EVENT_FLUSH_START:
      return flush_start(std::move(event));
    case GST_EVENT_FLUSH_STOP:
      return flush_stop(std::move(event));
    case GST_EVENT_STREAM_START: {
      std::lock_guard guard(lock_);
      if (flow_ == GST_FLOW_EOS) flow_ = GST_FLOW_OK;
      break;
    }
    case GST_EVENT_SEGMENT: {
      find_latency();
      if (!set_video_segment(gst_omni_segment_of(event.get()))) return false;
      break;
    }
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event.get(), &caps);
      GstVideoInfo info;
      // Frames that wait have the old caps: the hooks learn the new ones when the event's turn
      // comes.
      if (!gst_video_info_from_caps(&info, caps)) return false;
      std::lock_guard guard(lock_);
      frame_duration_ =
          info.fps_n > 0 ? gst_util_uint64_scale(GST_SECOND, info.fps_d, info.fps_n) : 0;
      break;
    }
    default:
      break;
  }
  if (!GST_EVENT_IS_SERIALIZED(event.get())) return gst_pad_push_event(src_, event.release());
  return enqueue_event(std::move(event));
}

bool GstOmniMerge::enqueue_event(EventPtr event) {
  Lock lock(lock_);
  // Events are few; a stream of nothing else is bounded all the same.
  changed_.wait(lock, [&] {
    return flushing_ || queue_.empty() || !GST_IS_EVENT(queue_.back().object.get()) || !is_full();
  });
  if (flushing_) return false;
  queue_.push_back({MiniObjectPtr(GST_MINI_OBJECT(event.release())), GST_CLOCK_TIME_NONE});
  changed_.notify_all();
  return true;
}

bool GstOmniMerge::set_video_segment(const GstSegment& segment) {
  std::lock_guard guard(lock_);
  if (segment.format != GST_FORMAT_TIME) {
    // An event that was refused comes again with the next buffer.
    if (std::exchange(flow_, GST_FLOW_ERROR) == GST_FLOW_ERROR) return false;
    throw omni::Error(omni::ErrorCode::unsupported,
                      "video without times: its segment is not in time format");
  }
  if (flow_ == GST_FLOW_EOS) flow_ = GST_FLOW_OK;
  segment_ = segment;
  stamps_.restart(segment_);
  return true;
}

void GstOmniMerge::find_latency() {
  QueryPtr query(gst_query_new_latency());
  if (!gst_pad_peer_query(sink_, query.get())) return;
  gboolean live = FALSE;
  GstClockTime min = 0;
  gst_query_parse_latency(query.get(), &live, &min, nullptr);
  std::lock_guard guard(lock_);
  live_ = live;
  upstream_latency_ = min;
}

// --- flushes and states

void GstOmniMerge::restart() {
  queue_.clear();
  flow_ = GST_FLOW_OK;
  shown_ = 0;
  gave_up_ = false;
  stalled_since_.reset();
  alone_since_.reset();
  gst_segment_init(&segment_, GST_FORMAT_TIME);
  stamps_.restart(segment_);
}

void GstOmniMerge::stop() {
  {
    std::lock_guard guard(lock_);
    flushing_ = true;
  }
  changed_.notify_all();
}

// Under activation_, while nothing flows: the round of the task that was under way is over. Called
// before it goes on, or the task would pause behind that.
void GstOmniMerge::end_round() {
  if (active_) gst_pad_pause_task(src_);
}

// Where the source pad is active: the task runs from now on.
bool GstOmniMerge::resume() {
  std::lock_guard guard(activation_);
  if (!active_) return true;
  if (is_flushing()) end_round();
  {
    std::lock_guard state(lock_);
    flushing_ = false;
  }
  return gst_pad_start_task(
      src_, [](gpointer self) { static_cast<GstOmniMerge*>(self)->loop(); }, this, nullptr);
}

bool GstOmniMerge::is_flushing() {
  std::lock_guard guard(lock_);
  return flushing_;
}

bool GstOmniMerge::flush_start(EventPtr event) {
  stop();
  return gst_pad_push_event(src_, event.release());
}

// A flush takes what was to be seen, and not what the stream is: as a queue does, events that stay
// on pads go to the source pad.
bool GstOmniMerge::flush_stop(EventPtr event) {
  bool was_flushing = false;
  {
    std::lock_guard guard(activation_);
    if ((was_flushing = is_flushing())) end_round();
  }
  if (!was_flushing) return gst_pad_push_event(src_, event.release());
  const bool ok = gst_pad_push_event(src_, event.release());
  std::deque<Item> flushed;
  {
    std::lock_guard guard(lock_);
    flushed.swap(queue_);
    restart();
  }
  bool good = true;
  for (const Item& i : flushed) {
    if (!GST_IS_EVENT(i.object.get())) continue;
    auto* e = GST_EVENT(i.object.get());
    if (!GST_EVENT_IS_STICKY(e) || GST_EVENT_TYPE(e) == GST_EVENT_SEGMENT || is_eos(i.object.get()))
      continue;
    if (GST_EVENT_TYPE(e) == GST_EVENT_CAPS) good = use_caps(e);
    gst_pad_store_sticky_event(src_, e);
  }
  resume();
  if (!good) set_flow(GST_FLOW_NOT_NEGOTIATED);
  return ok;
}

void GstOmniMerge::activate_sink(bool active) {
  if (active)
    resume();
  else
    stop();
}

bool GstOmniMerge::activate_src(bool active) {
  {
    std::lock_guard guard(activation_);
    active_ = active;
  }
  if (active) return resume();
  stop();
  const bool stopped = gst_pad_stop_task(src_);
  hooks_.clear();
  std::lock_guard guard(lock_);
  restart();
  side_reached_ = 0;
  side_eos_ = false;
  return stopped;
}

bool GstOmniMerge::query_src(GstQuery* query) {
  if (!gst_pad_peer_query(sink_, query)) return false;
  gboolean live = FALSE;
  GstClockTime min = 0, max = 0;
  gst_query_parse_latency(query, &live, &min, &max);
  if (!live) return true;
  GstClockTime own, most;
  {
    std::lock_guard guard(settings_.lock);
    own = settings_.latency * GST_MSECOND;
    most = settings_.max_size_time * GST_MSECOND;
  }
  {
    std::lock_guard guard(lock_);
    live_ = true;
    upstream_latency_ = min;
    if (!side_ || !side_linked_) own = 0;
  }
  gst_query_set_latency(query, TRUE, min + own, GST_CLOCK_TIME_IS_VALID(max) ? max + most : max);
  return true;
}
