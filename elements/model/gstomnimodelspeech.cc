// How omnimodel speaks: which answers, one after the other or into one another, and what else is
// told of them.
#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "model/gstomnimodelstate.h"
#include "streams/gstomniclock.h"

GST_DEBUG_CATEGORY_EXTERN(gst_omni_model_debug);
#define GST_CAT_DEFAULT gst_omni_model_debug

namespace gst_omni_model {

namespace {

constexpr const char* kEndNicks[] = {"finished", "interrupted", "runaway"};

// Under the lock.
GstOmniSpeechOutput* speech_output(State& s) {
  for (const auto& o : s.outputs)
    if (o->kind() == GstOmniOutput::Kind::speech) return static_cast<GstOmniSpeechOutput*>(o.get());
  return nullptr;
}

void tell_end(GstOmniModel* self, const std::string& question, GstOmniUtterance::End end,
              GstClockTime start, GstClockTime played) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    ++(end == GstOmniUtterance::End::interrupted ? s.n_interrupted : s.n_spoken);
  }
  gst_element_post_message(
      GST_ELEMENT(self),
      gst_message_new_element(
          GST_OBJECT(self),
          gst_structure_new("omni/speech", "end", G_TYPE_STRING, kEndNicks[int(end)], "question",
                            G_TYPE_STRING, question.c_str(), "running-time", G_TYPE_UINT64,
                            guint64(start), "duration", G_TYPE_UINT64, guint64(played), nullptr)));
  if (end == GstOmniUtterance::End::runaway)
    GST_ELEMENT_WARNING(self, STREAM, FAILED,
                        ("Speech was stopped after %.1f s: it went on far longer than its text",
                         double(played) / GST_SECOND),
                        ("the answer to \"%s\"", question.c_str()));
  s.tell_worker();
}

// Live: while one is spoken, what the clock asks for is not; somebody's question waits, or has
// interrupted already. Otherwise each is spoken to its end before the next is thought of. False: do
// not speak.
bool wait_for_turn(State& s, bool prompted) {
  std::unique_lock lock(s.lock);
  for (;;) {
    GstOmniSpeechOutput* output = speech_output(s);
    if (!output || s.stopping) return false;
    if (!output->is_speaking() || (s.live && prompted)) return true;
    if (s.live) {
      ++s.n_unspoken;
      return false;
    }
    if (s.n_flushing > 0) throw omni::Error(omni::ErrorCode::cancelled, "cancelled");
    s.changed.wait_for(lock, std::chrono::milliseconds(20));
  }
}

}  // namespace

std::unique_ptr<GstOmniOutput> make_speech_output(GstOmniModel* self, GstPad* pad) {
  const auto now = [self]() -> std::optional<GstClockTime> {
    {
      std::lock_guard guard(state(self).lock);
      if (!state(self).live) return std::nullopt;
    }
    const GstClockTime time = gst_omni_running_time_now(GST_ELEMENT(self));
    return GST_CLOCK_TIME_IS_VALID(time) ? std::optional(time) : std::nullopt;
  };
  const auto guard = [self](const std::function<void()>& body) {
    return gst_omni_guard(self, false, [&] {
      body();
      return true;
    });
  };
  return std::make_unique<GstOmniSpeechOutput>(pad, now, guard);
}

bool has_speech(State& s) {
  std::lock_guard guard(s.lock);
  return speech_output(s) != nullptr;
}

bool is_speaking(State& s) {
  std::lock_guard guard(s.lock);
  GstOmniSpeechOutput* output = speech_output(s);
  return output && output->is_speaking();
}

void interrupt(GstOmniModel* self, bool only_barge_in) {
  State& s = state(self);
  if (only_barge_in) {
    std::lock_guard guard(s.settings.lock);
    if (!s.settings.barge_in) return;
  }
  std::lock_guard guard(s.lock);
  GstOmniSpeechOutput* output = speech_output(s);
  if (only_barge_in && !(output && output->is_speaking())) return;
  if (s.session) s.session->interrupt();
  if (output) output->interrupt();
}

bool is_interrupt_event(GstEvent* event) {
  const GstStructure* structure = gst_event_get_structure(event);
  return GST_EVENT_TYPE(event) >= GST_EVENT_CUSTOM_UPSTREAM && structure &&
         gst_structure_has_name(structure, "omni-interrupt");
}

std::shared_ptr<SpokenAnswer> begin_spoken_answer(GstOmniModel* self, const std::string& question,
                                                  GstClockTime start, bool prompted) {
  State& s = state(self);
  if (!has_speech(s) || !wait_for_turn(s, prompted)) return nullptr;
  omni::SpeechOptions options;
  {
    std::lock_guard guard(s.settings.lock);
    options.voice = s.settings.voice;
    options.seed = uint64_t(s.settings.seed);
  }
  auto answer = std::make_shared<SpokenAnswer>();
  answer->self_ = self;
  answer->speech_ = s.engine->make_speech(options);
  auto utterance = std::make_shared<GstOmniUtterance>();
  utterance->speech = answer->speech_;
  utterance->not_before = start;
  utterance->checkpoint = s.engine->fingerprint();
  utterance->voice = options.voice;
  const GstClockTime asked = gst_omni_running_time_now(GST_ELEMENT(self));
  utterance->on_begin = [self, asked, answer](GstClockTime begin) {
    const GstClockTime now = gst_omni_running_time_now(GST_ELEMENT(self));
    if (GST_CLOCK_TIME_IS_VALID(asked) && GST_CLOCK_TIME_IS_VALID(now) && now > asked) {
      std::lock_guard guard(state(self).lock);
      state(self).first_sound.add(now - asked);
    }
    answer->set_start(begin);
  };
  utterance->on_end = [self, question, answer](GstOmniUtterance::End end, GstClockTime begin,
                                               GstClockTime played) {
    answer->set_start(begin);
    answer->set_duration(played);
    tell_end(self, question, end, begin, played);
  };
  answer->speech_->when_duration_is_known(
      [weak = std::weak_ptr(answer)](omni::Nanoseconds duration) {
        if (const auto there = weak.lock()) there->set_duration(GstClockTime(duration));
      });
  std::lock_guard guard(s.lock);
  if (GstOmniSpeechOutput* output = speech_output(s)) output->speak(std::move(utterance));
  return answer;
}

void SpokenAnswer::set_text(const std::string& text) {
  {
    std::lock_guard guard(lock_);
    text_ = text;
  }
  send();
}

void SpokenAnswer::set_start(GstClockTime start) {
  {
    std::lock_guard guard(lock_);
    if (!start_) start_ = start;
  }
  send();
}

void SpokenAnswer::set_duration(GstClockTime duration) {
  {
    std::lock_guard guard(lock_);
    if (!duration_) duration_ = duration;
  }
  send();
}

void SpokenAnswer::give_up() {
  speech_->stop();
  set_text({});
}

// Once all is known.
void SpokenAnswer::send() {
  {
    std::lock_guard guard(lock_);
    if (!text_ || !start_ || !duration_ || sent_) return;
    sent_ = true;
  }
  // an answer without a sound still has its text
  const GstClockTime duration = *duration_ > 0 ? *duration_ : kChunk;
  for_outputs(state(self_), [&](GstOmniOutput& o) {
    if (o.kind() != GstOmniOutput::Kind::text) return;
    if (text_->empty())
      o.push_gap(*start_ + *duration_);
    else
      static_cast<GstOmniTextOutput&>(o).push_result(*text_, *start_, duration);
  });
}

}  // namespace gst_omni_model
