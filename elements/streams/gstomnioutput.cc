#include "streams/gstomnioutput.h"

#include <algorithm>

#include "omni/text.h"

namespace {
constexpr size_t kMostQueued = 1024;  // results and events of a pad
}

void GstOmniOutput::set_lateness(GstClockTime lateness) {
  std::lock_guard guard(lock_);
  if (lateness_ == lateness) return;
  lateness_ = lateness;
  segment_due_ = true;
}

GstFlowReturn GstOmniOutput::flow() {
  std::lock_guard guard(lock_);
  return flow_;
}

void GstOmniOutput::set_flushing(bool flushing) {
  {
    std::lock_guard guard(lock_);
    flushing_ = flushing;
    if (!flushing) {
      clear();
      flow_ = GST_FLOW_OK;
      position_ = 0;
      segment_due_ = true;
    }
  }
  changed_.notify_all();
  if (flushing) woken();
}

void GstOmniOutput::wait_for_room() {
  std::unique_lock lock(lock_);
  changed_.wait(lock, [this] { return flushing_ || n_queued() < kMostQueued; });
}

void GstOmniOutput::flush_start(GstEvent* event) {
  set_flushing(true);
  gst_pad_push_event(pad_, event);
}

void GstOmniOutput::flush_stop(GstEvent* event) {
  std::lock_guard guard(task_lock_);
  if (is_active_) {
    set_flushing(true);  // a state change may have ended the flush
    gst_pad_pause_task(pad_);
    set_flushing(false);
  }
  gst_pad_push_event(pad_, event);
  if (is_active_) gst_pad_start_task(pad_, loop, this, nullptr);
}

bool GstOmniOutput::set_active(bool active) {
  std::lock_guard guard(task_lock_);
  set_flushing(!active);
  is_active_ = active;
  if (!active) return gst_pad_stop_task(pad_);
  head_due_ = true;
  return gst_pad_start_task(pad_, loop, this, nullptr);
}

void GstOmniOutput::loop(gpointer data) {
  auto* self = static_cast<GstOmniOutput*>(data);
  if (!self->step()) gst_pad_pause_task(self->pad_);
}

void GstOmniOutput::push_head(const std::function<GstCaps*()>& make_caps) {
  bool head = false, segment = false;
  GstClockTime lateness = 0;
  {
    std::lock_guard guard(lock_);
    std::swap(head, head_due_);
    std::swap(segment, segment_due_);
    lateness = lateness_;
  }
  if (head) {
    // What leaves is made here of several streams: an id of its own.
    CharPtr id(g_strdup_printf("gst-omni/%08x/%s", g_random_int(), GST_PAD_NAME(pad_)));
    GstEvent* start = gst_event_new_stream_start(id.get());
    gst_event_set_stream_flags(start, GST_STREAM_FLAG_SPARSE);
    gst_event_set_group_id(start, gst_util_group_id_next());
    gst_pad_push_event(pad_, start);
    CapsPtr caps(make_caps());
    gst_pad_push_event(pad_, gst_event_new_caps(caps.get()));
    segment = true;
  }
  if (segment) {
    GstSegment s;
    gst_segment_init(&s, GST_FORMAT_TIME);
    s.base = lateness;
    gst_pad_push_event(pad_, gst_event_new_segment(&s));
  }
}

void GstOmniOutput::push(MiniObjectPtr object) {
  if (GST_IS_EVENT(object.get())) {
    gst_pad_push_event(pad_, GST_EVENT(object.release()));
    return;
  }
  const GstFlowReturn flow = gst_pad_push(pad_, GST_BUFFER(object.release()));
  bool has_failed = false;
  {
    std::lock_guard guard(lock_);
    if (flushing_) return;
    has_failed = flow != flow_ && (flow == GST_FLOW_NOT_NEGOTIATED || flow <= GST_FLOW_ERROR);
    flow_ = flow;
  }
  if (has_failed) post_flow_error(flow);
}

// Nobody above sees what a task of this element's own was told.
void GstOmniOutput::post_flow_error(GstFlowReturn flow) {
  GstElement* element = gst_pad_get_parent_element(pad_);
  if (!element) return;
  GST_ELEMENT_FLOW_ERROR(element, flow);
  gst_object_unref(element);
}

GstClockTime GstOmniTextOutput::push_result(const std::string& result, GstClockTime start,
                                            GstClockTime duration,
                                            const GstOmniAnswered* answered) {
  // A model's text must not add cues to a file of captions.
  const std::string text = kind() == Kind::text ? omni::one_cue(result) : result;
  if (text.empty()) {
    push_gap(start + duration);
    return start;
  }
  GstBuffer* buffer = gst_buffer_new_memdup(text.data(), text.size());
  if (answered) gst_omni_add_answer(buffer, *answered);
  return push_text(buffer, start, duration);
}

void GstOmniTextOutput::push_piece(const std::string& piece, GstClockTime start,
                                   GstClockTime duration, bool is_last,
                                   const GstOmniAnswered& answered) {
  const std::string cue = omni::one_cue(piece), &text = cue.empty() ? piece : cue;
  GstBuffer* buffer = gst_buffer_new_memdup(text.data(), text.size());
  if (is_last) GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_MARKER);
  gst_omni_add_answer(buffer, answered);
  push_text(buffer, start, duration);
}

GstClockTime GstOmniTextOutput::push_text(GstBuffer* buffer, GstClockTime start,
                                          GstClockTime duration) {
  {
    std::lock_guard guard(lock_);
    const GstClockTime end = start + duration;
    if (start < position_ && kind() != Kind::tool) start = position_;
    if (start > position_)
      queue_.emplace_back(GST_MINI_OBJECT(gst_event_new_gap(position_, start - position_)));
    GST_BUFFER_PTS(buffer) = start;
    GST_BUFFER_DURATION(buffer) = end > start ? end - start : duration;
    position_ = std::max(position_, start + GST_BUFFER_DURATION(buffer));
    queue_.emplace_back(GST_MINI_OBJECT(buffer));
  }
  changed_.notify_all();
  return start;
}

void GstOmniTextOutput::push_gap(GstClockTime until) {
  {
    std::lock_guard guard(lock_);
    if (until <= position_) return;
    queue_.emplace_back(GST_MINI_OBJECT(gst_event_new_gap(position_, until - position_)));
    position_ = until;
  }
  changed_.notify_all();
}

void GstOmniTextOutput::push_event(GstEvent* event) {
  {
    std::lock_guard guard(lock_);
    queue_.emplace_back(GST_MINI_OBJECT(event));
  }
  changed_.notify_all();
}

bool GstOmniTextOutput::step() {
  MiniObjectPtr object;
  {
    std::unique_lock lock(lock_);
    changed_.wait(lock, [this] { return flushing_ || !queue_.empty(); });
    if (flushing_) return false;
    object = std::move(queue_.front());
    queue_.pop_front();
  }
  changed_.notify_all();
  push_head([this] {
    if (kind() == Kind::tool) return gst_caps_new_empty_simple("application/json");
    return kind() == Kind::text
               ? gst_caps_new_simple("text/x-raw", "format", G_TYPE_STRING, "utf8", nullptr)
               : gst_caps_new_simple("application/x-omni-spatial", "version", G_TYPE_INT, 1,
                                     nullptr);
  });
  push(std::move(object));
  return true;
}
