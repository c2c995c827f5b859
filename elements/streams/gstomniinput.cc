#include "streams/gstomniinput.h"

#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "streams/gstomniclock.h"

namespace {

constexpr GstClockTime kLongest = G_MAXINT64 / 4;  // of durations: sums cannot overflow
constexpr guint kMostEvents = 1024;                // in the queue, GAPs apart
// A live buffer is never of a time that the clock reaches only later than this.
constexpr GstClockTime kAheadOfClock = 10 * GST_SECOND;

bool is_data(const GstOmniInput::Item& item) { return !item.is_event(); }

// A flush does not undo what a stream is: events that stay on pads stay in the queue.
bool survives_flush(const GstOmniInput::Item& item) {
  return item.is_event() && GST_EVENT_IS_STICKY(item.event()) &&
         GST_EVENT_TYPE(item.event()) != GST_EVENT_SEGMENT &&
         GST_EVENT_TYPE(item.event()) != GST_EVENT_EOS;
}

// Streams of bytes (an appsrc that was not told better) have no times: theirs begin at 0.
EventPtr in_time_format(EventPtr event) {
  const GstSegment* segment = nullptr;
  gst_event_parse_segment(event.get(), &segment);
  if (segment->format == GST_FORMAT_TIME) return event;
  GstSegment whole;
  gst_segment_init(&whole, GST_FORMAT_TIME);
  GstEvent* other = gst_event_new_segment(&whole);
  gst_event_set_seqnum(other, gst_event_get_seqnum(event.get()));
  return EventPtr(other);
}

GstMessage* jump_message(GstElement* element, GstClockTimeDiff jump, guint64 n) {
  GError* error = g_error_new(GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED,
                              "Time stamps jump by %.3f s: jump %" G_GUINT64_FORMAT " so far",
                              double(jump) / GST_SECOND, n);
  GstMessage* m = gst_message_new_warning_with_details(
      GST_OBJECT(element), error, nullptr,
      gst_structure_new("details", "jump", G_TYPE_INT64, gint64(jump), "jumps", G_TYPE_UINT64, n,
                        nullptr));
  g_error_free(error);
  return m;
}

}  // namespace

GstOmniInput::GstOmniInput(GstElement* element, GstPad* pad, Limits limits, GstOmniWorker& worker,
                           Media& media)
    : element_(element), pad_(pad), limits_(limits), worker_(worker), media_(media) {
  gst_segment_init(&segment_, GST_FORMAT_TIME);
  gst_pad_set_element_private(pad, this);
  gst_pad_set_chain_function(pad, GST_DEBUG_FUNCPTR(chain));
  gst_pad_set_event_function(pad, GST_DEBUG_FUNCPTR(event));
  gst_pad_set_query_function(pad, GST_DEBUG_FUNCPTR(query));
  gst_pad_set_activatemode_function(pad, GST_DEBUG_FUNCPTR(activate_mode));
}

// --- for the worker

std::optional<GstOmniInput::Item> GstOmniInput::take() {
  std::optional<Item> item;
  {
    std::lock_guard guard(lock_);
    if (!active_ || flushing_ || queue_.empty()) return item;
    item = std::move(queue_.front());
    queue_.pop_front();
    account(*item, -1);
  }
  changed_.notify_all();
  return item;
}

void GstOmniInput::put_back(Item item) {
  std::lock_guard guard(lock_);
  if (!active_ || !survives_flush(item)) return;
  account(item, 1);
  queue_.push_front(std::move(item));
}

bool GstOmniInput::handle_next(const std::function<void(Item& item)>& handle) {
  std::optional<Item> item = take();
  if (!item) return false;
  try {
    handle(*item);
  } catch (const omni::Error& e) {
    if (e.code() == omni::ErrorCode::cancelled) put_back(std::move(*item));
    throw;
  }
  return true;
}

void GstOmniInput::set_worker(Worker state) {
  {
    std::lock_guard guard(lock_);
    state_ = state;
  }
  changed_.notify_all();
}

void GstOmniInput::set_flow(GstFlowReturn flow) {
  {
    std::lock_guard guard(lock_);
    flow_ = flow;
  }
  changed_.notify_all();
}

GstFlowReturn GstOmniInput::flow() {
  std::lock_guard guard(lock_);
  return flow_;
}

bool GstOmniInput::has_ended() {
  std::lock_guard guard(lock_);
  return ended_;
}

void GstOmniInput::relinked() {
  std::lock_guard guard(lock_);
  if (flow_ == GST_FLOW_NOT_LINKED) flow_ = GST_FLOW_OK;
}

bool GstOmniInput::is_live() {
  std::lock_guard guard(lock_);
  return live_;
}

GstOmniInput::Counts GstOmniInput::counts() {
  std::lock_guard guard(lock_);
  Counts counts = counts_;
  counts.queued = queued_;
  return counts;
}

// --- the queue, under the lock

GstFlowReturn GstOmniInput::result() const {
  if (!active_ || flushing_) return GST_FLOW_FLUSHING;
  return state_ == Worker::failed ? GST_FLOW_ERROR : GST_FLOW_OK;
}

GstFlowReturn GstOmniInput::data_result() const {
  if (const GstFlowReturn refusal = result(); refusal != GST_FLOW_OK) return refusal;
  return caps_ == Caps::refused ? GST_FLOW_NOT_NEGOTIATED : flow_;
}

// Whatever its size, one thing always has room.
bool GstOmniInput::is_full() const {
  return queued_ > 0 && (queued_ >= limits_.buffers || queued_bytes_ >= limits_.bytes ||
                         queued_time_ >= limits_.time);
}

void GstOmniInput::account(const Item& item, int sign) {
  if (!is_data(item)) {
    queued_events_ += guint(sign);
    return;
  }
  queued_ += guint(sign);
  queued_time_ += GstClockTime(sign) * std::min(item.duration, limits_.time);
  if (!item.is_gap()) queued_bytes_ += guint64(sign) * gst_buffer_get_size(item.buffer());
}

GstFlowReturn GstOmniInput::enqueue(Lock& lock, Item item) {
  const bool data = is_data(item);
  const auto refusal = [&] { return data ? data_result() : result(); };
  while (refusal() == GST_FLOW_OK && (data ? is_full() : queued_events_ >= kMostEvents)) {
    if (data && live_)
      drop_oldest();
    else
      changed_.wait(lock);
  }
  if (const GstFlowReturn flow = refusal(); flow != GST_FLOW_OK) return flow;
  account(item, 1);
  queue_.push_back(std::move(item));
  return GST_FLOW_OK;
}

void GstOmniInput::drop_oldest() {
  const auto oldest = std::find_if(queue_.begin(), queue_.end(), is_data);
  account(*oldest, -1);
  if (!oldest->is_gap()) {
    ++counts_.dropped;
    counts_.dropped_time += oldest->duration;
    const GstClockTime time = oldest->time;
    GstMessage* m = gst_message_new_qos(
        GST_OBJECT(element_), TRUE, gst_segment_to_running_time(&segment_, GST_FORMAT_TIME, time),
        gst_segment_to_stream_time(&segment_, GST_FORMAT_TIME, time), time, oldest->duration);
    gst_message_set_qos_stats(m, GST_FORMAT_BUFFERS, counts_.in - counts_.dropped, counts_.dropped);
    messages_.push_back(m);
  }
  queue_.erase(oldest);
}

void GstOmniInput::clear(bool stays) {
  std::erase_if(queue_, [&](const Item& item) { return !stays || !survives_flush(item); });
  queued_ = 0;
  queued_bytes_ = 0;
  queued_time_ = 0;
  queued_events_ = guint(queue_.size());
}

GstClockTime GstOmniInput::stamp(GstClockTime pts, GstClockTime duration) {
  GstClockTime latest = GST_CLOCK_TIME_NONE;
  if (GST_CLOCK_TIME_IS_VALID(now_))
    latest =
        gst_segment_position_from_running_time(&segment_, GST_FORMAT_TIME, now_ + kAheadOfClock);
  const GstOmniTimestamps::Stamp s = stamps_.next(pts, duration, latest);
  if (s.jump == 0) return s.time;
  // Said ever more seldom, so that a source which never gets it right does not fill the bus.
  const guint64 n = ++counts_.jumps;
  if ((n & (n - 1)) == 0) messages_.push_back(jump_message(element_, s.jump, n));
  return s.time;
}

bool GstOmniInput::is_outside(GstClockTime time, GstClockTime duration) const {
  if (GST_CLOCK_TIME_IS_VALID(segment_.stop) && time >= segment_.stop) return true;
  return duration > 0 ? time + duration <= segment_.start : time < segment_.start;
}

void GstOmniInput::post_messages() {
  std::vector<GstMessage*> messages;
  {
    std::lock_guard guard(lock_);
    messages.swap(messages_);
  }
  for (GstMessage* m : messages) gst_element_post_message(element_, m);
}

// --- the thread that pushes

GstFlowReturn GstOmniInput::put(BufferPtr buffer) {
  media_.before_buffer();
  const GstFlowReturn downstream = media_.output_flow();
  const GstClockTime now = gst_omni_running_time_now(element_);
  Lock lock(lock_);
  while (state_ == Worker::starting && !live_ && data_result() == GST_FLOW_OK) changed_.wait(lock);
  if (const GstFlowReturn refusal = data_result(); refusal != GST_FLOW_OK) return refusal;
  if (caps_ == Caps::none) return GST_FLOW_NOT_NEGOTIATED;
  if (downstream != GST_FLOW_OK) return downstream;
  now_ = live_ ? now : GST_CLOCK_TIME_NONE;
  const GstClockTime duration = std::min(media_.duration_of(buffer.get()), kLongest);
  const GstClockTime time = stamp(GST_BUFFER_PTS(buffer.get()), duration);
  if (is_outside(time, duration) || !media_.wants(time)) return GST_FLOW_OK;
  ++counts_.in;
  return enqueue(lock, {MiniObjectPtr(GST_MINI_OBJECT(buffer.release())), time, duration});
}

GstFlowReturn GstOmniInput::chain(GstPad* pad, GstObject* parent, GstBuffer* raw) {
  GstOmniInput& in = of(pad);
  BufferPtr buffer(raw);
  return gst_omni_guard(parent, GST_FLOW_ERROR, [&] {
    in.find_out_if_live();
    const GstFlowReturn flow = in.put(std::move(buffer));
    in.post_messages();
    in.worker_.wake();
    return flow;
  });
}

bool GstOmniInput::put_gap(EventPtr event) {
  GstClockTime start = 0, duration = GST_CLOCK_TIME_NONE;
  gst_event_parse_gap(event.get(), &start, &duration);
  duration = GST_CLOCK_TIME_IS_VALID(duration) ? std::min(duration, kLongest) : 0;
  Lock lock(lock_);
  if (data_result() != GST_FLOW_OK) return false;
  const GstClockTime time = stamp(start, duration);
  return enqueue(lock, {MiniObjectPtr(GST_MINI_OBJECT(event.release())), time, duration}) ==
         GST_FLOW_OK;
}

// What an event that is queued changes at once.
void GstOmniInput::note_event(GstEvent* event) {
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START:
      live_known_ = ended_ = false;
      if (flow_ == GST_FLOW_EOS) flow_ = GST_FLOW_OK;
      break;
    case GST_EVENT_SEGMENT:
      segment_ = gst_omni_segment_of(event);
      stamps_.restart(segment_);
      media_.restarted(segment_);
      break;
    case GST_EVENT_EOS:
      ended_ = true;
      break;
    default:
      break;
  }
}

bool GstOmniInput::put_event(EventPtr event) {
  const bool is_caps = GST_EVENT_TYPE(event.get()) == GST_EVENT_CAPS;
  if (is_caps && !can_take_caps(event.get())) return false;
  if (GST_EVENT_TYPE(event.get()) == GST_EVENT_GAP) return put_gap(std::move(event));
  if (GST_EVENT_TYPE(event.get()) == GST_EVENT_SEGMENT) {
    event = in_time_format(std::move(event));
    find_out_if_live();
  }
  Lock lock(lock_);
  if (result() != GST_FLOW_OK) return false;
  note_event(event.get());
  if (enqueue(lock, {MiniObjectPtr(GST_MINI_OBJECT(event.release()))}) != GST_FLOW_OK) return false;
  // Not before: another thread's buffer would go ahead of them where a flush was quicker.
  if (is_caps) caps_ = Caps::taken;
  return true;
}

bool GstOmniInput::can_take_caps(GstEvent* event) {
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  const bool can = gst_omni_guard(element_, false, [&] {
    media_.set_caps(caps);
    return true;
  });
  if (can) return true;
  std::lock_guard guard(lock_);
  caps_ = Caps::refused;
  return false;
}

gboolean GstOmniInput::event(GstPad* pad, GstObject* parent, GstEvent* raw) {
  GstOmniInput& in = of(pad);
  EventPtr event(raw);
  switch (GST_EVENT_TYPE(raw)) {
    case GST_EVENT_FLUSH_START:
      in.set_flushing(true);
      in.worker_.flush_start();
      in.media_.flush_start(std::move(event));
      return TRUE;
    case GST_EVENT_FLUSH_STOP:
      in.worker_.flush_stop();
      in.set_flushing(false);
      in.media_.flush_stop(std::move(event));
      in.worker_.resume();
      return TRUE;
    default:
      if (!GST_EVENT_IS_SERIALIZED(raw)) return gst_pad_event_default(pad, parent, event.release());
  }
  return gst_omni_guard(parent, FALSE, [&]() -> gboolean {
    const bool taken = in.put_event(std::move(event));
    in.post_messages();
    in.worker_.wake();
    return taken;
  });
}

gboolean GstOmniInput::query(GstPad* pad, GstObject* parent, GstQuery* query) {
  return gst_omni_guard(parent, FALSE, [&]() -> gboolean {
    return of(pad).media_.query(query) || gst_pad_query_default(pad, parent, query);
  });
}

gboolean GstOmniInput::activate_mode(GstPad* pad, GstObject*, GstPadMode mode, gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  of(pad).set_active(active);
  return TRUE;
}

GstOmniInput& GstOmniInput::of(GstPad* pad) {
  return *static_cast<GstOmniInput*>(gst_pad_get_element_private(pad));
}

void GstOmniInput::set_active(bool active) {
  {
    std::lock_guard guard(lock_);
    active_ = active;
    clear(false);
    flushing_ = live_known_ = live_ = ended_ = false;
    caps_ = Caps::none;
    flow_ = GST_FLOW_OK;
    gst_segment_init(&segment_, GST_FORMAT_TIME);
    stamps_.restart(segment_);
    media_.restarted(segment_);
    if (active) counts_ = {};
  }
  changed_.notify_all();
}

void GstOmniInput::set_flushing(bool flushing) {
  {
    std::lock_guard guard(lock_);
    flushing_ = flushing;
    if (!flushing) {
      clear(true);
      ended_ = false;
      flow_ = GST_FLOW_OK;
      gst_segment_init(&segment_, GST_FORMAT_TIME);
      stamps_.restart(segment_);
      media_.restarted(segment_);
    }
  }
  changed_.notify_all();
}

void GstOmniInput::find_out_if_live() {
  {
    std::lock_guard guard(lock_);
    if (live_known_) return;
  }
  QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  if (gst_pad_peer_query(pad_, query.get()))
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  std::lock_guard guard(lock_);
  live_ = live;
  live_known_ = true;
}
