// Video on its way out: the wait for what belongs to a frame, and the task of the source pad.
#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "streams/gstomniclock.h"
#include "streams/gstomnimerge.h"

namespace {

constexpr guint64 kMostRate = 120;  // frames a second of `max-size-time`: no more are held
constexpr size_t kFewest = 16;      // frames that are always held
constexpr GstClockTime kWorthTelling = 60 * GST_SECOND;  // of live video

}  // namespace

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
  changed_.wait_for(lock, gst_omni_wait_time(due - now));
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
  if (wanted()) leave_alone(time);
}

void GstOmniMerge::leave_alone(GstClockTime time) {
  ++n_undecorated_;
  if (!alone_since_) alone_since_ = time;
  if (live_ && time >= *alone_since_ + kWorthTelling) gave_up_ = true;
}

// --- the source pad's task

void GstOmniMerge::loop() {
  if (!step()) gst_pad_pause_task(src_);
}

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
                      ("link it to what gives results, or release its pad; not live, raise "
                       "max-size-time above the model's chunk and interval, and give the queues "
                       "around the tee room for as much"));
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
