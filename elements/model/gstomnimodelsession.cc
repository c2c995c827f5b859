// What a session of omnimodel is told: of the properties, of the pads, of the clock.
#include <iterator>
#include <utility>

#include "model/gstomnimodelstate.h"
#include "model/gstomnitextpad.h"
#include "streams/gstomniclock.h"

namespace gst_omni_model {

using Kind = GstOmniOutput::Kind;

omni::ClockReading read_clock(GstOmniModel* self) {
  omni::ClockReading reading{.live = state(self).live};
  const GstClockTime now = gst_omni_running_time_now(GST_ELEMENT(self));
  if (GST_CLOCK_TIME_IS_VALID(now)) reading.now = omni::Nanoseconds(now);
  return reading;
}

void take_defaults(State& s, const omni::CheckpointDefaults& d) {
  std::lock_guard guard(s.settings.lock);
  auto take = [&](auto member, const auto& value) {
    if (value && !State::properties().was_set(s.settings, member)) s.settings.*member = *value;
  };
  take(&Settings::system_prompt, d.system_prompt);
  take(&Settings::prompt, d.prompt);
  take(&Settings::spatial_prompt, d.spatial_prompt);
  take(&Settings::nothing_new, d.nothing_new);
  take(&Settings::context_duration, d.context_duration);
  take(&Settings::max_tokens, d.max_tokens);
  take(&Settings::temperature, d.temperature);
  take(&Settings::top_p, d.top_p);
  take(&Settings::top_k, d.top_k);
  take(&Settings::repetition_penalty, d.repetition_penalty);
  if (d.trigger && !State::properties().was_set(s.settings, &Settings::trigger))
    for (int i = 0; i < int(std::size(kTriggerNicks)); ++i)
      if (*d.trigger == kTriggerNicks[i]) s.settings.trigger = i;
}

namespace {

// Of the properties. Call with the settings locked.
omni::SessionSettings of_properties(const Settings& s) {
  omni::SessionSettings o;
  o.trigger = omni::Trigger(s.trigger);
  o.interval = omni::Nanoseconds(s.interval * GST_MSECOND);
  // Who has spoken has asked already.
  if (o.trigger != omni::Trigger::turn || State::properties().was_set(s, &Settings::prompt))
    o.prompt = s.prompt;
  o.spatial_prompt = s.spatial_prompt;
  o.sampling = {int(s.max_tokens), s.temperature,        s.top_p,
                int(s.top_k),      s.repetition_penalty, s.json_schema};
  o.tracking = omni::Tracking(s.tracking);
  o.nothing_new = s.nothing_new;
  o.speak_on = omni::SpeakOn(s.speak_on);
  o.speech.voice = s.voice;
  o.speech.seed = uint64_t(s.seed);
  o.barge_in = s.barge_in;
  o.resume_false_interruption = omni::Nanoseconds(s.resume_false_interruption * GST_MSECOND);
  o.remember = s.remember;
  o.tool_timeout = omni::Nanoseconds(s.tool_timeout * GST_MSECOND);
  o.stamped_when_ready = s.latency == G_MAXUINT;
  return o;
}

}  // namespace

void add_pads(const State& s, omni::SessionSettings& o) {
  for (const Input* in : s.inputs) {
    o.has_video |= in->track() == omni::Track::video;
    o.has_audio |= in->track() == omni::Track::audio;
    o.has_questions |= in->track() == omni::Track::questions;
  }
  o.wants_text = s.has(Kind::text);
  o.wants_objects = s.has(Kind::spatial);
  o.wants_speech = s.has(Kind::speech);
  for (const GstOmniOutput* output : s.outputs)
    o.wants_pieces |= output->kind() == Kind::text && gst_omni_text_pad_wants_pieces(output->pad());
}

omni::SessionSettings session_settings(GstOmniModel* self, const omni::Engine& engine) {
  State& s = state(self);
  const auto promise = omni::Nanoseconds(reported_latency(self));
  std::lock_guard guard(s.settings.lock);
  omni::SessionSettings o = of_properties(s.settings);
  o.promise = promise + omni::Nanoseconds(s.settings.lateness * GST_MSECOND);
  // Nothing was promised: what is a chunk older is worth less than the next one.
  if (o.stamped_when_ready) *o.promise += engine.chunk_duration();
  return o;
}

void check_voice(State& s, const omni::Engine& engine) {
  omni::SpeechOptions o;
  {
    std::lock_guard guard(s.settings.lock);
    o.voice = s.settings.voice;
  }
  const int rate = engine.make_speech(o)->sample_rate();
  std::lock_guard guard(s.lock);
  for (GstOmniOutput* out : s.outputs)
    if (out->kind() == Kind::speech) static_cast<GstOmniSpeechOutput*>(out)->set_rate(rate);
}

omni::SessionOptions session_options(GstOmniModel* self, const omni::Engine& engine) {
  State& s = state(self);
  omni::SessionOptions o;
  o.settings = session_settings(self, engine);
  o.patience = 60 * omni::kSecond;
  o.patience_at_first = 5 * omni::kSecond;
  o.clock = [self] { return read_clock(self); };
  o.on_room = [&s] {
    {
      std::lock_guard guard(s.lock);
      ++s.n_rooms;
    }
    s.changed.notify_all();
  };
  std::lock_guard guard(s.settings.lock);
  o.system_prompt = s.settings.system_prompt;
  o.tools = s.settings.tools;
  o.context_duration = omni::Nanoseconds(s.settings.context_duration * GST_SECOND);
  o.context_tokens = s.settings.context_tokens;
  o.seed = guint64(s.settings.seed);
  return o;
}

void put_turns(State& s, GValue* array) {
  const auto session = session_of(s);
  if (!session) return;
  for (const omni::RememberedTurn& turn : session->remembered()) {
    GValue value = G_VALUE_INIT;
    g_value_init(&value, GST_TYPE_STRUCTURE);
    g_value_take_boxed(
        &value, gst_structure_new("omni-turn", "question", G_TYPE_STRING, turn.question.c_str(),
                                  "answer", G_TYPE_STRING, turn.answer.c_str(), nullptr));
    gst_value_array_append_and_take_value(array, &value);
  }
}

void tell_streams(const State& s, omni::Session& session) {
  bool has_questions = false, questions_ended = true;
  for (const Input* in : s.inputs) {
    if (in->begun && !in->is_prompt) session.put(omni::TrackBegan{in->track()});
    if (in->is_prompt) {
      has_questions = true;
      questions_ended &= in->eos;
    } else if (in->eos) {
      session.put(omni::TrackEnded{in->track()});
    }
  }
  if (has_questions && questions_ended) session.put(omni::TrackEnded{omni::Track::questions});
}

}  // namespace gst_omni_model
