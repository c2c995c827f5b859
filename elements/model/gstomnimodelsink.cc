// omnimodel's sink pads: tokens and questions into the session, flushes, ends.
#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "model/gstomnimodelstate.h"
#include "streams/gstomnitimestamps.h"
#include "tokens/gstomnitokens.h"
#include "tokens/gstomniturns.h"

namespace gst_omni_model {

// Whether a flush of this pad is one of the element: of a stream of media, or of questions where
// they are all there is. Under the lock.
static bool flushes_all(const State& s, const Input& in) {
  return !in.is_prompt ||
         std::all_of(s.inputs.begin(), s.inputs.end(), [](const Input* i) { return i->is_prompt; });
}

bool State::is_in_flush() const {
  return std::any_of(inputs.begin(), inputs.end(),
                     [this](const Input* in) { return in->in_flush && flushes_all(*this, *in); });
}

namespace {

constexpr GstClockTime kLatest = G_MAXINT64 / 4;  // of GAPs: sums cannot overflow

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

// Under the lock. The engine may be there later than the caps.
void check_checkpoint(const State& s, const Input& in) {
  if (!s.engine || in.checkpoint.empty() || in.checkpoint == s.engine->fingerprint()) return;
  throw omni::Error(omni::ErrorCode::unsupported, "tokens of checkpoint " + in.checkpoint +
                                                      " for the model " + s.engine->fingerprint() +
                                                      ": set model-path on one element only");
}

// A piece of media that had to make room for a newer one.
void post_dropped(GstOmniModel* self, Input& in, const omni::TimeSpan& dropped) {
  State& s = state(self);
  GstMessage* m = nullptr;
  {
    std::lock_guard guard(s.lock);
    ++in.n_dropped;
    const auto time = GstClockTime(dropped.start);
    const guint64 pts = gst_segment_position_from_running_time(&in.segment, GST_FORMAT_TIME, time);
    m = gst_message_new_qos(GST_OBJECT(self), TRUE, time,
                            gst_segment_to_stream_time(&in.segment, GST_FORMAT_TIME, pts), pts,
                            GstClockTime(dropped.duration));
    gst_message_set_qos_stats(m, GST_FORMAT_BUFFERS, in.n_buffers - in.n_dropped, in.n_dropped);
  }
  gst_element_post_message(GST_ELEMENT(self), m);
}

// Puts `input` into the session once there is one, it has room, and no flush is under way. Waits
// for all of this; whatever ends it wakes.
GstFlowReturn put(GstOmniModel* self, Input& in, omni::Input input) {
  State& s = state(self);
  std::unique_lock lock(s.lock);
  for (;;) {
    s.changed.wait(lock, [&] {
      return in.flushing || s.stopping || outputs_flow(s) != GST_FLOW_OK ||
             (s.session && !s.is_in_flush());
    });
    if (in.flushing || s.stopping) return GST_FLOW_FLUSHING;
    const GstFlowReturn flow = outputs_flow(s);
    if (flow != GST_FLOW_OK) return flow;
    check_checkpoint(s, in);
    const auto session = s.session;
    const guint64 n_rooms = s.n_rooms;
    lock.unlock();
    const omni::Admission admission = session->put(std::move(input));
    if (admission.dropped) post_dropped(self, in, *admission.dropped);
    lock.lock();
    if (admission.accepted) return outputs_flow(s);
    s.changed.wait(lock, [&] {
      return in.flushing || s.stopping || outputs_flow(s) != GST_FLOW_OK || s.n_rooms != n_rooms;
    });
  }
}

GstFlowReturn chain_prompt(GstOmniModel* self, Input& in, BufferPtr buffer) {
  State& s = state(self);
  GstMapInfo map;
  if (!gst_buffer_map(buffer.get(), &map, GST_MAP_READ))
    throw omni::Error(omni::ErrorCode::corrupt_file, "a prompt buffer that cannot be read");
  omni::UserText user{std::string(reinterpret_cast<const char*>(map.data), map.size)};
  gst_buffer_unmap(buffer.get(), &map);
  std::string& text = user.text;
  while (!text.empty() && (text.back() == '\0' || text.back() == '\n' || text.back() == '\r'))
    text.pop_back();
  {
    std::lock_guard guard(s.lock);
    if (in.flushing) return GST_FLOW_FLUSHING;
    if (text.empty()) return outputs_flow(s);
    const GstClockTime time = GST_BUFFER_PTS_IS_VALID(buffer.get())
                                  ? gst_segment_to_running_time(&in.segment, GST_FORMAT_TIME,
                                                                GST_BUFFER_PTS(buffer.get()))
                                  : 0;
    if (GST_CLOCK_TIME_IS_VALID(time)) user.time = omni::Nanoseconds(time);
  }
  return put(self, in, std::move(user));
}

GstFlowReturn chain_tokens(GstOmniModel* self, Input& in, BufferPtr buffer) {
  State& s = state(self);
  GstClockTime time = 0;
  int hidden = 0;
  {
    std::lock_guard guard(s.lock);
    if (!in.has_times) return GST_FLOW_ERROR;
    time = gst_segment_to_running_time(&in.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer.get()));
    if (!GST_CLOCK_TIME_IS_VALID(time)) return outputs_flow(s);  // outside the segment
    if (in.hidden == 0) return GST_FLOW_NOT_NEGOTIATED;
    hidden = in.hidden;
    ++in.n_buffers;
  }
  omni::Segment segment = gst_omni_tokens_segment(buffer.get(), in.modality, hidden);
  segment.start = omni::Nanoseconds(time);
  buffer.reset();
  return put(self, in, std::move(segment));
}

GstFlowReturn chain(GstPad* pad, GstObject* parent, GstBuffer* buffer) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  Input& in = *input_of(pad);
  BufferPtr owned(buffer);
  return gst_omni_guard(self, GST_FLOW_ERROR, [&] {
    return in.is_prompt ? chain_prompt(self, in, std::move(owned))
                        : chain_tokens(self, in, std::move(owned));
  });
}

// Under the lock.
void flush_session(State& s) {
  if (s.session) s.epoch = s.session->flush();
}

void begin_flush(GstOmniModel* self, Input& in, GstEvent* event) {
  State& s = state(self);
  Pads outputs;
  {
    std::lock_guard guard(s.lock);
    const bool was_in_flush = s.is_in_flush();
    in.flushing = in.in_flush = true;
    if (flushes_all(s, in)) {
      flush_session(s);
      if (!was_in_flush) outputs = s.output_pads();
    }
  }
  s.changed.notify_all();
  for (const PadPtr& pad : outputs) output_of(pad.get())->flush_start(gst_event_ref(event));
}

// The flush of this pad is over; that of the element, if it was the last. Under the lock.
Pads end_flush(State& s, Input& in) {
  const bool was_in_flush = s.is_in_flush();
  in.in_flush = false;
  if (!was_in_flush || s.is_in_flush()) return {};
  flush_session(s);
  return s.output_pads();
}

void finish_flush(GstOmniModel* self, Input& in, GstEvent* event) {
  State& s = state(self);
  Pads outputs;
  {
    std::lock_guard guard(s.lock);
    in.eos = false;
    in.forget_segment();
    outputs = end_flush(s, in);
  }
  for (const PadPtr& pad : outputs) output_of(pad.get())->flush_stop(gst_event_ref(event));
  {
    std::lock_guard guard(s.lock);
    in.flushing = false;
  }
  s.changed.notify_all();
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
  in.checkpoint = checkpoint;
  in.hidden = hidden;
  check_checkpoint(s, in);
  return true;
}

// Questions need no times; tokens without are an error, once: an event that was refused comes again
// with the next buffer.
bool take_segment(GstOmniModel* self, Input& in, GstEvent* event) {
  const GstSegment segment = gst_omni_segment_of(event);
  const bool has_times = segment.format == GST_FORMAT_TIME;
  std::lock_guard guard(state(self).lock);
  if (has_times)
    in.segment = segment;
  else
    gst_segment_init(&in.segment, GST_FORMAT_TIME);
  const bool had_times = std::exchange(in.has_times, has_times || in.is_prompt);
  if (had_times && !in.has_times)
    throw omni::Error(omni::ErrorCode::unsupported,
                      "tokens without times: their segment is not in time format");
  return in.has_times;
}

void find_out_if_live(GstOmniModel* self) {
  bool live = false;
  GstClockTime min = 0;
  if (query_upstream(self, live, min)) update_session(self);
}

// Under the lock.
void put_end(State& s, const Input& in) {
  if (!s.session) return;
  const bool has_ended =
      !in.is_prompt || std::all_of(s.inputs.begin(), s.inputs.end(),
                                   [](const Input* i) { return !i->is_prompt || i->eos; });
  if (has_ended) s.session->put(omni::TrackEnded{in.track()});
}

omni::Nanoseconds running_time(const Input& in, guint64 time) {
  return omni::Nanoseconds(gst_segment_to_running_time(&in.segment, GST_FORMAT_TIME, time));
}

// Of time in which nothing comes.
bool put_gap(GstOmniModel* self, Input& in, GstEvent* event) {
  State& s = state(self);
  GstClockTime start = 0, duration = 0;
  gst_event_parse_gap(event, &start, &duration);
  if (in.is_prompt || start > kLatest) return true;
  omni::Segment nothing;
  nothing.modality = in.modality;
  {
    std::lock_guard guard(s.lock);
    guint64 begin = start, end = start;
    if (GST_CLOCK_TIME_IS_VALID(duration)) end += std::min(duration, kLatest);
    if (!gst_segment_clip(&in.segment, GST_FORMAT_TIME, begin, end, &begin, &end)) return true;
    // in reverse it is the end that comes first
    const auto [first, last] = std::minmax({running_time(in, begin), running_time(in, end)});
    nothing.start = first;
    nothing.duration = last - first;
  }
  return put(self, in, std::move(nothing)) == GST_FLOW_OK;
}

// Whether the streams that there are upstream include one for this pad.
bool is_in_collection(const Input& in, GstEvent* event) {
  GstStreamCollection* streams = nullptr;
  gst_event_parse_stream_collection(event, &streams);
  const GstStreamType type =
      in.modality == omni::Modality::audio ? GST_STREAM_TYPE_AUDIO : GST_STREAM_TYPE_VIDEO;
  bool found = in.is_prompt;
  for (guint i = 0; i < gst_stream_collection_get_size(streams); ++i)
    found |= gst_stream_get_stream_type(gst_stream_collection_get_stream(streams, i)) & type;
  gst_object_unref(streams);
  return found;
}

void hear(State& s, const Input& in, GstEvent* event) {
  std::lock_guard guard(s.lock);
  if (in.track() != omni::Track::audio || in.flushing || !s.session) return;
  if (auto voice = gst_omni_parse_voice(event, in.segment)) s.session->put(std::move(*voice));
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  State& s = state(self);
  Input& in = *input_of(pad);
  EventPtr owned(event);
  gboolean ok = TRUE;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START:
      begin_flush(self, in, event);
      return TRUE;
    case GST_EVENT_FLUSH_STOP:
      finish_flush(self, in, event);
      return TRUE;
    case GST_EVENT_CAPS:
      ok = gst_omni_guard(self, FALSE, [&]() -> gboolean {
        GstCaps* caps = nullptr;
        gst_event_parse_caps(event, &caps);
        return take_caps(self, in, caps);
      });
      tell_of_turns(self);
      break;
    case GST_EVENT_SEGMENT:
      find_out_if_live(self);
      ok = gst_omni_guard(self, FALSE, [&]() -> gboolean { return take_segment(self, in, event); });
      break;
    case GST_EVENT_GAP:
      ok = gst_omni_guard(self, FALSE, [&]() -> gboolean { return put_gap(self, in, event); });
      break;
    case GST_EVENT_STREAM_COLLECTION:
      if (is_in_collection(in, event)) break;
      [[fallthrough]];
    case GST_EVENT_EOS: {
      std::lock_guard guard(s.lock);
      in.eos = true;
      put_end(s, in);
      break;
    }
    case GST_EVENT_STREAM_START: {
      std::lock_guard guard(s.lock);
      in.eos = false;
      in.begun = true;
      if (s.session) s.session->put(omni::TrackBegan{in.track()});
      break;
    }
    default:
      if (is_interrupt_event(event)) interrupt(self);
      hear(s, in, event);
      // Other serialized events describe tokens that stop here; upstream ones do not come this way.
      break;
  }
  return ok;
}

bool wants_turns(State& s) {
  std::lock_guard guard(s.settings.lock);
  return s.settings.trigger == int(omni::Trigger::turn);
}

gboolean sink_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  State& s = state(parent);
  return s.engine_context.answer(query) ||
         (GST_QUERY_TYPE(query) == GST_QUERY_CUSTOM &&
          gst_omni_answer_turns_wanted(query, wants_turns(s))) ||
         gst_pad_query_default(pad, parent, query);
}

gboolean sink_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode, gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  State& s = state(parent);
  Pads outputs;
  {
    std::lock_guard guard(s.lock);
    Input& in = *input_of(pad);
    outputs = end_flush(s, in);  // its FLUSH_STOP will not come any more
    in.flushing = !active;
    in.begun = in.eos = false;
    in.forget_segment();
  }
  for (const PadPtr& output : outputs)
    output_of(output.get())->flush_stop(gst_event_new_flush_stop(TRUE));
  s.changed.notify_all();
  return TRUE;
}

}  // namespace

void tell_of_turns(GstOmniModel* self) {
  State& s = state(self);
  const bool wanted = wants_turns(s);
  Pads pads;
  {
    std::lock_guard guard(s.lock);
    for (const Input* in : s.inputs)
      if (in->track() == omni::Track::audio) pads.emplace_back(GST_PAD(gst_object_ref(in->pad)));
  }
  for (const PadPtr& pad : pads)
    gst_pad_push_event(pad.get(), gst_omni_turns_wanted(wanted).release());
}

GstPad* add_input(GstOmniModel* self, GstPadTemplate* templ, const std::string& name,
                  bool is_prompt, omni::Modality modality) {
  State& s = state(self);
  GstPad* pad = gst_pad_new_from_template(templ, name.c_str());
  {
    auto input = std::make_unique<Input>();
    input->pad = pad;
    input->is_prompt = is_prompt;
    input->modality = modality;
    input->forget_segment();
    std::lock_guard guard(s.lock);
    s.inputs.push_back(give_to_pad(pad, std::move(input)));
  }
  gst_pad_set_chain_function(pad, GST_DEBUG_FUNCPTR(chain));
  gst_pad_set_event_function(pad, GST_DEBUG_FUNCPTR(sink_event));
  gst_pad_set_query_function(pad, GST_DEBUG_FUNCPTR(sink_query));
  gst_pad_set_activatemode_function(pad, GST_DEBUG_FUNCPTR(sink_activate_mode));
  gst_element_add_pad(GST_ELEMENT(self), pad);
  update_session(self);
  return pad;
}

void remove_input(GstOmniModel* self, Input& in) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    in.eos = true;
    put_end(s, in);
    std::erase(s.inputs, &in);
  }
  s.changed.notify_all();
  update_session(self);
}

}  // namespace gst_omni_model
