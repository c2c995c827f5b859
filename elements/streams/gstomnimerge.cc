#include "streams/gstomnimerge.h"

#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "streams/gstomniclock.h"

namespace {

using namespace std::chrono_literals;
constexpr GstClockTime kBack = 2 * GST_SECOND;    // what is no rounding of the side stream's times
constexpr GstClockTime kLatest = G_MAXINT64 / 4;  // of the side stream: sums cannot overflow
constexpr GstClockTime kAheadOfClock = 10 * GST_SECOND;  // a live frame is not from the future
constexpr guint64 kMostRate = 120;     // frames a second of `max-size-time`: no more are held
constexpr size_t kFewest = 16;         // frames that are always held
constexpr gsize kMostBytes = 1 << 18;  // of one buffer of the side stream

bool is_eos(GstMiniObject* object) {
  return GST_IS_EVENT(object) && GST_EVENT_TYPE(object) == GST_EVENT_EOS;
}

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

void GstOmniMerge::settings_changed() {
  changed_.notify_all();
  gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
}

guint64 GstOmniMerge::n_undecorated() {
  std::lock_guard guard(lock_);
  return n_undecorated_;
}

// --- video

bool GstOmniMerge::is_full() const {
  guint64 most = 0;  // ms
  {
    std::lock_guard guard(settings_.lock);
    most = settings_.max_size_time;
  }
  GstClockTime first = GST_CLOCK_TIME_NONE, last = 0;
  for (const Item& i : queue_)
    if (GST_CLOCK_TIME_IS_VALID(i.time))
      first = std::min(first, i.time), last = std::max(last, i.time);
  return (last > first && last - first >= most * GST_MSECOND) ||
         queue_.size() >= std::max<size_t>(kFewest, most * kMostRate / 1000);
}

bool GstOmniMerge::has_ended() const {
  return !queue_.empty() && is_eos(queue_.back().object.get());
}

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

// --- the wait

// False when the frame has to go.
bool GstOmniMerge::wait_live(Lock& lock, GstClockTime time) {
  GstClockTime latency = 0;
  {
    std::lock_guard guard(settings_.lock);
    latency = settings_.latency * GST_MSECOND;
  }
  const GstClockTime due = time + upstream_latency_ + latency,
                     now = gst_omni_running_time_now(element_);
  if (!GST_CLOCK_TIME_IS_VALID(now) || now >= due || is_full()) return false;
  changed_.wait_for(lock, std::chrono::nanoseconds(due - now));
  return true;
}

// False when nothing more can come for the frame.
bool GstOmniMerge::wait_for_file(Lock& lock) {
  const bool full = is_full();
  if (!full && !has_ended()) {
    stalled_since_.reset();
    changed_.wait(lock);
    return true;
  }
  if (gave_up_ || (full && video_thread_ == side_thread_)) return false;
  const auto now = std::chrono::steady_clock::now();
  if (!stalled_since_) stalled_since_ = now;
  if (now - *stalled_since_ >= patience_) {
    gave_up_ = true;
    return false;
  }
  changed_.wait_until(lock, *stalled_since_ + patience_);
  return true;
}

void GstOmniMerge::wait_for_side(Lock& lock, GstClockTime time) {
  const auto wanted = [&] { return !flushing_ && flow_ == GST_FLOW_OK && !side_has_passed(time); };
  while (wanted())
    if (!(live_ ? wait_live(lock, time) : wait_for_file(lock))) break;
  if (wanted()) ++n_undecorated_;
}

// --- the source pad's task

// False when there is nothing to do before a flush has ended.
bool GstOmniMerge::step() {
  Item item;
  bool gives_up = false;
  {
    Lock lock(lock_);
    changed_.wait(lock, [this] { return flushing_ || !queue_.empty(); });
    const bool gave_up = gave_up_;
    if (!flushing_ && GST_CLOCK_TIME_IS_VALID(queue_.front().time))
      wait_for_side(lock, queue_.front().time);
    if (flushing_) return false;
    gives_up = gave_up_ && !gave_up;
    item = std::move(queue_.front());
    queue_.pop_front();
    if (GST_CLOCK_TIME_IS_VALID(item.time)) shown_ = std::max(shown_, item.time);
    if (GST_IS_BUFFER(item.object.get()) && flow_ != GST_FLOW_OK) item.object.reset();
  }
  changed_.notify_all();
  if (gives_up) warn_of_stall();
  if (!item.object) return true;
  if (GST_IS_EVENT(item.object.get()))
    send_event(EventPtr(GST_EVENT(item.object.release())));
  else
    send_frame(BufferPtr(GST_BUFFER(item.object.release())), item.time);
  return true;
}

void GstOmniMerge::warn_of_stall() {
  GST_ELEMENT_WARNING(element_, STREAM, FAILED,
                      ("The stream beside the video does not come: video goes on without it"),
                      ("raise max-size-time above the model's chunk and interval, and give the "
                       "queues around the tee room for as much"));
}

bool GstOmniMerge::use_caps(GstEvent* event) {
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  GstVideoInfo info;
  return gst_video_info_from_caps(&info, caps) &&
         gst_omni_guard(element_, false, [&] { return hooks_.set_info(info); });
}

void GstOmniMerge::send_event(EventPtr event) {
  if (GST_EVENT_TYPE(event.get()) == GST_EVENT_CAPS && !use_caps(event.get()))
    set_flow(GST_FLOW_NOT_NEGOTIATED);
  if (is_eos(GST_MINI_OBJECT(event.get()))) {
    Lock lock(lock_);
    const GstFlowReturn flow = flow_;
    lock.unlock();
    // Nobody upstream hears of it any more.
    if (flow == GST_FLOW_NOT_LINKED || flow < GST_FLOW_EOS) GST_ELEMENT_FLOW_ERROR(element_, flow);
  }
  gst_pad_push_event(src_, event.release());
}

void GstOmniMerge::send_frame(BufferPtr frame, GstClockTime time) {
  if (GST_CLOCK_TIME_IS_VALID(time))
    frame = gst_omni_guard(element_, BufferPtr(),
                           [&] { return hooks_.decorate(std::move(frame), time); });
  set_flow(frame ? gst_pad_push(src_, frame.release()) : GST_FLOW_ERROR);
}

void GstOmniMerge::set_flow(GstFlowReturn flow) {
  if (flow == GST_FLOW_OK) return;
  {
    std::lock_guard guard(lock_);
    if (!flushing_) flow_ = flow;
  }
  changed_.notify_all();
}

// --- flushes and states

void GstOmniMerge::restart() {
  queue_.clear();
  flow_ = GST_FLOW_OK;
  shown_ = 0;
  gave_up_ = false;
  stalled_since_.reset();
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

void GstOmniMerge::loop() {
  if (!step()) gst_pad_pause_task(src_);
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

// --- the stream beside it

void GstOmniMerge::side_advances(GstClockTime until) {
  bool back = false;
  {
    std::lock_guard guard(lock_);
    back = until + kBack < side_reached_;
    const GstClockTime reached = back ? until : std::max(side_reached_, until);
    if (reached != std::exchange(side_reached_, reached)) stalled_since_.reset();
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
