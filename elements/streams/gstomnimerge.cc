#include "streams/gstomnimerge.h"

#include <algorithm>
#include <chrono>

#include "common/gstomniguard.h"
#include "streams/gstomniclock.h"

namespace {

using namespace std::chrono_literals;
// A file's frames wait for a slow model as long as that; then something upstream holds everything
// up.
constexpr auto kStalled = 60s;

}  // namespace

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
                                      if (!active) of(pad)->set_flushing(true);
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
  gst_segment_init(&side_segment_, GST_FORMAT_TIME);
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
    side_eos_ = false;
    side_reached_ = 0;
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

GstClockTime GstOmniMerge::held() const {
  GstClockTime first = GST_CLOCK_TIME_NONE, last = 0;
  for (const Item& i : queue_)
    if (GST_CLOCK_TIME_IS_VALID(i.time))
      first = std::min(first, i.time), last = std::max(last, i.time);
  return last > first ? last - first : 0;
}

GstFlowReturn GstOmniMerge::chain_video(BufferPtr buffer) {
  GstClockTime most = 0;
  {
    std::lock_guard guard(settings_.lock);
    most = settings_.max_size_time * GST_MSECOND;
  }
  std::unique_lock lock(lock_);
  changed_.wait(lock, [&] { return flushing_ || flow_ != GST_FLOW_OK || held() < most; });
  if (flushing_) return GST_FLOW_FLUSHING;
  if (flow_ != GST_FLOW_OK) return flow_;
  const GstClockTime time =
      GST_BUFFER_PTS_IS_VALID(buffer.get())
          ? gst_segment_to_running_time(&segment_, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer.get()))
          : GST_CLOCK_TIME_NONE;
  queue_.push_back({MiniObjectPtr(GST_MINI_OBJECT(buffer.release())), time});
  changed_.notify_all();
  return GST_FLOW_OK;
}

bool GstOmniMerge::event_video(EventPtr event) {
  switch (GST_EVENT_TYPE(event.get())) {
    case GST_EVENT_FLUSH_START: {
      set_flushing(true);
      const bool ok = gst_pad_push_event(src_, event.release());
      gst_pad_pause_task(src_);
      return ok;
    }
    case GST_EVENT_FLUSH_STOP: {
      const bool ok = gst_pad_push_event(src_, event.release());
      set_flushing(false);
      gst_pad_start_task(
          src_,
          [](gpointer self) {
            if (!static_cast<GstOmniMerge*>(self)->step())
              gst_pad_pause_task(static_cast<GstOmniMerge*>(self)->src_);
          },
          this, nullptr);
      return ok;
    }
    case GST_EVENT_SEGMENT: {
      find_latency();
      std::lock_guard guard(lock_);
      gst_event_copy_segment(event.get(), &segment_);
      break;
    }
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event.get(), &caps);
      GstVideoInfo info;
      // Frames that wait have the old caps: the hooks learn the new ones when the event's turn
      // comes.
      if (!gst_video_info_from_caps(&info, caps)) return false;
      break;
    }
    default:
      break;
  }
  if (!GST_EVENT_IS_SERIALIZED(event.get())) return gst_pad_push_event(src_, event.release());
  std::lock_guard guard(lock_);
  if (flushing_) return false;
  queue_.push_back({MiniObjectPtr(GST_MINI_OBJECT(event.release())), GST_CLOCK_TIME_NONE});
  changed_.notify_all();
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

GstOmniMerge::Wait GstOmniMerge::wait_for_side(std::unique_lock<std::mutex>& lock,
                                               GstClockTime time) {
  GstClockTime most = 0;
  auto stalled_at = std::chrono::steady_clock::now() + kStalled;
  GstClockTime reached = side_reached_;
  while (!flushing_ && !side_has_passed(time)) {
    GstClockTime latency;
    {
      std::lock_guard guard(settings_.lock);
      latency = settings_.latency * GST_MSECOND;
      most = settings_.max_size_time * GST_MSECOND;
    }
    if (live_) {
      const GstClockTime due = time + upstream_latency_ + latency,
                         t = gst_omni_running_time_now(element_);
      if (!GST_CLOCK_TIME_IS_VALID(t) || t >= due || held() >= most) break;
      changed_.wait_for(lock, std::chrono::nanoseconds(due - t));
    } else {
      if (side_reached_ != reached)
        reached = side_reached_, stalled_at = std::chrono::steady_clock::now() + kStalled;
      if (std::chrono::steady_clock::now() >= stalled_at) {
        if (!warned_) {
          warned_ = true;
          lock.unlock();
          GST_ELEMENT_WARNING(
              element_, STREAM, FAILED,
              ("The stream beside the video does not come: video goes on without it"),
              ("raise max-size-time above the model's chunk and interval, and give the queues "
               "around the tee room for as much"));
          lock.lock();
        }
        break;
      }
      changed_.wait_until(lock, stalled_at);
    }
  }
  if (!flushing_ && !side_has_passed(time)) ++n_undecorated_;
  return flushing_ ? Wait::flushed : Wait::over;
}

bool GstOmniMerge::step() {
  Item item;
  {
    std::unique_lock lock(lock_);
    changed_.wait(lock, [this] { return flushing_ || !queue_.empty(); });
    if (flushing_) return false;
    if (GST_CLOCK_TIME_IS_VALID(queue_.front().time) &&
        wait_for_side(lock, queue_.front().time) == Wait::flushed)
      return false;
    item = std::move(queue_.front());
    queue_.pop_front();
    if (GST_CLOCK_TIME_IS_VALID(item.time)) shown_ = std::max(shown_, item.time);
  }
  changed_.notify_all();
  if (GST_IS_EVENT(item.object.get())) {
    GstEvent* event = GST_EVENT(item.object.release());
    bool good = true;
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      GstVideoInfo info;
      good = gst_video_info_from_caps(&info, caps) &&
             gst_omni_guard(element_, false, [&] { return hooks_.set_info(info); });
    }
    gst_pad_push_event(src_, event);
    if (!good) {
      std::lock_guard guard(lock_);
      flow_ = GST_FLOW_NOT_NEGOTIATED;
    }
    return true;
  }
  BufferPtr frame(GST_BUFFER(item.object.release()));
  if (GST_CLOCK_TIME_IS_VALID(item.time)) {
    frame = gst_omni_guard(element_, BufferPtr(),
                           [&] { return hooks_.decorate(std::move(frame), item.time); });
  }
  const GstFlowReturn flow = frame ? gst_pad_push(src_, frame.release()) : GST_FLOW_ERROR;
  std::lock_guard guard(lock_);
  if (!flushing_ && flow != GST_FLOW_OK) {
    flow_ = flow;
    changed_.notify_all();
  }
  return true;
}

void GstOmniMerge::set_flushing(bool flushing) {
  {
    std::lock_guard guard(lock_);
    flushing_ = flushing;
    queue_.clear();
    flow_ = GST_FLOW_OK;
    shown_ = 0;
    if (flushing) gst_segment_init(&segment_, GST_FORMAT_TIME);
  }
  changed_.notify_all();
}

bool GstOmniMerge::activate_src(bool active) {
  set_flushing(!active);
  if (!active) {
    hooks_.clear();
    {
      std::lock_guard guard(lock_);
      side_reached_ = 0;
      side_eos_ = warned_ = false;
    }
    return gst_pad_stop_task(src_);
  }
  return gst_pad_start_task(
      src_,
      [](gpointer self) {
        if (!static_cast<GstOmniMerge*>(self)->step())
          gst_pad_pause_task(static_cast<GstOmniMerge*>(self)->src_);
      },
      this, nullptr);
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
  {
    std::lock_guard guard(lock_);
    if (GST_CLOCK_TIME_IS_VALID(until)) side_reached_ = std::max(side_reached_, until);
  }
  changed_.notify_all();
}

GstFlowReturn GstOmniMerge::chain_side(BufferPtr buffer) {
  GstClockTime start, shown;
  const GstClockTime duration =
      GST_BUFFER_DURATION_IS_VALID(buffer.get()) ? GST_BUFFER_DURATION(buffer.get()) : 0;
  {
    std::lock_guard guard(lock_);
    start = GST_BUFFER_PTS_IS_VALID(buffer.get())
                ? gst_segment_to_running_time(&side_segment_, GST_FORMAT_TIME,
                                              GST_BUFFER_PTS(buffer.get()))
                : shown_;
    shown = shown_;
  }
  if (!GST_CLOCK_TIME_IS_VALID(start)) return GST_FLOW_OK;  // outside the segment
  hooks_.take(buffer.get(), start, duration, shown);
  side_advances(start + duration);
  return GST_FLOW_OK;
}

bool GstOmniMerge::event_side(EventPtr event) {
  switch (GST_EVENT_TYPE(event.get())) {
    case GST_EVENT_SEGMENT: {
      std::lock_guard guard(lock_);
      gst_event_copy_segment(event.get(), &side_segment_);
      break;
    }
    case GST_EVENT_GAP: {
      GstClockTime at = 0, duration = 0, until = 0;
      gst_event_parse_gap(event.get(), &at, &duration);
      {
        std::lock_guard guard(lock_);
        until =
            gst_segment_to_running_time(&side_segment_, GST_FORMAT_TIME,
                                        at + (GST_CLOCK_TIME_IS_VALID(duration) ? duration : 0));
      }
      side_advances(until);
      break;
    }
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
