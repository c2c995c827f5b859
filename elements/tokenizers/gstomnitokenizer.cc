#include "tokenizers/gstomnitokenizer.h"

#include <gst/audio/audio.h>
#include <gst/video/video.h>

#include "common/gstomniguard.h"
#include "tokens/gstomnitokens.h"

namespace {
GstOmniTokenizer* of(GstPad* pad) {
  return static_cast<GstOmniTokenizer*>(gst_pad_get_element_private(pad));
}
}  // namespace

GstOmniTokenizer::GstOmniTokenizer(GstElement* element, GstElementClass* klass,
                                   GstOmniEngineSettings& settings, omni::Modality modality,
                                   GstOmniInput::Limits limits)
    : element_(element),
      engine_context_(element, settings),
      modality_(modality),
      src_(gst_omni_new_pad(klass, "src")),
      worker_(element, src_, *this),
      input_(element, gst_omni_new_pad(klass, "sink"), limits, worker_, *this) {
  gst_element_add_pad(element, input_.pad());
  gst_pad_set_element_private(src_, this);
  gst_pad_set_event_function(src_, GST_DEBUG_FUNCPTR(src_event));
  gst_pad_set_query_function(src_, GST_DEBUG_FUNCPTR(src_query));
  gst_pad_set_activatemode_function(src_, GST_DEBUG_FUNCPTR(src_activate_mode));
  gst_pad_use_fixed_caps(src_);
  gst_element_add_pad(element, src_);
}

// --- the task

void GstOmniTokenizer::begin() {
  engine_ = engine_context_.open([this] { return worker_.is_running(); });
  work_ = make_work(*engine_);
  input_.set_worker(GstOmniInput::Worker::ready);
  gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
}

void GstOmniTokenizer::end() {
  work_.reset();
  engine_.reset();
}

// An error was posted: upstream shall stop, downstream shall end.
void GstOmniTokenizer::failed() {
  input_.set_worker(GstOmniInput::Worker::failed);
  gst_pad_push_event(src_, gst_event_new_eos());
}

bool GstOmniTokenizer::step() {
  return input_.handle_next([this](GstOmniInput::Item& item) {
    if (item.is_event())
      handle_event(item.event());
    else if (input_.flow() != GST_FLOW_OK)
      return;  // nobody wants it
    else if (item.is_gap())
      handle_gap(item.time, item.duration);
    else
      work_->buffer(item.buffer(), item.time, emit_);
  });
}

void GstOmniTokenizer::handle_event(GstEvent* event) {
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START: {
      push_sticky(event);
      CapsPtr caps(gst_omni_tokens_caps(modality_, engine_->fingerprint(), engine_->hidden()));
      push_sticky(EventPtr(gst_event_new_caps(caps.get())).get());
      return;
    }
    case GST_EVENT_CAPS: {  // our own went behind the stream-start
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      work_->drain(emit_);
      work_->set_caps(caps);
      return;
    }
    case GST_EVENT_SEGMENT: {
      const GstSegment* segment = nullptr;
      gst_event_parse_segment(event, &segment);
      work_->drain(emit_);
      work_->reset();
      work_->set_segment(*segment);
      push_sticky(event);
      return;
    }
    case GST_EVENT_EOS:
      work_->drain(emit_);
      push_end(event);
      return;
    default:
      gst_pad_push_event(src_, gst_event_ref(event));
  }
}

void GstOmniTokenizer::handle_gap(GstClockTime time, GstClockTime duration) {
  if (!work_->gap(time, duration, emit_))
    gst_pad_push_event(src_, gst_event_new_gap(time, duration));
}

void GstOmniTokenizer::emit(omni::Segment&& segment) {
  check_cancelled();
  ++n_segments_;
  n_tokens_ += guint64(segment.n_tokens);
  const GstFlowReturn flow = gst_pad_push(src_, gst_omni_tokens_buffer(std::move(segment)));
  if (flow == GST_FLOW_NOT_NEGOTIATED) throw_refused();
  if (flow != GST_FLOW_OK) input_.set_flow(flow);
}

// GStreamer tells of CAPS that were refused only when a buffer follows.
void GstOmniTokenizer::throw_refused() {
  const PadPtr peer(gst_pad_get_peer(src_));
  CharPtr pad(peer ? gst_object_get_path_string(GST_OBJECT(peer.get())) : g_strdup("nobody"));
  const CapsPtr caps(gst_pad_get_current_caps(src_));
  CharPtr text(caps ? gst_caps_to_string(caps.get()) : g_strdup("none"));
  throw omni::Error(omni::ErrorCode::unsupported,
                    std::string(pad.get()) + " refuses these tokens: " + text.get());
}

// What stays on pads; where a flush was quicker it comes again.
void GstOmniTokenizer::push_sticky(GstEvent* event) {
  if (!gst_pad_push_event(src_, gst_event_ref(event))) check_cancelled();
}

// Behind the end nobody upstream hears that a push failed.
void GstOmniTokenizer::push_end(GstEvent* event) {
  const GstFlowReturn flow = input_.flow();
  if (flow == GST_FLOW_NOT_LINKED || flow < GST_FLOW_EOS) GST_ELEMENT_FLOW_ERROR(element_, flow);
  gst_pad_push_event(src_, gst_event_ref(event));
}

// --- pads

bool GstOmniTokenizer::query(GstQuery* query) {
  if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) return engine_context_.answer(query);
  gst_query_add_allocation_meta(
      query, modality_ == omni::Modality::audio ? GST_AUDIO_META_API_TYPE : GST_VIDEO_META_API_TYPE,
      nullptr);
  return true;
}

gboolean GstOmniTokenizer::src_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  if (GST_EVENT_TYPE(event) == GST_EVENT_RECONFIGURE) of(pad)->input_.relinked();
  if (of(pad)->take_upstream(event)) {
    gst_event_unref(event);
    return TRUE;
  }
  return gst_pad_event_default(pad, parent, event);
}

gboolean GstOmniTokenizer::src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  GstOmniTokenizer* self = of(pad);
  if (self->engine_context_.answer(query)) return TRUE;
  return GST_QUERY_TYPE(query) == GST_QUERY_LATENCY ? self->answer_latency(query)
                                                    : gst_pad_query_default(pad, parent, query);
}

bool GstOmniTokenizer::answer_latency(GstQuery* query) {
  if (!gst_pad_peer_query(input_.pad(), query)) return false;
  gboolean live = FALSE;
  GstClockTime min = 0, max = 0;
  gst_query_parse_latency(query, &live, &min, &max);
  if (live) {
    min += own_latency();
    max = GST_CLOCK_TIME_NONE;  // what waits too long is dropped, nothing upstream has to wait
  }
  gst_query_set_latency(query, live, min, max);
  return true;
}

gboolean GstOmniTokenizer::src_activate_mode(GstPad* pad, GstObject*, GstPadMode mode,
                                             gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  GstOmniTokenizer* self = of(pad);
  if (!active) {
    self->worker_.stop();
    return TRUE;
  }
  self->n_segments_ = self->n_tokens_ = 0;
  self->input_.set_worker(GstOmniInput::Worker::starting);
  return self->worker_.start();
}

// --- element

void GstOmniTokenizer::before_change(GstStateChange change) {
  if (change == GST_STATE_CHANGE_NULL_TO_READY) engine_context_.announce();
}

void GstOmniTokenizer::after_change(GstStateChange change, GstStateChangeReturn) {
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) engine_context_.forget();
}

void GstOmniTokenizer::property_set(const std::string& name) {
  engine_context_.settings_changed();
  if (name == "latency")
    gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
}

GstStructure* GstOmniTokenizer::stats() {
  const GstOmniInput::Counts counts = input_.counts();
  return gst_structure_new(
      "omni-tokenizer-stats", "compute", G_TYPE_STRING, engine_context_.compute().c_str(),
      "buffers-in", G_TYPE_UINT64, counts.in, "drops", G_TYPE_UINT64, counts.dropped, "jumps",
      G_TYPE_UINT64, counts.jumps, "segments", G_TYPE_UINT64, n_segments_.load(), "tokens",
      G_TYPE_UINT64, n_tokens_.load(), "queue-depth", G_TYPE_UINT, counts.queued, nullptr);
}
