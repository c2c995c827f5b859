// omnitranscriber's two halves: the element, with its pads and properties, and the job of its
// worker.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/gstomnicontext.h"
#include "common/gstomnielement.h"
#include "omni/engine.h"
#include "streams/gstomniaudioinput.h"
#include "streams/gstomniinput.h"
#include "streams/gstomnioutput.h"
#include "streams/gstomnistats.h"
#include "streams/gstomniworker.h"

namespace gst_omni_transcriber {

enum class Policy { automatic, align_att, local_agreement, whole };

struct TranscriberSettings : GstOmniEngineSettings {
  std::string language_code, initial_prompt;
  std::vector<std::string> vocabulary, masked_words;
  int policy = int(Policy::automatic);
  guint step = 1000, latency = 4000, lateness = 0;
  bool translate = false, line_ends = false;
};

class Transcriber final : public GstOmniElement, GstOmniInput::Media, GstOmniWorker::Job {
 public:
  using Settings = TranscriberSettings;
  static const GstOmniProperties<Settings>& properties();
  static const std::vector<GstOmniReading<Transcriber>>& readings();
  static void describe(GstElementClass* klass);

  Transcriber(GstElement* element, GstElementClass* klass);

  // --- gstomnitranscriber.cc: the element
  void before_change(GstStateChange change) override;
  void after_change(GstStateChange change, GstStateChangeReturn result) override;
  void set_context(GstContext* context) override { engine_context_.take(context); }
  void property_set(const std::string& name) override;

  Settings settings;

 private:
  static gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query);
  static gboolean src_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode,
                                    gboolean active);
  bool answer_latency(GstQuery* query);
  GstStructure* stats();
  guint max_observed_delay();

  void set_caps(GstCaps* caps) override { info_ = gst_omni_audio_info(caps); }
  GstClockTime duration_of(GstBuffer* buffer) override {
    return gst_omni_audio_duration(info_, buffer);
  }
  bool query(GstQuery* query) override;
  GstFlowReturn output_flow() override { return output_.flow(); }
  void flush_start(EventPtr event) override { output_.flush_start(event.release()); }
  void flush_stop(EventPtr event) override { output_.flush_stop(event.release()); }

  // --- gstomnitranscriberworker.cc: the job
  void begin() override;
  bool step() override;
  void restart() override;
  void failed() override;
  void end() override;
  void cancel() override;
  void make_transcriber();
  void handle_buffer(GstBuffer* buffer, GstClockTime time);
  void handle_gap(GstClockTime time, GstClockTime duration);
  void handle_event(GstEvent* event);
  void set_language();
  void piece_starts(GstClockTime time);
  void push(std::span<const float> samples);
  void send(const std::vector<omni::Word>& words);
  std::string text_of(const omni::Word& word, bool line_ends);
  void note_delay(GstClockTime spoken);
  void note_unheard();
  GstClockTime running_time(GstClockTime time) const;

  GstElement* const element_;
  GstOmniEngineContext engine_context_;
  GstPad* const src_;
  GstOmniTextOutput output_;
  GstOmniWorker worker_;
  GstOmniInput input_;
  GstAudioInfo info_{};  // of the thread that pushes
  std::atomic<bool> language_changed_ = false;

  std::mutex lock_;  // guards these; never held while calling out
  // shared so that cancel() may come from any thread
  std::shared_ptr<omni::Transcriber> transcriber_;
  omni::TranscriptionStats counts_;
  std::string language_;
  guint64 n_words_ = 0, n_late_ = 0;
  GstOmniDelays delay_;
  GstOmniWorsening late_, unheard_;

  // of the worker
  std::shared_ptr<const omni::Engine> engine_;
  std::unique_ptr<GstOmniAudioInput> audio_;
  CapsPtr caps_;  // of the audio
  GstSegment segment_;
  bool live_ = false;
  std::string last_word_;   // that left
  GstClockTime heard_ = 0;  // running time up to which sound has come
};

}  // namespace gst_omni_transcriber
