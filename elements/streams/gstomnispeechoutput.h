// A speech pad of omnimodel: plays spoken answers one after the other as audio/x-raw. Within an
// answer the time stamps have no gap; outside there are GAPs. Live, sound leaves at most kLead
// before it is due, so that an interruption (omni::Speech::interrupt) is heard at once.
#pragma once

#include <memory>
#include <optional>

#include "omni/session.h"
#include "streams/gstomnioutput.h"

// A spoken answer, and what the element wants to know of it. Called from the pad's task, without
// locks.
struct GstOmniUtterance {
  std::shared_ptr<omni::Speech> speech;
  GstClockTime not_before = 0;  // running time
  std::string checkpoint, voice;
  std::function<void(GstClockTime start)> on_begin;  // just ahead of the first sound
  std::function<void(omni::SpeechEnd end, GstClockTime start, GstClockTime heard)> on_end;
};

// The clock of a live pipeline: running time now, or nothing where nobody waits for a clock.
using GstOmniNow = std::function<std::optional<GstClockTime>()>;

class GstOmniSpeechOutput final : public GstOmniOutput {
 public:
  // `guard` runs a body that may throw and posts what it threw; `rate`: of the sound that comes, in
  // Hz, known before the first utterance.
  GstOmniSpeechOutput(GstPad* pad, GstOmniNow now,
                      std::function<bool(const std::function<void()>&)> guard);
  ~GstOmniSpeechOutput() override;

  void set_rate(int rate);
  // False: it will not be spoken.
  bool speak(std::shared_ptr<GstOmniUtterance> utterance);
  guint64 n_underruns();
  // What the pipeline adds between this pad and the loudspeaker (LATENCY event).
  void set_pipeline_latency(GstClockTime latency);

  void push_gap(GstClockTime until) override;
  void push_event(GstEvent* event) override;

 private:
  struct Item {
    std::shared_ptr<GstOmniUtterance> utterance;  // or
    EventPtr event;                               // or
    GstClockTime gap_until = 0;
  };
  bool step() override;
  void clear() override { queue_.clear(); }
  size_t n_queued() const override { return queue_.size(); }
  void woken() override;
  GstCaps* negotiate();
  // Returns how it ended and what was heard of it.
  struct Played {
    omni::SpeechEnd end = omni::SpeechEnd::interrupted;
    GstClockTime start = 0, duration = 0;
  };
  Played play(GstOmniUtterance& utterance);
  bool is_cut(const omni::Speech& speech) const {
    return flushing_ || speech.is_interrupted();
  }  // under lock_
  // It falls silent: cut, or held until it is known what a voice over it was.
  bool is_to_fade(const omni::Speech& speech) const {
    return is_cut(speech) || speech.is_held();
  }  // under lock_
  // False: it is to fade.
  bool wait_until_due(const omni::Speech& speech, GstClockTime pts);
  // While it is held. False: it is cut.
  bool wait_while_held(const omni::Speech& speech);
  // Where sample 0 of its sound would be, which goes on now with sample `at`.
  GstClockTime start_anew(guint64 at, guint64 rate);
  GstBuffer* buffer_of(const std::vector<float>& samples, const GstOmniUtterance& utterance,
                       GstClockTime start, guint64 at);
  void push_gap_event(GstClockTime until);

  const GstOmniNow now_;
  const std::function<bool(const std::function<void()>&)> guard_;
  // Under lock_:
  std::deque<Item> queue_;
  std::shared_ptr<GstOmniUtterance> current_;
  int rate_ = 0;
  GstClockTime pipeline_latency_ = 0;
  guint64 n_underruns_ = 0;
  // Of the task:
  bool is_float_ = false, tags_due_ = true;
};
