/**
 * element-omnimodel:
 *
 * Watches and listens: takes the tokens of one video and one audio stream, lays them out in running
 * time, keeps the last `context-duration` of them as context, and answers questions about it as
 * text. Which question is asked when is the business of `trigger`; a text buffer on a `prompt_%u`
 * pad and the action signal `ask` are always answered. Each answer is also posted as an element
 * message "omni/answer".
 *
 * A `spatial_%u` pad asks `spatial-prompt` at the same moments and gives what the answer says is
 * where: one line of JSON for each answer (docs/spatial.md), stamped with the last frame that the
 * model saw. Objects in answers to other questions leave there too.
 *
 * A text buffer's PTS and duration are those of the media that it is about. Latency of a live
 * stream = that of the slowest token stream + a chunk of the family, 2 s (where only video comes:
 * sound already waits for it) + `interval` (where that is the trigger) + `latency` (time allowed
 * for the answer). Live, a standing question whose answer would come later than this and `lateness`
 * allow is not asked where newer media are there already, and token buffers that have no room make
 * room, the oldest first: QoS messages tell of each, and a warning when it grows worse.
 *
 * With `trigger=event` it watches: the standing question is asked about every chunk, but only an
 * answer that is not what the one before was leaves, as text, objects, message and (`speak-on`)
 * speech; where nothing does, GAPs keep the time going. Answers bound to a `json-schema` are
 * compared by value, objects by label and place (boxes that cover each other by half), others in a
 * normal form (case, white space and closing punctuation do not count); the answer `nothing-new` is
 * never told. The first answer is what later ones are compared with. The text begins at the frame
 * from which on it is so: of the chunk's frames the first behind which the model says the same, to
 * a pair of frames where the family sees pairs (`frame` of "omni/answer"; objects are those on that
 * frame). With `remember` only what was told is a turn.
 *
 * With `remember` the model is told what was asked before, text or speech, and what it answered:
 * each question ends a turn of the conversation, which leaves the context as a whole when all its
 * media are older than `context-duration`, or to keep it to `context-tokens`. Of a spoken answer
 * that was cut, the words that had been played are kept. Answers to `spatial-prompt` are not turns.
 * A flush and the signal `reset` forget them. The property `turns` has them while it runs, `stats`
 * how many there were last.
 *
 * The signal `save-session` writes the context to a file (keys and values, turns, where everything
 * stands) with all that came before it, and `load-session`, or the property of that name from the
 * beginning, goes on from one as if nothing had come between: with the media that follow, or with
 * those of another clock, which come right behind (what had come of one stream and still waited for
 * the other is left out then). An element message "omni/session" tells of each. A file of another
 * checkpoint, `precision` or `system-prompt`, of a session that remembers or speaks where this one
 * does not, and one that is damaged, is an error; one that cannot be written, and what a flush
 * or `reset` comes before, a warning. A flush and the signal `reset` forget what was loaded, too.
 *
 * With the property `tools` (a JSON list of functions in OpenAI's form) answers may call functions,
 * where the family's template says how: Qwen3-VL and Qwen3-Omni; setting it for another is an
 * error. What follows the model's mark of a call is held to the names of the functions and the
 * schemas of their parameters (as `json-schema` is), so that each call parses; `max-tokens` counts
 * the calls of an answer, too. A call leaves as an element message "omni/tool-call", as the signal
 * `tool-call` and on `tool_%u` pads (application/json: a buffer a call, with the time that the
 * answer's text has) with the same `id`, `name`, `arguments` and `turn`; its text leaves nowhere
 * and is not spoken. Its result, a text, comes back by the signal `tool-result` with the call's id,
 * or on a `tool_sink_%u` pad as {"id": …, "result": …}; when all calls of a step have one, the
 * model goes on with the same answer, and may call again. Media wait meanwhile as while it writes.
 * A call without a result after `tool-timeout` gets {"error": …} in its place, and a warning tells;
 * a result of an id that does not wait (any more), longer than 64 KiB or no UTF-8 is not taken: the
 * signal returns FALSE, and a warning tells. The signals `interrupt` and `reset`, a flush and a
 * voice that barges in end a turn whose calls wait; `save-session` and `load-session` give the
 * calls up, with an error in place of their results, and come behind the turn; EOS waits for
 * results as long as `tool-timeout` says. With `json-schema` a call may come in place of the
 * document. Answers to `spatial-prompt` and to the standing question of `trigger=event` make no
 * calls.
 *
 * With the property `pieces` of a text pad (`omnimodel text_0::pieces=true`) answers leave piece by
 * piece while they are written. The pieces of an answer share its time as if it had `max-tokens`;
 * the last one has what is left, and GST_BUFFER_FLAG_MARKER.
 *
 * A `speech_%u` pad makes the model answer aloud, where the checkpoint has a voice: audio/x-raw,
 * mono, at the voice's rate, while the answer is still being written. Within an answer the time
 * stamps have no gap; in between there are GAPs. Each buffer carries a GstCustomMeta
 * "GstOmniGeneratedMeta" {checkpoint, voice, time} and the stream a tag, so that nobody takes it
 * for a recording. The text of a spoken answer leaves on the text pads with the time span of its
 * sound. Live, its first sound is stamped with the moment at which it is there, so that the pad
 * adds no latency, and it leaves 40 ms before it is due: a pipeline with a latency for other sinks
 * plays it so much later. The signal `interrupt`, or an event named
 * "omni-interrupt" on any pad (GST_EVENT_CUSTOM_UPSTREAM, _DOWNSTREAM or _DOWNSTREAM_OOB), ends it
 * with a fade of 5 ms. Live, answers to the standing question are not spoken while another one
 * still is. Element messages "omni/speech" tell how each ended.
 *
 * Where `model-path` is set on it before pads are asked for, omnimodel has no `audio_%u` pads for a
 * checkpoint that does not hear: a warning says what it takes. `temperature`, `top-p`, `top-k` and
 * `repetition-penalty` are what its generation_config.json asks for until they are set.
 *
 * A question that is no UTF-8 is a warning, one that is too long for the model an error. Of
 * questions that wait for their turn there are at most 256; then the signal `ask` and live streams
 * lose the oldest (a warning), and others wait.
 *
 * EOS leaves when all media streams have ended and everything asked has been answered; prompt pads
 * hold it up only where there are no media. Without a source pad the element is a sink: it ends the
 * pipeline.
 *
 * A chunk of media waits for both streams, whatever brings less: a GAP is time in which nothing
 * comes, a stream that has ended or that a STREAM_COLLECTION on its pad leaves out is not waited
 * for. A pad to which nothing comes holds up the other: live until the promised latency has passed;
 * otherwise, where the other can bring no more, for a minute, and for 5 s where no stream has ever
 * begun. Then answers go on without it, until it goes on (live: in time), and a warning names the
 * pad (live when it has been silent for 10 s). The model is not told of what is missing: a chunk
 * with sound alone is asked about as sound alone; without pictures no objects are asked for, and
 * about nothing nothing is.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -m videotestsrc num-buffers=120 ! omnivideotokenizer model-path=models/nano ! \
 *   omnimodel ! fakesink dump=true
 * ]|
 */
#include "model/gstomnimodel.h"

#include <gst/audio/audio.h>

#include <algorithm>
#include <cstring>

#include "common/gstomniguard.h"
#include "model/gstomnimodelstate.h"
#include "model/gstomnitextpad.h"

GST_DEBUG_CATEGORY(gst_omni_model_debug);  // the worker logs to it too
#define GST_CAT_DEFAULT gst_omni_model_debug

namespace gst_omni_model {

namespace {

// --- source pads

gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  if (state(self).engine_context.answer(query)) return TRUE;
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  bool live = false;
  GstClockTime min = 0;
  if (!query_upstream(self, live, min)) return FALSE;
  update_session(self);
  // Sound is stamped with the moment at which it is there.
  const bool is_speech = output_of(pad)->kind() == GstOmniOutput::Kind::speech;
  gst_query_set_latency(query, live, live && !is_speech ? reported_latency(self) : 0,
                        GST_CLOCK_TIME_NONE);
  return TRUE;
}

gboolean src_activate_mode(GstPad* pad, GstObject*, GstPadMode mode, gboolean active) {
  return mode == GST_PAD_MODE_PUSH && output_of(pad)->set_active(active);
}

// Upstream events (seeks, QoS) go to every media stream.
gboolean src_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  State& s = state(parent);
  if (is_interrupt_event(event)) {
    interrupt(reinterpret_cast<GstOmniModel*>(parent));
    gst_event_unref(event);
    return TRUE;
  }
  if (GST_EVENT_TYPE(event) == GST_EVENT_LATENCY &&
      output_of(pad)->kind() == GstOmniOutput::Kind::speech) {
    GstClockTime latency = 0;
    gst_event_parse_latency(event, &latency);
    static_cast<GstOmniSpeechOutput*>(output_of(pad))->set_pipeline_latency(latency);
  }
  Pads pads;
  {
    std::lock_guard guard(s.lock);
    for (const Input* in : s.inputs)
      if (!in->is_prompt) pads.emplace_back(GST_PAD(gst_object_ref(in->pad)));
  }
  gboolean ok = FALSE;
  for (const PadPtr& input : pads) ok |= gst_pad_push_event(input.get(), gst_event_ref(event));
  gst_event_unref(event);
  return ok;
}

// --- pads on request

void pieces_changed(GObject*, GParamSpec*, gpointer self) {
  update_session(static_cast<GstOmniModel*>(self));
}

GstPad* new_output_pad(GstOmniModel* self, GstPadTemplate* templ, const std::string& name,
                       GstOmniOutput::Kind kind) {
  if (kind != GstOmniOutput::Kind::text) return gst_pad_new_from_template(templ, name.c_str());
  auto* pad = GST_PAD(g_object_new(gst_omni_text_pad_get_type(), "name", name.c_str(), "direction",
                                   GST_PAD_SRC, "template", templ, nullptr));
  g_signal_connect_object(pad, "notify::pieces", G_CALLBACK(pieces_changed), self,
                          GConnectFlags(0));
  return pad;
}

std::unique_ptr<GstOmniOutput> make_output(GstOmniModel* self, GstPad* pad,
                                           GstOmniOutput::Kind kind) {
  if (kind == GstOmniOutput::Kind::speech) return make_speech_output(self, pad);
  return std::make_unique<GstOmniTextOutput>(pad, kind);
}

GstPad* add_output(GstOmniModel* self, GstPadTemplate* templ, const std::string& name,
                   GstOmniOutput::Kind kind) {
  State& s = state(self);
  GstPad* pad = new_output_pad(self, templ, name, kind);
  gst_pad_use_fixed_caps(pad);
  GstOmniOutput* output = give_to_pad(pad, make_output(self, pad, kind));
  {
    std::lock_guard guard(s.settings.lock);
    output->set_lateness(s.settings.lateness * GST_MSECOND);
  }
  {
    std::lock_guard guard(s.lock);
    s.outputs.push_back(output);
    s.find_out_if_sink();
  }
  gst_pad_set_query_function(pad, GST_DEBUG_FUNCPTR(src_query));
  gst_pad_set_event_function(pad, GST_DEBUG_FUNCPTR(src_event));
  gst_pad_set_activatemode_function(pad, GST_DEBUG_FUNCPTR(src_activate_mode));
  gst_element_add_pad(GST_ELEMENT(self), pad);
  gst_child_proxy_child_added(GST_CHILD_PROXY(self), G_OBJECT(pad), name.c_str());
  update_session(self);
  return pad;
}

}  // namespace

GstPad* State::request_pad(GstPadTemplate* templ, const gchar* asked) {
  const std::string kind = GST_PAD_TEMPLATE_NAME_TEMPLATE(templ);
  const bool video = kind == "video_%u", audio = kind == "audio_%u", prompt = kind == "prompt_%u",
             spatial = kind == "spatial_%u", speech = kind == "speech_%u", tool = kind == "tool_%u",
             result = kind == "tool_sink_%u";
  if (audio && !gst_omni_takes_audio(GST_ELEMENT(self), engine_context.model_path()))
    return nullptr;
  std::string name;
  {
    std::lock_guard guard(lock);
    for (const Input* in : inputs)
      if ((video || audio) && !in->is_prompt && (in->modality == omni::Modality::audio) == audio) {
        GST_ELEMENT_WARNING(self, CORE, PAD,
                            ("This model family takes one %s stream", audio ? "audio" : "video"),
                            (nullptr));
        return nullptr;
      }
    for (const GstOmniOutput* o : outputs)
      if (speech && o->kind() == GstOmniOutput::Kind::speech) {
        GST_ELEMENT_WARNING(self, CORE, PAD, ("One speech pad is all a model has: tee it"),
                            (nullptr));
        return nullptr;
      }
    guint& next = speech    ? next_speech
                  : video   ? next_video
                  : audio   ? next_audio
                  : prompt  ? next_prompt
                  : spatial ? next_spatial
                  : tool    ? next_tool
                  : result  ? next_tool_sink
                            : next_text;
    guint number = next;
    const char* digits = asked ? std::strrchr(asked, '_') : nullptr;
    if (digits) std::sscanf(digits, "_%u", &number);
    next = std::max(next, number) + 1;
    name = kind.substr(0, kind.size() - 2) + std::to_string(number);
  }
  if (GstPad* there = gst_element_get_static_pad(GST_ELEMENT(self), name.c_str())) {
    gst_object_unref(there);
    return nullptr;
  }
  if (GST_PAD_TEMPLATE_DIRECTION(templ) == GST_PAD_SRC)
    return add_output(self, templ, name,
                      speech    ? GstOmniOutput::Kind::speech
                      : spatial ? GstOmniOutput::Kind::spatial
                      : tool    ? GstOmniOutput::Kind::tool
                                : GstOmniOutput::Kind::text);
  if (result) return add_tool_sink(self, templ, name);
  return add_input(self, templ, name, prompt,
                   audio ? omni::Modality::audio : omni::Modality::video);
}

void State::release_pad(GstPad* pad) {
  PadPtr owned(GST_PAD(gst_object_ref(pad)));
  gst_pad_set_active(pad, FALSE);
  gst_element_remove_pad(GST_ELEMENT(self), pad);
  if (!GST_PAD_IS_SRC(pad)) {
    if (Input* in = input_of(pad)) remove_input(self, *in);
    return;
  }
  gst_child_proxy_child_removed(GST_CHILD_PROXY(self), G_OBJECT(pad), GST_PAD_NAME(pad));
  {
    std::lock_guard guard(lock);
    std::erase(outputs, output_of(pad));
    find_out_if_sink();
  }
  update_session(self);
}

namespace {

// --- text_0::pieces

GObject* get_child_by_index(GstChildProxy* proxy, guint index) {
  auto* element = GST_ELEMENT(proxy);
  GST_OBJECT_LOCK(element);
  gpointer pad = g_list_nth_data(element->srcpads, index);
  if (pad) gst_object_ref(pad);
  GST_OBJECT_UNLOCK(element);
  return static_cast<GObject*>(pad);
}

GObject* get_child_by_name(GstChildProxy* proxy, const gchar* name) {
  return reinterpret_cast<GObject*>(gst_element_get_static_pad(GST_ELEMENT(proxy), name));
}

guint get_children_count(GstChildProxy* proxy) {
  GST_OBJECT_LOCK(proxy);
  const guint count = GST_ELEMENT(proxy)->numsrcpads;
  GST_OBJECT_UNLOCK(proxy);
  return count;
}

void child_proxy_init(gpointer g_interface, gpointer) {
  auto* interface = static_cast<GstChildProxyInterface*>(g_interface);
  interface->get_child_by_index = get_child_by_index;
  interface->get_child_by_name = get_child_by_name;
  interface->get_children_count = get_children_count;
}

}  // namespace

void State::add_interfaces(GType type) {
  const GInterfaceInfo child_proxy = {child_proxy_init, nullptr, nullptr};
  g_type_add_interface_static(type, GST_TYPE_CHILD_PROXY, &child_proxy);
}

namespace {

// --- signals, properties, states

void signal_ask(GstOmniModel* self, const gchar* text) {
  if (text && *text) ask(self, text);
}

void signal_interrupt(GstOmniModel* self) { interrupt(self); }

void signal_reset(GstOmniModel* self) {
  if (const auto session = session_of(state(self))) session->reset();
}

void store(GstOmniModel* self, const gchar* path, bool is_load) {
  if (!path || !*path) return;
  const auto session = session_of(state(self));
  if (!session) return not_stored(self, path, is_load, "there is none, or not yet");
  if (is_load)
    session->load(path);
  else
    session->save(path);
}

void signal_save_session(GstOmniModel* self, const gchar* path) { store(self, path, false); }

void signal_load_session(GstOmniModel* self, const gchar* path) { store(self, path, true); }

GstStructure* stats(GstOmniModel* self) {
  State& s = state(self);
  std::lock_guard guard(s.lock);
  const omni::SessionStats t = s.session ? s.session->stats() : s.last_stats;
  guint64 underruns = 0;
  for (GstOmniOutput* o : s.outputs)
    if (o->kind() == GstOmniOutput::Kind::speech)
      underruns += static_cast<GstOmniSpeechOutput*>(o)->n_underruns();
  const omni::CopiedBytes copied = s.engine_context.copied();
  return gst_structure_new(
      "omni-model-stats", "compute", G_TYPE_STRING, s.engine_context.compute().c_str(),
      "bytes-to-device", G_TYPE_UINT64, guint64(copied.to_device), "bytes-to-host", G_TYPE_UINT64,
      guint64(copied.to_host), "answers", G_TYPE_UINT64, guint64(t.n_answers), "tokens",
      G_TYPE_UINT64, guint64(t.n_tokens), "ttft", G_TYPE_DOUBLE, s.first_token.percentile_ms(0.5),
      "tpot", G_TYPE_DOUBLE, s.per_token_ms, "queue-depth", G_TYPE_UINT, guint(t.waiting), "drops",
      G_TYPE_UINT64, guint64(t.n_dropped), "late", G_TYPE_UINT64,
      guint64(t.n_late) + s.n_late_answers, "silent", G_TYPE_UINT64, guint64(t.n_silent), "overdue",
      G_TYPE_UINT64, guint64(t.n_overdue), "refused", G_TYPE_UINT64, guint64(t.n_refused), "events",
      G_TYPE_UINT64, guint64(t.n_news), "objects", G_TYPE_UINT64, guint64(t.n_objects),
      "repaired-objects", G_TYPE_UINT64, guint64(t.n_repaired), "malformed-objects", G_TYPE_UINT64,
      guint64(t.n_malformed), "context-tokens", G_TYPE_UINT64, guint64(t.context_tokens), "turns",
      G_TYPE_UINT64, guint64(t.remembered_turns), "delay-p50", G_TYPE_DOUBLE,
      s.delay.percentile_ms(0.5), "delay-p95", G_TYPE_DOUBLE, s.delay.percentile_ms(0.95),
      "delay-max", G_TYPE_DOUBLE, s.delay.max_ms(), "spoken", G_TYPE_UINT64, guint64(t.n_spoken),
      "unspoken", G_TYPE_UINT64, guint64(t.n_unspoken), "interrupted", G_TYPE_UINT64,
      guint64(t.n_interrupted), "resumed", G_TYPE_UINT64, guint64(t.n_resumed), "tool-calls",
      G_TYPE_UINT64, guint64(t.n_tool_calls), "tool-timeouts", G_TYPE_UINT64,
      guint64(t.n_tool_timeouts), "underruns", G_TYPE_UINT64, underruns, "first-sound-p50",
      G_TYPE_DOUBLE, s.first_sound.percentile_ms(0.5), "first-sound-p95", G_TYPE_DOUBLE,
      s.first_sound.percentile_ms(0.95), nullptr);
}

// Whatever waits or computes ends.
void begin_to_stop(State& s) {
  {
    std::lock_guard guard(s.lock);
    s.stopping = true;
    if (s.session) s.epoch = s.session->flush();
  }
  s.stop.request_stop();
  s.changed.notify_all();
}

void add_action(GType type, const char* name, GCallback callback, GType parameter) {
  g_signal_new_class_handler(name, type, GSignalFlags(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION),
                             callback, nullptr, nullptr, nullptr, G_TYPE_NONE,
                             parameter == G_TYPE_NONE ? 0 : 1, parameter);
}

}  // namespace

const std::vector<GstOmniReading<State>>& State::readings() {
  static const std::vector<GstOmniReading<State>> table = {
      {[] {
         return g_param_spec_uint("max-observed-delay", "Greatest delay",
                                  "Longest time between media and the text about them, in ms", 0,
                                  G_MAXUINT, 0, kGstOmniReadOnly);
       },
       [](State& s, GValue* value) {
         std::lock_guard guard(s.lock);
         g_value_set_uint(value, guint(s.delay.max_ms()));
       }},
      {[] {
         return g_param_spec_boxed("stats", "Statistics", "Answers, tokens, times in ms, drops",
                                   GST_TYPE_STRUCTURE, kGstOmniReadOnly);
       },
       [](State& s, GValue* value) { g_value_take_boxed(value, stats(s.self)); }},
      {[] {
         return gst_param_spec_array(
             "turns", "Turns", "What is remembered, the oldest first: each `question` and `answer`",
             g_param_spec_boxed("turn", "Turn", "One of them", GST_TYPE_STRUCTURE,
                                kGstOmniReadOnly),
             kGstOmniReadOnly);
       },
       [](State& s, GValue* value) { put_turns(s, value); }},
  };
  return table;
}

void State::property_set(const std::string& name) {
  if (name == "lateness") {
    GstClockTime shift = 0;
    {
      std::lock_guard guard(settings.lock);
      shift = settings.lateness * GST_MSECOND;
    }
    std::lock_guard guard(lock);
    for (GstOmniOutput* o : outputs) o->set_lateness(shift);
  }
  update_session(self);
  if (name == "trigger") tell_of_turns(self);
  if (name == "latency" || name == "interval" || name == "trigger")
    gst_element_post_message(GST_ELEMENT(self), gst_message_new_latency(GST_OBJECT(self)));
}

void State::before_change(GstStateChange change) {
  if (change == GST_STATE_CHANGE_NULL_TO_READY) engine_context.announce();
  if (change == GST_STATE_CHANGE_READY_TO_PAUSED) start_task(self);
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) begin_to_stop(*this);
}

void State::after_change(GstStateChange change, GstStateChangeReturn result) {
  if (change == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE) {
    begin_to_stop(*this);
    stop_task(self);
  }
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) stop_task(self);
}

void State::describe(GstElementClass* klass) {
  GST_DEBUG_CATEGORY_INIT(gst_omni_model_debug, "omnimodel", 0, "the model element of gst-omni");
  const GType type = G_TYPE_FROM_CLASS(klass);
  add_action(type, "ask", G_CALLBACK(signal_ask), G_TYPE_STRING);
  add_action(type, "save-session", G_CALLBACK(signal_save_session), G_TYPE_STRING);
  add_action(type, "load-session", G_CALLBACK(signal_load_session), G_TYPE_STRING);
  add_action(type, "interrupt", G_CALLBACK(signal_interrupt), G_TYPE_NONE);
  add_action(type, "reset", G_CALLBACK(signal_reset), G_TYPE_NONE);
  add_tool_signals(type);
  gst_omni_add_template(
      klass, "video_%u", GST_PAD_SINK, GST_PAD_REQUEST,
      "application/x-omni-tokens, modality=(string){ video, image }, hidden=(int)[ 1, max "
      "], format=(string)F32LE");
  gst_omni_add_template(
      klass, "audio_%u", GST_PAD_SINK, GST_PAD_REQUEST,
      "application/x-omni-tokens, modality=(string)audio, hidden=(int)[ 1, max ], "
      "format=(string)F32LE");
  gst_omni_add_template(klass, "prompt_%u", GST_PAD_SINK, GST_PAD_REQUEST,
                        "text/x-raw, format=(string)utf8");
  const CapsPtr text(gst_caps_from_string("text/x-raw, format=(string)utf8"));
  gst_element_class_add_pad_template(
      klass, gst_pad_template_new_with_gtype("text_%u", GST_PAD_SRC, GST_PAD_REQUEST, text.get(),
                                             gst_omni_text_pad_get_type()));
  gst_omni_add_template(
      klass, "speech_%u", GST_PAD_SRC, GST_PAD_REQUEST,
      "audio/x-raw, format=(string){ " GST_AUDIO_NE(S16) ", " GST_AUDIO_NE(
          F32) " }, rate=(int)[ 1, max ], channels=(int)1, layout=(string)interleaved");
  gst_omni_add_template(klass, "spatial_%u", GST_PAD_SRC, GST_PAD_REQUEST,
                        "application/x-omni-spatial, version=(int)1");
  gst_omni_add_template(klass, "tool_%u", GST_PAD_SRC, GST_PAD_REQUEST, "application/json");
  gst_omni_add_template(klass, "tool_sink_%u", GST_PAD_SINK, GST_PAD_REQUEST, "application/json");
  gst_omni_set_metadata(klass, "Omni model", "Filter/Analyzer/Video/Audio",
                        "Answers questions about live video and audio with a multimodal model");
  gst_type_mark_as_plugin_api(gst_omni_text_pad_get_type(), GstPluginAPIFlags(0));
  gst_type_mark_as_plugin_api(trigger_get_type(), GstPluginAPIFlags(0));
  gst_type_mark_as_plugin_api(tracking_get_type(), GstPluginAPIFlags(0));
  gst_type_mark_as_plugin_api(speak_on_get_type(), GstPluginAPIFlags(0));
  gst_type_mark_as_plugin_api(gst_omni_precision_get_type(), GstPluginAPIFlags(0));
}

}  // namespace gst_omni_model

GST_ELEMENT_REGISTER_DEFINE(omnimodel, "omnimodel", GST_RANK_NONE,
                            gst_omni_element_type<gst_omni_model::State>("GstOmniModel"));
