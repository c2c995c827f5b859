// What the parts of omnimodel share: settings, pads, and the state under one lock.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/gstomnicontext.h"
#include "common/gstomnielement.h"
#include "omni/engine.h"
#include "streams/gstomnispeechoutput.h"
#include "streams/gstomnistats.h"

namespace gst_omni_model {

constexpr const char* kTriggerNicks[] = {"chunk",  "interval", "prompt", "eos",
                                         "manual", "turn",     "event"};
constexpr size_t kMostEarly = 256;  // questions before there is a session

struct Settings : GstOmniEngineSettings {
  std::string system_prompt = "You are a helpful assistant.",
              prompt = "Describe what you see and hear.",
              spatial_prompt = "Detect all objects and give their boxes as JSON.", json_schema,
              nothing_new, voice, load_session, tools;
  int trigger = int(omni::Trigger::chunk), tracking = int(omni::Tracking::match),
      speak_on = int(omni::SpeakOn::change);
  guint interval = 10000, max_tokens = 256, context_tokens = 0, top_k = 0, latency = 1000,
        lateness = 0, resume_false_interruption = 0, tool_timeout = 30000;
  double temperature = 0, top_p = 1, repetition_penalty = 1, context_duration = 60;
  gint64 seed = 0;
  bool barge_in = true, remember = false;
};

// Of a sink pad, and lives as long as it.
struct Input {
  GstPad* pad;
  bool is_prompt;
  omni::Modality modality;
  omni::Track track() const {
    return is_prompt                           ? omni::Track::questions
           : modality == omni::Modality::audio ? omni::Track::audio
                                               : omni::Track::video;
  }
  void forget_segment() {
    gst_segment_init(&segment, GST_FORMAT_TIME);
    has_times = true;
  }
  // Under the element's lock:
  GstSegment segment;      // in time format
  bool has_times = true;   // of the segment that came; of questions always
  std::string checkpoint;  // of the caps
  int hidden = 0;
  bool begun = false, eos = false;  // begun: a stream-start has come
  bool flushing = true;             // or not active: nothing is taken
  bool in_flush = false;            // between FLUSH_START and FLUSH_STOP
  guint64 n_buffers = 0, n_dropped = 0;
};

struct State;
using GstOmniModel = GstOmniObject<State>;

// Pads whose outputs are used without the element's lock: an output lives as long as its pad.
using Pads = std::vector<PadPtr>;

struct State final : GstOmniElement {
  static const GstOmniProperties<Settings>& properties();
  static const std::vector<GstOmniReading<State>>& readings();
  static void add_interfaces(GType type);
  static void describe(GstElementClass* klass);

  State(GstElement* element, GstElementClass*)
      : self(reinterpret_cast<GstOmniModel*>(element)), engine_context(element, settings) {}
  void before_change(GstStateChange change) override;
  void after_change(GstStateChange change, GstStateChangeReturn result) override;
  void set_context(GstContext* context) override { engine_context.take(context); }
  GstPad* request_pad(GstPadTemplate* templ, const gchar* asked) override;
  void release_pad(GstPad* pad) override;
  void property_set(const std::string& name) override;

  GstOmniModel* const self;
  Settings settings;
  GstOmniEngineContext engine_context;
  std::atomic<bool> live{false};

  // Held, ahead of all others, while the session is told settings: older ones never come last.
  std::mutex updating;
  std::mutex lock;  // guards all below; never held while calling out, but into session and outputs
  std::condition_variable changed;
  std::vector<Input*> inputs;
  std::vector<GstOmniOutput*> outputs;
  guint next_video = 0, next_audio = 0, next_prompt = 0, next_text = 0, next_spatial = 0,
        next_speech = 0, next_tool = 0, next_tool_sink = 0;
  bool stopping = true, failed = false;
  guint64 n_rooms = 0;  // times that the session had room again
  std::shared_ptr<const omni::Engine> engine;
  std::shared_ptr<omni::Session> session;
  guint64 epoch = 0;              // events of an earlier one are void
  std::deque<std::string> early;  // questions before there is a session
  GstClockTime upstream_latency = 0;
  GstClockTime chunk = 0;  // the family's, once the checkpoint is there
  // statistics
  omni::SessionStats last_stats;  // of the session that was
  GstOmniDelays delay, first_token, first_sound;
  double per_token_ms = 0;
  GstOmniWorsening late;
  guint64 n_refused = 0;          // questions
  guint64 n_late_answers = 0;     // that came later than promised
  guint64 n_refused_results = 0;  // of tool calls
  guint64 n_silent = 0;           // warnings of pads to which nothing comes

  std::thread task;
  std::stop_source stop;

  // Under the lock.
  bool is_in_flush() const;
  void find_out_if_sink() const;
  bool has(GstOmniOutput::Kind kind) const;
  Pads output_pads() const;
};

inline State& state(gpointer self) { return GstOmniShell<State>::of(self); }

inline Input* input_of(GstPad* pad) {
  return static_cast<Input*>(gst_pad_get_element_private(pad));
}
inline GstOmniOutput* output_of(GstPad* pad) {
  return static_cast<GstOmniOutput*>(gst_pad_get_element_private(pad));
}

// `part` becomes the pad's: an Input or a GstOmniOutput.
template <class Part>
Part* give_to_pad(GstPad* pad, std::unique_ptr<Part> part) {
  gst_pad_set_element_private(pad, part.get());
  g_object_set_data_full(G_OBJECT(pad), "omni-part", part.get(),
                         [](gpointer p) { delete static_cast<Part*>(p); });
  return part.release();
}

// --- gstomnimodelproperties.cc

GType trigger_get_type();
GType tracking_get_type();
GType speak_on_get_type();

// --- gstomnimodelsink.cc

// Tells whoever tokenizes sound whether turns matter.
void tell_of_turns(GstOmniModel* self);
// A new sink pad of the element.
GstPad* add_input(GstOmniModel* self, GstPadTemplate* templ, const std::string& name,
                  bool is_prompt, omni::Modality modality);
// A sink pad goes, no longer active: ends its track.
void remove_input(GstOmniModel* self, Input& input);

// --- gstomnimodeltools.cc

// A new sink pad of results.
GstPad* add_tool_sink(GstOmniModel* self, GstPadTemplate* templ, const std::string& name);
// A result of a tool call. False, and a warning: it was not taken.
bool put_tool_result(GstOmniModel* self, omni::ToolResult result);
// The signals `tool-call` and `tool-result`.
void add_tool_signals(GType type);
void emit_tool_call(GstOmniModel* self, const omni::ToolCall& call, guint64 turn);

// --- gstomnimodelsession.cc

omni::ClockReading read_clock(GstOmniModel* self);
// What the checkpoint asks for becomes the value of the properties that nobody set.
void take_defaults(State& s, const omni::CheckpointDefaults& d);
// One error, at once, for a voice that is not there; and the rate of what is.
void check_voice(State& s, const omni::Engine& engine);
omni::SessionOptions session_options(GstOmniModel* self, const omni::Engine& engine);
// All but what add_pads() knows.
omni::SessionSettings session_settings(GstOmniModel* self, const omni::Engine& engine);
// Call with the element locked.
void add_pads(const State& s, omni::SessionSettings& o);
// The turns that its session remembers, as GstStructures.
void put_turns(State& s, GValue* array);
// Of tracks that ended before there was a session. Call with the element locked.
void tell_streams(const State& s, omni::Session& session);

// --- gstomnimodeltask.cc

// READY → PAUSED and back: the thread that loads the checkpoint and gives the pads what the session
// says.
void start_task(GstOmniModel* self);
void stop_task(GstOmniModel* self);
// What the session should know of properties and pads.
void update_session(GstOmniModel* self);
// A question by the signal.
void ask(GstOmniModel* self, const char* question);
void interrupt(GstOmniModel* self);
bool is_interrupt_event(GstEvent* event);
std::unique_ptr<GstOmniOutput> make_speech_output(GstOmniModel* self, GstPad* pad);
// nullptr before there is one.
std::shared_ptr<omni::Session> session_of(State& s);
// After an error: the pads end, and nothing more is taken.
void fail(GstOmniModel* self);
// A session that was not saved, or not loaded, and the stream goes on.
void not_stored(GstOmniModel* self, const std::string& path, bool loaded, const char* why);
// A question that was not asked because too many waited.
void note_refused(GstOmniModel* self, const std::string& question);

// --- gstomnimodellatency.cc

// Latency of the media streams ahead of this element. False if nobody knows.
bool query_upstream(GstOmniModel* self, bool& live, GstClockTime& min);
// The documented sum.
GstClockTime reported_latency(GstOmniModel* self);
// An answer about media from `due` on leaves now.
void note_delay(GstOmniModel* self, GstClockTime due);

}  // namespace gst_omni_model
