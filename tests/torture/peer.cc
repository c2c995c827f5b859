#include "torture/peer.h"

namespace omni_test {
namespace {

// A pad lives on in events and queries that are under way: it owns its peer's state, weakly.
Peer& of(GstPad* pad) { return *static_cast<Peer*>(gst_pad_get_element_private(pad)); }

constexpr GstFlowReturn kFlows[] = {GST_FLOW_OK,         GST_FLOW_OK,       GST_FLOW_NOT_NEGOTIATED,
                                    GST_FLOW_NOT_LINKED, GST_FLOW_FLUSHING, GST_FLOW_EOS,
                                    GST_FLOW_ERROR};

// With a template: of a pad without one GStreamer looks at the caps that it has while another
// thread may be giving it others (gst_pad_query_caps_default).
GstPad* new_pad(GstPadDirection direction) {
  GstCaps* any = gst_caps_new_any();
  GstPadTemplate* templ = gst_pad_template_new("peer", direction, GST_PAD_ALWAYS, any);
  gst_object_ref_sink(templ);
  GstPad* pad = gst_pad_new_from_template(templ, nullptr);
  gst_object_ref_sink(pad);
  gst_object_unref(templ);
  gst_caps_unref(any);
  return pad;
}

}  // namespace

Peer::Peer(GstPad* target)
    : target_(GST_PAD(gst_object_ref(target))),
      pad_(new_pad(GST_PAD_IS_SRC(target) ? GST_PAD_SINK : GST_PAD_SRC)) {
  gst_pad_set_element_private(pad_, this);
  if (GST_PAD_IS_SINK(pad_)) {
    gst_pad_set_chain_function(pad_, chain);
    gst_pad_set_event_function(pad_, drain_event);
  } else {
    gst_pad_set_event_function(pad_, feed_event);
    gst_pad_set_query_function(pad_, feed_query);
  }
  gst_pad_set_active(pad_, TRUE);
  link();
}

Peer::~Peer() {
  set_open(true);
  unlink();
  gst_pad_set_active(pad_, FALSE);
  gst_caps_replace(&caps_, nullptr);
  gst_object_unref(pad_);
  gst_object_unref(target_);
}

bool Peer::link() {
  if (gst_pad_is_linked(pad_)) return true;
  return (feeds() ? gst_pad_link(pad_, target_) : gst_pad_link(target_, pad_)) == GST_PAD_LINK_OK;
}

void Peer::unlink() {
  GstPad *src = feeds() ? pad_ : target_, *sink = feeds() ? target_ : pad_;
  if (gst_pad_is_linked(src)) gst_pad_unlink(src, sink);
}

GstCaps* Peer::caps() {
  std::lock_guard guard(lock_);
  return caps_ ? gst_caps_ref(caps_) : nullptr;
}

void Peer::begin_stream(GstCaps* caps, const GstSegment& segment) {
  {
    std::lock_guard guard(lock_);
    gst_caps_replace(&caps_, caps);
  }
  gst_pad_push_event(pad_, gst_event_new_stream_start("torture"));
  gst_pad_push_event(pad_, gst_event_new_caps(caps));
  gst_pad_push_event(pad_, gst_event_new_segment(&segment));
  gst_caps_unref(caps);
}

void Peer::set_mood(Mood mood) {
  {
    std::lock_guard guard(lock_);
    mood_ = mood;
  }
  changed_.notify_all();
}

void Peer::set_open(bool open) {
  {
    std::lock_guard guard(lock_);
    open_ = open;
    if (!open) flushing_ = false;
  }
  changed_.notify_all();
}

void Peer::begin_anew() {
  gst_pad_set_active(pad_, FALSE);
  gst_pad_set_active(pad_, TRUE);
  live = false;
  std::lock_guard guard(lock_);
  came_ = {};
  mood_ = Mood::takes;
  flushing_ = false;
}

void Peer::wait_for_eos() {
  std::unique_lock lock(lock_);
  changed_.wait(lock, [this] { return came_.eos; });
}

Peer::Came Peer::came() {
  std::lock_guard guard(lock_);
  return came_;
}

GstFlowReturn Peer::chain(GstPad* pad, GstObject*, GstBuffer* buffer) {
  Peer& self = of(pad);
  gst_buffer_unref(buffer);
  std::unique_lock lock(self.lock_);
  ++self.came_.buffers;
  self.changed_.wait(lock,
                     [&] { return self.mood_ != Mood::blocks || self.open_ || self.flushing_; });
  return self.open_ || self.flushing_ ? GST_FLOW_FLUSHING : kFlows[int(self.mood_)];
}

gboolean Peer::drain_event(GstPad* pad, GstObject*, GstEvent* event) {
  Peer& self = of(pad);
  gboolean taken = TRUE;
  {
    std::lock_guard guard(self.lock_);
    switch (GST_EVENT_TYPE(event)) {
      case GST_EVENT_FLUSH_START:
        self.flushing_ = true;
        break;
      case GST_EVENT_FLUSH_STOP:
        self.flushing_ = false;
        break;
      case GST_EVENT_EOS:
        self.came_.eos = true;
        break;
      case GST_EVENT_CAPS:
        taken = self.mood_ != Mood::refuses_caps;
        break;
      default:
        break;
    }
  }
  self.changed_.notify_all();
  gst_event_unref(event);
  return taken;
}

gboolean Peer::feed_event(GstPad*, GstObject*, GstEvent* event) {
  gst_event_unref(event);
  return TRUE;
}

gboolean Peer::feed_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  gst_query_set_latency(query, of(pad).live, 20 * GST_MSECOND, GST_CLOCK_TIME_NONE);
  return TRUE;
}

}  // namespace omni_test
