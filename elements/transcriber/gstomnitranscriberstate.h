// What the two halves of omnitranscriber share: settings, the state under one lock, and what the
// element asks of its worker.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/gstomnicontext.h"
#include "omni/engine.h"
#include "streams/gstomniaudioinput.h"
#include "streams/gstomnioutput.h"
#include "streams/gstomnistats.h"

namespace gst_omni_transcriber {

enum class Policy { automatic, align_att, local_agreement, whole };

struct Settings : GstOmniEngineSettings {
  std::string language_code, initial_prompt;
  std::vector<std::string> vocabulary, masked_words;
  int policy = int(Policy::automatic);
  guint step = 1000, latency = 4000, lateness = 0;
  bool translate = false, line_ends = false;
};

struct GstOmniTranscriber {
  GstElement element;
  struct State* state;
};

struct GstOmniTranscriberClass {
  GstElementClass parent_class;
};

struct State {
  explicit State(GstOmniTranscriber* self) : engine_context(GST_ELEMENT(self), settings) {}

  Settings settings;
  GstOmniEngineContext engine_context;
  GstPad *sink = nullptr, *src = nullptr;
  std::unique_ptr<GstOmniTextOutput> output;

  std::mutex lock;  // guards all below but the worker's own; never held while calling out
  std::condition_variable changed;
  std::deque<MiniObjectPtr> queue;  // buffers and serialized events
  GstClockTime queued = 0;
  bool flushing = true, stopping = false, failed = false, live = false, reset_pending = false,
       language_changed = false;
  GstSegment segment;
  // shared so that cancel() may come from any thread
  std::shared_ptr<omni::Transcriber> transcriber;
  omni::TranscriptionStats counts;
  std::string language;
  guint64 n_words = 0, n_dropped = 0, n_late = 0;
  GstOmniDelays delay;
  bool warned = false;

  // of the worker
  std::thread worker;
  std::shared_ptr<const omni::Engine> engine;
  std::unique_ptr<GstOmniAudioInput> input;
  std::string last_word;   // that left
  GstClockTime heard = 0;  // running time up to which sound has come
};

inline State& state(gpointer self) { return *static_cast<GstOmniTranscriber*>(self)->state; }

// --- gstomnitranscriberworker.cc

// READY → PAUSED and back: the thread that loads the checkpoint and listens.
void start_worker(GstElement* element);
void stop_worker(GstElement* element);

}  // namespace gst_omni_transcriber
