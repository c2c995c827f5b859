#include "tokenizers/gstomnitokenizer.h"

#include <gst/video/video.h>

#include <algorithm>

#include "common/gstomniguard.h"
#include "tokens/gstomnitokens.h"

GST_DEBUG_CATEGORY(gst_omni_tokenizer_debug);
#define GST_CAT_DEFAULT gst_omni_tokenizer_debug

static GstElementClass* parent_class = nullptr;

static GstOmniTokenizerClass* class_of(GstOmniTokenizer* self) {
  return reinterpret_cast<GstOmniTokenizerClass*>(G_OBJECT_GET_CLASS(self));
}

// --- queue

static GstClockTime duration_of(GstBuffer* b) {
  return GST_BUFFER_DURATION_IS_VALID(b) ? GST_BUFFER_DURATION(b) : 0;
}

static bool is_full(GstOmniTokenizer* self) {
  const auto* s = self->state;
  return s->queued_buffers >= class_of(self)->max_buffers ||
         (s->queued_time > 0 && s->queued_time >= class_of(self)->max_time);
}

static void account(GstOmniTokenizer* self, GstMiniObject* object, int sign) {
  if (!GST_IS_BUFFER(object)) return;
  self->state->queued_buffers += guint(sign);
  self->state->queued_time += GstClockTime(sign) * duration_of(GST_BUFFER(object));
}

// A flush does not undo what a stream is: events that stay on pads stay in the queue.
static bool survives_flush(GstMiniObject* object) {
  return GST_IS_EVENT(object) &&
         (GST_EVENT_TYPE(object) == GST_EVENT_STREAM_START ||
          GST_EVENT_TYPE(object) == GST_EVENT_CAPS || GST_EVENT_TYPE(object) == GST_EVENT_TAG);
}

static void clear_queue(GstOmniTokenizer* self) {
  std::erase_if(self->state->queue,
                [](const MiniObjectPtr& o) { return !survives_flush(o.get()); });
  self->state->queued_buffers = 0;
  self->state->queued_time = 0;
}

// Takes the oldest buffer out. The caller holds the lock and posts the message once it does not.
static GstMessage* drop_oldest(GstOmniTokenizer* self) {
  auto* s = self->state;
  for (auto it = s->queue.begin(); it != s->queue.end(); ++it) {
    if (!GST_IS_BUFFER(it->get())) continue;
    auto* b = GST_BUFFER(it->get());
    ++s->n_dropped;
    const GstClockTime pts = GST_BUFFER_PTS(b);
    GstMessage* m = gst_message_new_qos(
        GST_OBJECT(self), s->live, gst_segment_to_running_time(&s->segment, GST_FORMAT_TIME, pts),
        gst_segment_to_stream_time(&s->segment, GST_FORMAT_TIME, pts), pts, GST_BUFFER_DURATION(b));
    gst_message_set_qos_stats(m, GST_FORMAT_BUFFERS, s->n_in - s->n_dropped, s->n_dropped);
    account(self, it->get(), -1);
    s->queue.erase(it);
    return m;
  }
  return nullptr;
}

static void find_out_if_live(GstOmniTokenizer* self) {
  {
    std::lock_guard guard(self->state->lock);
    if (self->state->live_known) return;
  }
  QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  if (gst_pad_peer_query(self->sink, query.get()))
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  std::lock_guard guard(self->state->lock);
  self->state->live = live;
  self->state->live_known = true;
}

static GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* raw) {
  auto* self = GST_OMNI_TOKENIZER(parent);
  auto* s = self->state;
  BufferPtr buffer(raw);
  return gst_omni_guard(self, GST_FLOW_ERROR, [&]() -> GstFlowReturn {
    find_out_if_live(self);
    std::vector<GstMessage*> messages;
    GstFlowReturn result = GST_FLOW_OK;
    {
      std::unique_lock lock(s->lock);
      const GstClockTime pts = GST_BUFFER_PTS(buffer.get());
      if (GST_CLOCK_TIME_IS_VALID(pts) && GST_CLOCK_TIME_IS_VALID(s->segment.stop) &&
          s->segment.format == GST_FORMAT_TIME && pts >= s->segment.stop)
        return s->flow;
      while (!s->ready && !s->live && !s->flushing && s->flow == GST_FLOW_OK) s->changed.wait(lock);
      if (!class_of(self)->accepts(self, buffer.get()))
        return s->flushing ? GST_FLOW_FLUSHING : s->flow;
      ++s->n_in;
      while (!s->flushing && s->flow == GST_FLOW_OK && is_full(self)) {
        if (s->live) {
          if (GstMessage* m = drop_oldest(self)) messages.push_back(m);
        } else {
          s->changed.wait(lock);
        }
      }
      result = s->flushing ? GST_FLOW_FLUSHING : s->flow;
      if (result == GST_FLOW_OK) {
        account(self, GST_MINI_OBJECT(buffer.get()), 1);
        s->queue.emplace_back(GST_MINI_OBJECT(buffer.release()));
      }
    }
    s->changed.notify_all();
    for (GstMessage* m : messages) gst_element_post_message(GST_ELEMENT(self), m);
    return result;
  });
}

// --- task

static void set_flow(GstOmniTokenizer* self, GstFlowReturn flow) {
  {
    std::lock_guard guard(self->state->lock);
    self->state->flow = flow;
  }
  self->state->changed.notify_all();
}

static void emit(GstOmniTokenizer* self, omni::Segment&& segment) {
  auto* s = self->state;
  {
    std::lock_guard guard(s->lock);
    ++s->n_segments;
    s->n_tokens += guint64(segment.n_tokens);
  }
  const GstFlowReturn flow = gst_pad_push(self->src, gst_omni_tokens_buffer(std::move(segment)));
  if (flow != GST_FLOW_OK) set_flow(self, flow);
}

static void handle_event(GstOmniTokenizer* self, EventPtr event,
                         const GstOmniTokenizerWork::Emit& out) {
  auto* s = self->state;
  switch (GST_EVENT_TYPE(event.get())) {
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event.get(), &caps);
      s->work->drain(out);
      s->work->set_caps(caps);
      return;  // our own caps went behind the stream-start
    }
    case GST_EVENT_GAP: {
      GstClockTime start = 0, duration = GST_CLOCK_TIME_NONE;
      gst_event_parse_gap(event.get(), &start, &duration);
      s->work->gap(start, duration, out);
      return;
    }
    case GST_EVENT_SEGMENT:
      s->work->drain(out);
      s->work->reset();
      break;
    case GST_EVENT_EOS:
      s->work->drain(out);
      break;
    case GST_EVENT_STREAM_START: {
      gst_pad_push_event(self->src, event.release());
      CapsPtr caps(gst_omni_tokens_caps(class_of(self)->modality, s->engine->fingerprint(),
                                        s->engine->hidden()));
      gst_pad_push_event(self->src, gst_event_new_caps(caps.get()));
      return;
    }
    default:
      break;
  }
  gst_pad_push_event(self->src, event.release());
}

static void loop(gpointer data) {
  auto* self = GST_OMNI_TOKENIZER(data);
  auto* s = self->state;
  const bool ok = gst_omni_guard(self, false, [&] {
    if (!s->engine) {
      auto keep_going = [s] {
        std::lock_guard guard(s->lock);
        return !s->flushing;
      };
      s->engine = s->engine_context.open(keep_going);
      s->work = class_of(self)->make_work(self, *s->engine);
      {
        std::lock_guard guard(s->lock);
        s->ready = true;
      }
      s->changed.notify_all();
      gst_element_post_message(GST_ELEMENT(self), gst_message_new_latency(GST_OBJECT(self)));
    }
    MiniObjectPtr object;
    {
      std::unique_lock lock(s->lock);
      s->changed.wait(lock, [&] { return s->flushing || !s->queue.empty(); });
      if (s->flushing) return false;
      object = std::move(s->queue.front());
      s->queue.pop_front();
      account(self, object.get(), -1);
    }
    s->changed.notify_all();
    const auto out = [self](omni::Segment&& segment) { emit(self, std::move(segment)); };
    if (GST_IS_BUFFER(object.get()))
      s->work->buffer(GST_BUFFER(object.get()), out);
    else
      handle_event(self, EventPtr(GST_EVENT(object.release())), out);
    return true;
  });
  if (ok) return;
  gst_pad_pause_task(self->src);
  bool failed = false;
  {
    std::lock_guard guard(s->lock);
    failed = !s->flushing;
  }
  if (failed) {  // an error was posted: let downstream end too
    set_flow(self, GST_FLOW_ERROR);
    gst_pad_push_event(self->src, gst_event_new_eos());
  }
}

// --- events and queries

static void set_flushing(GstOmniTokenizer* self, bool flushing) {
  {
    std::lock_guard guard(self->state->lock);
    self->state->flushing = flushing;
    if (!flushing) {
      clear_queue(self);
      self->state->flow = GST_FLOW_OK;
      class_of(self)->restart(self);
    }
  }
  self->state->changed.notify_all();
}

static gboolean enqueue_event(GstOmniTokenizer* self, GstEvent* event) {
  auto* s = self->state;
  {
    std::lock_guard guard(s->lock);
    if (s->flushing) {
      gst_event_unref(event);
      return FALSE;
    }
    if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT) {
      gst_event_copy_segment(event, &s->segment);
      class_of(self)->restart(self);
    }
    if (GST_EVENT_TYPE(event) == GST_EVENT_STREAM_START) {
      s->live_known = false;
      if (s->flow == GST_FLOW_EOS) s->flow = GST_FLOW_OK;
    }
    s->queue.emplace_back(GST_MINI_OBJECT(event));
  }
  s->changed.notify_all();
  return TRUE;
}

static gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  auto* self = GST_OMNI_TOKENIZER(parent);
  auto* s = self->state;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START:
      set_flushing(self, true);
      return gst_pad_push_event(self->src, event);
    case GST_EVENT_FLUSH_STOP: {
      gst_pad_pause_task(self->src);  // waits for a tower that is computing
      if (s->work) s->work->reset();
      set_flushing(self, false);
      const gboolean ok = gst_pad_push_event(self->src, event);
      gst_pad_start_task(self->src, loop, self, nullptr);
      return ok;
    }
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      const bool fine = gst_omni_guard(self, false, [&] {
        class_of(self)->check_caps(self, caps);
        return true;
      });
      if (!fine) {
        gst_event_unref(event);
        set_flow(self, GST_FLOW_NOT_NEGOTIATED);
        return FALSE;
      }
      return enqueue_event(self, event);
    }
    default:
      return GST_EVENT_IS_SERIALIZED(event) ? enqueue_event(self, event)
                                            : gst_pad_event_default(pad, parent, event);
  }
}

static gboolean sink_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto* self = GST_OMNI_TOKENIZER(parent);
  if (class_of(self)->query && class_of(self)->query(self, query)) return TRUE;
  if (GST_QUERY_TYPE(query) == GST_QUERY_ALLOCATION) {
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
    return TRUE;
  }
  return self->state->engine_context.answer(query) || gst_pad_query_default(pad, parent, query);
}

static gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto* self = GST_OMNI_TOKENIZER(parent);
  if (self->state->engine_context.answer(query)) return TRUE;
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  if (!gst_pad_peer_query(self->sink, query)) return FALSE;
  gboolean live = FALSE;
  GstClockTime min = 0, max = 0;
  gst_query_parse_latency(query, &live, &min, &max);
  if (live) {
    min += class_of(self)->own_latency(self);
    max = GST_CLOCK_TIME_NONE;  // what waits too long is dropped, nothing upstream has to wait
  }
  gst_query_set_latency(query, live, min, max);
  return TRUE;
}

static gboolean src_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode,
                                  gboolean active) {
  auto* self = GST_OMNI_TOKENIZER(parent);
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  if (active) {
    self->state->queue.clear();  // nobody else looks at it while the pads are inactive
    set_flushing(self, false);
    return gst_pad_start_task(pad, loop, self, nullptr);
  }
  set_flushing(self, true);
  return gst_pad_stop_task(pad);
}

static gboolean sink_activate_mode(GstPad*, GstObject* parent, GstPadMode mode, gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  if (!active) set_flushing(GST_OMNI_TOKENIZER(parent), true);
  return TRUE;
}

// --- element

static GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  auto* self = GST_OMNI_TOKENIZER(element);
  if (transition == GST_STATE_CHANGE_NULL_TO_READY) self->state->engine_context.announce();
  const GstStateChangeReturn result = parent_class->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    auto* s = self->state;
    s->work.reset();
    s->engine.reset();
    std::lock_guard guard(s->lock);
    s->queue.clear();
    clear_queue(self);
    s->live_known = s->ready = false;
    s->n_in = s->n_dropped = s->n_segments = s->n_tokens = 0;
    gst_segment_init(&s->segment, GST_FORMAT_UNDEFINED);
  }
  return result;
}

static void set_context(GstElement* element, GstContext* context) {
  GST_OMNI_TOKENIZER(element)->state->engine_context.take(context);
  parent_class->set_context(element, context);
}

static void finalize(GObject* object) {
  delete GST_OMNI_TOKENIZER(object)->state;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

static void class_init(gpointer g_class, gpointer) {
  GST_DEBUG_CATEGORY_INIT(gst_omni_tokenizer_debug, "omnitokenizer", 0, "tokenizers of gst-omni");
  parent_class = static_cast<GstElementClass*>(g_type_class_peek_parent(g_class));
  G_OBJECT_CLASS(g_class)->finalize = finalize;
  GST_ELEMENT_CLASS(g_class)->change_state = change_state;
  GST_ELEMENT_CLASS(g_class)->set_context = set_context;
}

GType gst_omni_tokenizer_get_type() {
  static const GType type = [] {
    const GTypeInfo info = {
        sizeof(GstOmniTokenizerClass), nullptr, nullptr, class_init, nullptr, nullptr,
        sizeof(GstOmniTokenizer),      0,       nullptr, nullptr};
    return g_type_register_static(GST_TYPE_ELEMENT, "GstOmniTokenizer", &info,
                                  G_TYPE_FLAG_ABSTRACT);
  }();
  return type;
}

void gst_omni_tokenizer_setup(GstOmniTokenizer* self, GstOmniEngineSettings& settings) {
  self->state = new GstOmniTokenizer::State(self, settings);
  gst_segment_init(&self->state->segment, GST_FORMAT_UNDEFINED);
  GstElementClass* klass = GST_ELEMENT_GET_CLASS(self);
  self->sink = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "sink"), "sink");
  gst_pad_set_chain_function(self->sink, GST_DEBUG_FUNCPTR(chain));
  gst_pad_set_event_function(self->sink, GST_DEBUG_FUNCPTR(sink_event));
  gst_pad_set_query_function(self->sink, GST_DEBUG_FUNCPTR(sink_query));
  gst_pad_set_activatemode_function(self->sink, GST_DEBUG_FUNCPTR(sink_activate_mode));
  gst_element_add_pad(GST_ELEMENT(self), self->sink);
  self->src = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "src"), "src");
  gst_pad_set_query_function(self->src, GST_DEBUG_FUNCPTR(src_query));
  gst_pad_set_activatemode_function(self->src, GST_DEBUG_FUNCPTR(src_activate_mode));
  gst_pad_use_fixed_caps(self->src);
  gst_element_add_pad(GST_ELEMENT(self), self->src);
}

void gst_omni_tokenizer_class_setup(GstOmniTokenizerClass* klass, const char* sink_caps,
                                    guint stats_id) {
  auto* element = GST_ELEMENT_CLASS(klass);
  CapsPtr in(gst_caps_from_string(sink_caps)), out(gst_caps_from_string(GST_OMNI_TOKENS_CAPS));
  gst_element_class_add_pad_template(
      element, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, in.get()));
  gst_element_class_add_pad_template(
      element, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, out.get()));
  g_object_class_install_property(
      G_OBJECT_CLASS(klass), stats_id,
      g_param_spec_boxed("stats", "Statistics", "What went in, came out and was dropped",
                         GST_TYPE_STRUCTURE,
                         GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

GstStructure* gst_omni_tokenizer_stats(GstOmniTokenizer* self) {
  auto* s = self->state;
  std::lock_guard guard(s->lock);
  return gst_structure_new("omni-tokenizer-stats", "compute", G_TYPE_STRING,
                           s->engine_context.compute().c_str(), "buffers-in", G_TYPE_UINT64,
                           s->n_in, "drops", G_TYPE_UINT64, s->n_dropped, "segments", G_TYPE_UINT64,
                           s->n_segments, "tokens", G_TYPE_UINT64, s->n_tokens, "queue-depth",
                           G_TYPE_UINT, s->queued_buffers, nullptr);
}
