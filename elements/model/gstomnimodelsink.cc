// omnimodel's sink pads: tokens into the pads' queues, prompts into the questions, flushes, ends.
// The worker takes them from there.
#include <algorithm>

#include "common/gstomniguard.h"
#include "model/gstomnimodelstate.h"
#include "tokens/gstomnitokens.h"

namespace gst_omni_model {
namespace {

GstFlowReturn outputs_flow(State& s) {  // under the lock
  if (s.failed) return GST_FLOW_ERROR;
  size_t ended = 0;
  for (const auto& o : s.outputs) {
    const GstFlowReturn flow = o->flow();
    if (flow == GST_FLOW_ERROR || flow == GST_FLOW_NOT_NEGOTIATED) return flow;
    ended += flow == GST_FLOW_EOS;
  }
  return !s.outputs.empty() && ended == s.outputs.size() ? GST_FLOW_EOS : GST_FLOW_OK;
}

GstFlowReturn chain_prompt(GstOmniModel* self, Input& in, BufferPtr buffer) {
  State& s = state(self);
  GstMapInfo map;
  if (!gst_buffer_map(buffer.get(), &map, GST_MAP_READ))
    throw omni::Error(omni::ErrorCode::corrupt_file, "a prompt buffer that cannot be read");
  std::string text(reinterpret_cast<const char*>(map.data), map.size);
  gst_buffer_unmap(buffer.get(), &map);
  while (!text.empty() && (text.back() == '\0' || text.back() == '\n' || text.back() == '\r'))
    text.pop_back();
  bool live = false;
  {
    std::lock_guard guard(s.lock);
    live = s.live;
  }
  if (live && !text.empty()) interrupt(self, true);
  std::lock_guard guard(s.lock);
  if (in.flushing) return GST_FLOW_FLUSHING;
  if (text.empty()) return outputs_flow(s);
  GstClockTime time =
      GST_BUFFER_PTS_IS_VALID(buffer.get())
          ? gst_segment_to_running_time(&in.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer.get()))
          : 0;
  s.questions.push_back({std::move(text), GST_CLOCK_TIME_IS_VALID(time) ? time : 0});
  return outputs_flow(s);
}

GstFlowReturn chain_tokens(GstOmniModel* self, Input& in, BufferPtr buffer) {
  State& s = state(self);
  std::unique_lock lock(s.lock);
  const GstClockTime time =
      gst_segment_to_running_time(&in.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer.get()));
  if (!GST_CLOCK_TIME_IS_VALID(time)) return outputs_flow(s);  // outside the segment
  if (in.hidden == 0) return GST_FLOW_NOT_NEGOTIATED;
  while (!in.flushing && outputs_flow(s) == GST_FLOW_OK && in.queue.size() >= kMostQueued) {
    if (s.live) {
      in.queue.pop_front();
      ++s.n_dropped;
    } else {
      s.changed.wait(lock);
    }
  }
  if (in.flushing) return GST_FLOW_FLUSHING;
  const GstFlowReturn flow = outputs_flow(s);
  if (flow == GST_FLOW_OK) in.queue.push_back({std::move(buffer), time});
  return flow;
}

GstFlowReturn chain(GstPad* pad, GstObject* parent, GstBuffer* buffer) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  Input& in = *input_of(pad);
  BufferPtr owned(buffer);
  const GstFlowReturn flow = gst_omni_guard(self, GST_FLOW_ERROR, [&] {
    return in.is_prompt ? chain_prompt(self, in, std::move(owned))
                        : chain_tokens(self, in, std::move(owned));
  });
  state(self).tell_worker();
  return flow;
}

// Whether a flush of this pad is one of the element: of a stream of media, or of questions where
// they are all there is. Under the lock.
bool flushes_all(const State& s, const Input& in) {
  return !in.is_prompt ||
         std::all_of(s.inputs.begin(), s.inputs.end(), [](const Input& i) { return i.is_prompt; });
}

void flush_start(GstOmniModel* self, Input& in, GstEvent* event) {
  State& s = state(self);
  bool first = false;
  {
    std::lock_guard guard(s.lock);
    in.flushing = true;
    if (flushes_all(s, in)) {
      first = s.n_flushing++ == 0;
      if (s.session) s.session->cancel();
    }
  }
  s.tell_worker();
  std::vector<GstOmniOutput*> outputs;
  if (first) for_outputs(s, [&](GstOmniOutput& o) { outputs.push_back(&o); });
  for (GstOmniOutput* o : outputs) o->flush_start(gst_event_ref(event));
  gst_event_unref(event);
}

void flush_stop(GstOmniModel* self, Input& in, GstEvent* event) {
  State& s = state(self);
  bool last = false;
  {
    std::lock_guard guard(s.lock);
    in.queue.clear();
    in.eos = in.eos_told = false;
    in.reached = 0;
    gst_segment_init(&in.segment, GST_FORMAT_TIME);
    in.flushing = false;
    if (flushes_all(s, in) && s.n_flushing > 0) last = --s.n_flushing == 0;
    if (last) {
      s.questions.clear();
      s.reset_pending = true;
    }
  }
  std::vector<GstOmniOutput*> outputs;
  if (last) for_outputs(s, [&](GstOmniOutput& o) { outputs.push_back(&o); });
  for (GstOmniOutput* o : outputs) o->flush_stop(gst_event_ref(event));
  gst_event_unref(event);
  s.tell_worker();
}

bool take_caps(GstOmniModel* self, Input& in, GstCaps* caps) {
  State& s = state(self);
  if (in.is_prompt) return true;
  omni::Modality modality;
  std::string checkpoint;
  int hidden = 0;
  if (!gst_omni_tokens_parse_caps(caps, modality, checkpoint, hidden)) {
    CharPtr text(gst_caps_to_string(caps));
    throw omni::Error(omni::ErrorCode::unsupported,
                      std::string("caps that describe no tokens: ") + text.get());
  }
  if ((modality == omni::Modality::audio) != (in.modality == omni::Modality::audio))
    throw omni::Error(omni::ErrorCode::unsupported,
                      std::string("tokens of the wrong modality on ") + GST_PAD_NAME(in.pad));
  std::lock_guard guard(s.lock);
  if (s.engine && !checkpoint.empty() && checkpoint != s.engine->fingerprint())
    throw omni::Error(omni::ErrorCode::unsupported,
                      "tokens of checkpoint " + checkpoint + " for the model " +
                          s.engine->fingerprint() + ": set model-path on one element only");
  in.hidden = hidden;
  return true;
}

void find_out_if_live(GstOmniModel* self) {
  bool live = false;
  GstClockTime min = 0;
  upstream_latency(self, live, min);
  std::lock_guard guard(state(self).lock);
  state(self).live = live;
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  State& s = state(self);
  Input& in = *input_of(pad);
  EventPtr owned(event);
  gboolean ok = TRUE;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START:
      flush_start(self, in, owned.release());
      return TRUE;
    case GST_EVENT_FLUSH_STOP:
      flush_stop(self, in, owned.release());
      return TRUE;
    case GST_EVENT_CAPS:
      ok = gst_omni_guard(self, FALSE, [&]() -> gboolean {
        GstCaps* caps = nullptr;
        gst_event_parse_caps(event, &caps);
        return take_caps(self, in, caps);
      });
      break;
    case GST_EVENT_SEGMENT: {
      find_out_if_live(self);
      std::lock_guard guard(s.lock);
      gst_event_copy_segment(event, &in.segment);
      break;
    }
    case GST_EVENT_EOS: {
      std::lock_guard guard(s.lock);
      in.eos = true;
      break;
    }
    case GST_EVENT_STREAM_START: {
      std::lock_guard guard(s.lock);
      in.eos = in.eos_told = false;
      s.eos_sent = false;
      break;
    }
    default:
      if (is_interrupt_event(event)) interrupt(self, false);
      // Other serialized events describe tokens that stop here; upstream ones do not come this way.
      break;
  }
  s.tell_worker();
  return ok;
}

gboolean sink_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  return state(parent).engine_context.answer(query) || gst_pad_query_default(pad, parent, query);
}

gboolean sink_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode, gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  State& s = state(parent);
  {
    std::lock_guard guard(s.lock);
    Input& in = *input_of(pad);
    in.flushing = !active;
    in.queue.clear();
    in.eos = in.eos_told = false;
    in.reached = 0;
    gst_segment_init(&in.segment, GST_FORMAT_TIME);
  }
  s.tell_worker();
  return TRUE;
}

}  // namespace

GstPad* add_input(GstOmniModel* self, GstPadTemplate* templ, const std::string& name,
                  bool is_prompt, omni::Modality modality) {
  State& s = state(self);
  GstPad* pad = gst_pad_new_from_template(templ, name.c_str());
  {
    std::lock_guard guard(s.lock);
    Input& in = s.inputs.emplace_back();
    in.pad = pad;
    in.is_prompt = is_prompt;
    in.modality = modality;
    gst_segment_init(&in.segment, GST_FORMAT_TIME);
    gst_pad_set_element_private(pad, &in);
  }
  gst_pad_set_chain_function(pad, GST_DEBUG_FUNCPTR(chain));
  gst_pad_set_event_function(pad, GST_DEBUG_FUNCPTR(sink_event));
  gst_pad_set_query_function(pad, GST_DEBUG_FUNCPTR(sink_query));
  gst_pad_set_activatemode_function(pad, GST_DEBUG_FUNCPTR(sink_activate_mode));
  gst_element_add_pad(GST_ELEMENT(self), pad);
  return pad;
}

}  // namespace gst_omni_model
