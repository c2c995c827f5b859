// What the parts of omnimodel share: settings, pads, the state under one lock, and what the element
// asks of its worker.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/gstomnicontext.h"
#include "omni/engine.h"
#include "omni/spatial.h"
#include "streams/gstomnispeechoutput.h"
#include "streams/gstomnistats.h"

namespace gst_omni_model {

enum class Trigger { chunk, interval, prompt, eos, manual };
enum class Tracking { none, match, predict };

constexpr const char* kTriggerNicks[] = {"chunk", "interval", "prompt", "eos", "manual"};
constexpr GstClockTime kChunk = 2 * GST_SECOND;
// the padding of an encoder at the end of a recording is none
constexpr GstClockTime kWorthACaption = 200 * GST_MSECOND;
constexpr size_t kMostQueued = 16;  // token buffers a pad
// of one track before another, when nothing is live
constexpr GstClockTime kMostAhead = 4 * kChunk;

struct Settings : GstOmniEngineSettings {
  std::string system_prompt = "You are a helpful assistant.",
              prompt = "Describe what you see and hear.",
              spatial_prompt = "Detect all objects and give their boxes as JSON.", json_schema,
              voice;
  int trigger = int(Trigger::chunk), tracking = int(Tracking::match);
  guint interval = 10000, max_tokens = 256, top_k = 0, latency = 1000, lateness = 0;
  double temperature = 0, top_p = 1, repetition_penalty = 1, context_duration = 60;
  gint64 seed = 0;
  bool barge_in = true;
};

const GstOmniProperties<Settings>& properties();

struct Input {
  GstPad* pad;
  bool is_prompt;
  omni::Modality modality;
  // Under the element's lock:
  GstSegment segment;
  struct Item {
    BufferPtr buffer;
    GstClockTime time;  // running time
  };
  std::deque<Item> queue;
  int hidden = 0;
  bool eos = false, eos_told = false, flushing = true;
  GstClockTime reached = 0;  // running time up to which the worker has taken it
};

struct Question {
  std::string text;
  GstClockTime time;  // running time from which on it may be asked; 0 = now
};

struct GstOmniModel {
  GstElement element;
  struct State* state;
};

struct GstOmniModelClass {
  GstElementClass parent_class;
};

struct State {
  explicit State(GstOmniModel* self) : engine_context(GST_ELEMENT(self), settings) {}

  Settings settings;
  GstOmniEngineContext engine_context;

  std::mutex lock;  // guards all below but the worker's own; never held while calling out
  std::condition_variable changed;
  guint64 n_told = 0;
  // After what may give the worker something to do: counted, so that one which is just about to
  // wait does not miss it.
  void tell_worker() {
    {
      std::lock_guard guard(lock);
      ++n_told;
    }
    changed.notify_all();
  }
  std::list<Input> inputs;
  std::list<std::unique_ptr<GstOmniOutput>> outputs;
  std::deque<Question> questions;
  guint next_video = 0, next_audio = 0, next_prompt = 0, next_text = 0, next_spatial = 0,
        next_speech = 0;
  bool stopping = false, flush_pending = false, failed = false, live = false, reset_pending = false;
  int n_flushing = 0;
  std::shared_ptr<omni::Session> session;  // shared so that cancel() may come from any thread
  // statistics
  guint64 n_objects = 0, n_repaired = 0, n_malformed = 0;
  guint64 n_spoken = 0, n_unspoken = 0, n_interrupted = 0;
  guint64 n_answers = 0, n_tokens = 0, n_dropped = 0, n_late = 0, context_tokens = 0;
  GstOmniDelays delay, first_token, first_sound;
  double per_token_ms = 0;
  bool warned = false;

  std::shared_ptr<const omni::Engine> engine;  // written by the worker, once

  // of the worker
  std::thread worker;
  GstClockTime media_end = 0, asked_until = 0;
  bool eos_asked = false, eos_sent = false;
  omni::Tracker tracker;
};

inline State& state(gpointer self) { return *static_cast<GstOmniModel*>(self)->state; }

inline Input* input_of(GstPad* pad) {
  return static_cast<Input*>(gst_pad_get_element_private(pad));
}
inline GstOmniOutput* output_of(GstPad* pad) {
  return static_cast<GstOmniOutput*>(gst_pad_get_element_private(pad));
}

// --- gstomnimodelsink.cc

// A new sink pad of the element.
GstPad* add_input(GstOmniModel* self, GstPadTemplate* templ, const std::string& name,
                  bool is_prompt, omni::Modality modality);

// --- gstomnimodelworker.cc

// READY → PAUSED and back: the thread that loads the checkpoint and answers.
void start_worker(GstOmniModel* self);
void stop_worker(GstOmniModel* self);
// Latency of the media streams ahead of this element. False if nobody knows.
bool upstream_latency(GstOmniModel* self, bool& live, GstClockTime& min);
// The documented sum.
GstClockTime reported_latency(GstOmniModel* self, GstClockTime upstream);

// --- gstomnimodelspeech.cc

// A speech pad's output.
std::unique_ptr<GstOmniOutput> make_speech_output(GstOmniModel* self, GstPad* pad);
// An answer that is going to be spoken, already on its pad. Its text leaves on the text pads when
// it is known and has its place in time.
class SpokenAnswer {
 public:
  omni::Speech* speech() const { return speech_.get(); }
  void set_text(const std::string& text);  // the whole of it
  void give_up();                          // there will be none

 private:
  friend std::shared_ptr<SpokenAnswer> begin_spoken_answer(GstOmniModel*, const std::string&,
                                                           GstClockTime, bool);
  void set_start(GstClockTime start);
  void set_duration(GstClockTime duration);
  void send();

  GstOmniModel* self_ = nullptr;
  std::shared_ptr<omni::Speech> speech_;
  std::mutex lock_;
  std::optional<std::string> text_;
  std::optional<GstClockTime> start_, duration_;
  bool sent_ = false;
};
// nullptr: nobody listens, or it shall not be spoken (live, while an earlier one still is).
// `prompted`: somebody asked, rather than the clock.
std::shared_ptr<SpokenAnswer> begin_spoken_answer(GstOmniModel* self, const std::string& question,
                                                  GstClockTime start, bool prompted);
bool has_speech(State& state);
bool is_speaking(State& state);  // or is about to
// Ends the answer that is being written or spoken. With `only_barge_in`: if the property allows it
// and there is one.
void interrupt(GstOmniModel* self, bool only_barge_in);
bool is_interrupt_event(GstEvent* event);

// --- for all

void for_outputs(State& state, const std::function<void(GstOmniOutput&)>& call);

}  // namespace gst_omni_model
