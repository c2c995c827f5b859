// omnimodel's worker: one thread that loads the checkpoint, moves tokens from the pads' queues into
// the session in the order of time, asks, and hands the answers to the source pads. Everything it
// shares with the pads is under State::lock.
#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "model/gstomnimodelstate.h"
#include "streams/gstomniclock.h"
#include "tokens/gstomnitokens.h"

GST_DEBUG_CATEGORY_EXTERN(gst_omni_model_debug);
#define GST_CAT_DEFAULT gst_omni_model_debug

namespace gst_omni_model {

omni::SamplingOptions sampling_options(State& s, bool with_schema) {
  std::lock_guard guard(s.settings.lock);
  return {int(s.settings.max_tokens),
          s.settings.temperature,
          s.settings.top_p,
          int(s.settings.top_k),
          s.settings.repetition_penalty,
          with_schema ? s.settings.json_schema : std::string()};
}

// What the checkpoint asks for becomes the value of the properties that nobody set.
void take_defaults(State& s) {
  const omni::CheckpointDefaults& d = s.engine->defaults();
  std::lock_guard guard(s.settings.lock);
  auto take = [&](auto member, const auto& value) {
    if (value && !properties().was_set(s.settings, member)) s.settings.*member = *value;
  };
  take(&Settings::system_prompt, d.system_prompt);
  take(&Settings::prompt, d.prompt);
  take(&Settings::spatial_prompt, d.spatial_prompt);
  take(&Settings::context_duration, d.context_duration);
  take(&Settings::max_tokens, d.max_tokens);
  if (d.trigger && !properties().was_set(s.settings, &Settings::trigger))
    for (int i = 0; i < int(std::size(kTriggerNicks)); ++i)
      if (*d.trigger == kTriggerNicks[i]) s.settings.trigger = i;
}

// One error, at once, for a voice that is not there; and the rate of what is.
void check_voice(State& s) {
  std::string voice;
  {
    std::lock_guard guard(s.settings.lock);
    voice = s.settings.voice;
  }
  omni::SpeechOptions o;
  o.voice = voice;
  const int rate = s.engine->make_speech(o)->sample_rate();
  for_outputs(s, [&](GstOmniOutput& out) {
    if (out.kind() == GstOmniOutput::Kind::speech)
      static_cast<GstOmniSpeechOutput&>(out).set_rate(rate);
  });
}

void make_session(GstOmniModel* self) {
  State& s = state(self);
  omni::SessionOptions o;
  {
    std::lock_guard guard(s.lock);
    for (const Input& in : s.inputs)
      if (!in.is_prompt) (in.modality == omni::Modality::audio ? o.audio : o.video) = true;
  }
  o.speech = has_speech(s);
  {
    std::lock_guard guard(s.settings.lock);
    o.system_prompt = s.settings.system_prompt;
    o.context_duration = omni::Nanoseconds(s.settings.context_duration * GST_SECOND);
    o.seed = guint64(s.settings.seed);
  }
  std::shared_ptr<omni::Session> session = s.engine->make_session(o);
  std::lock_guard guard(s.lock);
  s.session = std::move(session);
  s.tracker.reset();
  s.media_end = s.asked_until = 0;
  s.eos_asked = s.eos_sent = false;
}

GstClockTime reported_latency(GstOmniModel* self, GstClockTime upstream) {
  State& s = state(self);
  bool has_audio = false, has_video = false;
  {
    std::lock_guard guard(s.lock);
    for (const Input& in : s.inputs)
      if (!in.is_prompt) (in.modality == omni::Modality::audio ? has_audio : has_video) = true;
  }
  std::lock_guard guard(s.settings.lock);
  GstClockTime own = s.settings.latency == G_MAXUINT ? 0 : s.settings.latency * GST_MSECOND;
  if (has_video && !has_audio) own += kChunk;
  if (s.settings.trigger == int(Trigger::interval)) own += s.settings.interval * GST_MSECOND;
  return upstream + own;
}

bool upstream_latency(GstOmniModel* self, bool& live, GstClockTime& min) {
  State& s = state(self);
  std::vector<PadPtr> pads;
  {
    std::lock_guard guard(s.lock);
    for (const Input& in : s.inputs) pads.emplace_back(GST_PAD(gst_object_ref(in.pad)));
  }
  live = false;
  min = 0;
  bool known = false;
  for (const PadPtr& pad : pads) {
    QueryPtr query(gst_query_new_latency());
    if (!gst_pad_peer_query(pad.get(), query.get())) continue;
    gboolean pad_live = FALSE;
    GstClockTime pad_min = 0;
    gst_query_parse_latency(query.get(), &pad_live, &pad_min, nullptr);
    known = true;
    live |= bool(pad_live);
    if (pad_live) min = std::max(min, pad_min);
  }
  return known;
}

void note_delay(GstOmniModel* self, GstClockTime due, bool is_live) {
  const GstClockTime now = gst_omni_running_time_now(GST_ELEMENT(self));
  if (!is_live || !GST_CLOCK_TIME_IS_VALID(now)) return;
  State& s = state(self);
  const GstClockTime delay = now > due ? now - due : 0;
  bool live = false, higher = false;
  GstClockTime upstream = 0;
  upstream_latency(self, live, upstream);
  GstClockTime promised = reported_latency(self, upstream);
  {
    std::lock_guard guard(s.settings.lock);
    promised += s.settings.lateness * GST_MSECOND;
  }
  bool warn = false;
  {
    std::lock_guard guard(s.lock);
    higher = s.delay.add(delay);
    if (delay > promised && !s.warned) warn = s.warned = true;
  }
  if (higher) g_object_notify(G_OBJECT(self), "max-observed-delay");
  if (warn)
    gst_omni_warn_late(GST_ELEMENT(self), "media", delay, promised,
                       "a smaller model, fewer pixels or a lower frame-rate");
}

void for_outputs(State& s, const std::function<void(GstOmniOutput&)>& call) {
  std::lock_guard guard(s.lock);
  for (const auto& o : s.outputs) call(*o);
}

// Which pads an answer is for.
enum class Audience { text, spatial, everyone };

bool has_output(State& s, GstOmniOutput::Kind kind) {
  std::lock_guard guard(s.lock);
  return std::any_of(s.outputs.begin(), s.outputs.end(),
                     [&](const auto& o) { return o->kind() == kind; });
}

// The objects of an answer on the frame they were seen in, as a document. Empty where there is
// nothing to tell.
std::string spatial_document(State& s, const omni::Session& session, const omni::Answer& answer,
                             std::vector<omni::SpatialObject> objects,
                             omni::SpatialParser::Counts counts, const std::string& question,
                             GstClockTime start, GstClockTime duration) {
  if (!answer.picture) return {};
  Tracking tracking;
  {
    std::lock_guard guard(s.settings.lock);
    tracking = Tracking(s.settings.tracking);
  }
  omni::SpatialResult r;
  r.question = question;
  r.checkpoint = s.engine->fingerprint();
  r.start = omni::Nanoseconds(start), r.duration = omni::Nanoseconds(duration);
  r.frame_time = answer.picture->time;
  r.geometry = answer.picture->geometry;
  r.complete = answer.complete;
  r.counts = counts;
  r.objects = std::move(objects);
  to_source(r.objects, session.coordinates(), r.geometry);
  if (tracking != Tracking::none) s.tracker.update(r.objects, r.frame_time);
  if (tracking == Tracking::match)
    for (omni::SpatialObject& o : r.objects) o.velocity.reset();
  return to_json(r) + "\n";
}

// Asks about the context, and sends the answer as text for [start, start + duration) and its
// objects for the last frame that was seen.
void ask(GstOmniModel* self, const std::string& question, GstClockTime start, GstClockTime duration,
         Audience audience) {
  State& s = state(self);
  std::shared_ptr<omni::Session> session;
  bool is_live = false;
  {
    std::lock_guard guard(s.lock);
    session = s.session;
    is_live = s.live;
    if (s.outputs.empty())
      GST_DEBUG_OBJECT(self, "no source pad: the answer leaves as a message only");
  }
  const bool spatial = has_output(s, GstOmniOutput::Kind::spatial);
  omni::SpatialParser parser(session->coordinates());
  std::vector<omni::SpatialObject> objects;
  const auto listen = [&](const omni::AnswerToken& t) {
    for (omni::SpatialObject& o : parser.push(t.bytes, t.probability))
      objects.push_back(std::move(o));
  };
  const auto spoken =
      audience == Audience::spatial
          ? nullptr
          : begin_spoken_answer(self, question, start + duration, audience == Audience::everyone);
  omni::Answer answer;
  try {
    answer = session->ask(question, sampling_options(s, audience == Audience::spatial || !spatial),
                          spatial ? std::function<void(const omni::AnswerToken&)>(listen) : nullptr,
                          spoken ? spoken->speech() : nullptr);
  } catch (...) {
    if (spoken) spoken->give_up();
    throw;
  }
  if (spoken) spoken->set_text(answer.text);
  const omni::SpatialParser::Counts counts = parser.finish();
  bool desynchronised = false;
  {
    std::lock_guard guard(s.settings.lock);
    desynchronised = s.settings.latency == G_MAXUINT;
  }
  const GstClockTime due = start;
  if (desynchronised && is_live)
    if (const GstClockTime now = gst_omni_running_time_now(GST_ELEMENT(self));
        GST_CLOCK_TIME_IS_VALID(now))
      start = now;
  std::string document;
  if (spatial && (audience == Audience::spatial || !objects.empty()))
    document =
        spatial_document(s, *session, answer, std::move(objects), counts, question, due, duration);
  for_outputs(s, [&](GstOmniOutput& o) {
    if (o.kind() == GstOmniOutput::Kind::speech) return;
    auto& out = static_cast<GstOmniTextOutput&>(o);
    if (o.kind() == GstOmniOutput::Kind::spatial) {
      if (!document.empty())
        out.push_result(document, GstClockTime(answer.picture->time),
                        due + duration > GstClockTime(answer.picture->time)
                            ? due + duration - GstClockTime(answer.picture->time)
                            : 0);
      else if (audience == Audience::spatial)
        o.push_gap(start + duration);
    } else if (audience != Audience::spatial && !spoken) {
      if (answer.text.empty())
        out.push_gap(start + duration);
      else
        out.push_result(answer.text, start, duration);
    }
  });
  {
    std::lock_guard guard(s.lock);
    ++s.n_answers;
    s.n_tokens += guint64(answer.tokens);
    s.n_objects += guint64(counts.objects), s.n_repaired += guint64(counts.repaired),
        s.n_malformed += guint64(counts.malformed);
    s.first_token.add(GstClockTime(answer.first_token));
    if (answer.tokens > 1)
      s.per_token_ms =
          double(answer.total - answer.first_token) / double(answer.tokens - 1) / GST_MSECOND;
    s.context_tokens = guint64(session->n_context_tokens());
    s.n_late = guint64(session->n_late_segments());
  }
  gst_element_post_message(
      GST_ELEMENT(self),
      gst_message_new_element(
          GST_OBJECT(self),
          gst_structure_new(
              "omni/answer", "text", G_TYPE_STRING, answer.text.c_str(), "question", G_TYPE_STRING,
              question.c_str(), "spatial", G_TYPE_BOOLEAN, gboolean(audience == Audience::spatial),
              "running-time", G_TYPE_UINT64, guint64(start), "duration", G_TYPE_UINT64,
              guint64(duration), "tokens", G_TYPE_INT, answer.tokens, "complete", G_TYPE_BOOLEAN,
              gboolean(answer.complete), "ttft", G_TYPE_UINT64, guint64(answer.first_token),
              "total", G_TYPE_UINT64, guint64(answer.total), nullptr)));
  note_delay(self, due, is_live);
}

// The questions that stand: `prompt` for text pads and for whoever listens on the bus,
// `spatial-prompt` for spatial pads.
void ask_standing(GstOmniModel* self, GstClockTime start, GstClockTime duration) {
  State& s = state(self);
  std::string prompt, spatial_prompt;
  {
    std::lock_guard guard(s.settings.lock);
    prompt = s.settings.prompt, spatial_prompt = s.settings.spatial_prompt;
  }
  const bool spatial = has_output(s, GstOmniOutput::Kind::spatial);
  if (has_output(s, GstOmniOutput::Kind::text) || !spatial)
    ask(self, prompt, start, duration, Audience::text);
  if (spatial) ask(self, spatial_prompt, start, duration, Audience::spatial);
}

void chunk_entered(GstOmniModel* self, const omni::TimeSpan& span) {
  State& s = state(self);
  const auto start = GstClockTime(std::max<omni::Nanoseconds>(0, span.start)),
             end = start + GstClockTime(span.duration);
  Trigger trigger;
  GstClockTime interval;
  {
    std::lock_guard guard(s.settings.lock);
    trigger = Trigger(s.settings.trigger);
    interval = s.settings.interval * GST_MSECOND;
  }
  if (s.media_end == 0) s.asked_until = start;
  s.media_end = end;
  if (trigger == Trigger::chunk && end - start < kWorthACaption) {
    for_outputs(s, [&](GstOmniOutput& o) { o.push_gap(end); });
  } else if (trigger == Trigger::chunk) {
    ask_standing(self, start, end - start);
    s.asked_until = end;
  } else if (trigger == Trigger::interval && end >= s.asked_until + interval) {
    ask_standing(self, s.asked_until, end - s.asked_until);
    s.asked_until = end;
  } else {
    // What comes later is of the last picture, and text of all since it was asked the last time.
    const bool text_waits = trigger == Trigger::interval || trigger == Trigger::eos;
    for_outputs(s, [&](GstOmniOutput& o) {
      if (!text_waits || o.kind() == GstOmniOutput::Kind::spatial) o.push_gap(start);
    });
  }
}

// A question that is due, if any.
bool next_question(State& s, bool all_ended, Question& out) {
  std::lock_guard guard(s.lock);
  if (s.questions.empty()) return false;
  const bool due = s.live || all_ended || s.questions.front().time <= s.media_end;
  if (!due) return false;
  out = std::move(s.questions.front());
  s.questions.pop_front();
  return true;
}

struct Taken {
  enum { nothing, segment, track_ended } what = nothing;
  BufferPtr buffer;
  GstClockTime time = 0;
  omni::Modality modality{};
  int hidden = 0;
};

// The next thing to do for the media pads, earliest first. Under the lock. When nothing is live, no
// track runs further ahead than kMostAhead: the others would have to be kept waiting without bound.
Taken take(State& s) {
  GstClockTime slowest = GST_CLOCK_TIME_NONE;
  for (const Input& in : s.inputs)
    if (!in.is_prompt && !in.eos_told) slowest = std::min(slowest, in.reached);
  Input* best = nullptr;
  for (Input& in : s.inputs) {
    if (in.is_prompt) continue;
    if (in.queue.empty() && in.eos && !in.eos_told) {
      in.eos_told = true;
      return {Taken::track_ended, nullptr, 0, in.modality, 0};
    }
    if (in.queue.empty() || (!s.live && in.reached > slowest + kMostAhead)) continue;
    if (!best || in.queue.front().time < best->queue.front().time) best = &in;
  }
  if (!best) return {};
  Taken t{Taken::segment, std::move(best->queue.front().buffer), best->queue.front().time,
          best->modality, best->hidden};
  best->queue.pop_front();
  best->reached =
      t.time +
      (GST_BUFFER_DURATION_IS_VALID(t.buffer.get()) ? GST_BUFFER_DURATION(t.buffer.get()) : 0);
  return t;
}

bool media_ended(const State& s) {  // under the lock
  bool any = false, all = true, prompts = true;
  for (const Input& in : s.inputs) {
    if (in.is_prompt) {
      prompts &= in.eos;
      continue;
    }
    any = true;
    all &= in.eos_told && in.queue.empty();
  }
  return any ? all : prompts && !s.inputs.empty();
}

// One round. False when there is nothing to do.
bool work(GstOmniModel* self) {
  State& s = state(self);
  Taken taken;
  bool ended = false, reset = false, needed = false;
  std::shared_ptr<omni::Session> session;
  {
    std::lock_guard guard(s.lock);
    if (s.n_flushing > 0 || s.stopping) return false;
    session = s.session;
    reset = std::exchange(s.reset_pending, false);
    taken = take(s);
    ended = media_ended(s);
    needed = taken.what != Taken::nothing || !s.questions.empty();
  }
  // Made for the first thing that comes: the pads that there are tell it what it waits for, and a
  // decoder's pads come late.
  if (session ? reset : needed) {
    make_session(self);
    std::lock_guard guard(s.lock);
    session = s.session;
  }
  s.changed.notify_all();
  if (taken.what == Taken::segment) {
    omni::Segment segment =
        gst_omni_tokens_segment(taken.buffer.get(), taken.modality, taken.hidden);
    segment.start = omni::Nanoseconds(taken.time);
    session->append(std::move(segment));
  } else if (taken.what == Taken::track_ended) {
    session->end(taken.modality);
  }
  bool progress = taken.what != Taken::nothing;
  bool live = false;
  {
    std::lock_guard guard(s.lock);
    live = s.live;
  }
  while (const auto span = session ? session->advance(!live) : std::nullopt) {
    chunk_entered(self, *span);
    progress = true;
  }
  Question question;
  while (session && next_question(s, ended, question)) {
    const GstClockTime start =
        std::max(s.media_end > kChunk ? s.media_end - kChunk : 0, question.time);
    ask(self, question.text, start, kChunk, Audience::everyone);
    progress = true;
  }
  // The end follows what is still being spoken: its text has no place in time before.
  if (ended && !progress && !s.eos_sent && !is_speaking(s)) {
    Trigger trigger;
    {
      std::lock_guard guard(s.settings.lock);
      trigger = Trigger(s.settings.trigger);
    }
    if (!s.eos_asked && s.media_end > 0 &&
        (trigger == Trigger::eos || (trigger == Trigger::interval && s.media_end > s.asked_until)))
      ask_standing(self, s.asked_until, s.media_end - s.asked_until);
    s.eos_asked = true;
    if (is_speaking(s)) return false;
    s.eos_sent = true;
    for_outputs(s, [&](GstOmniOutput& o) {
      o.push_gap(s.media_end);
      o.push_eos();
    });
  }
  return progress;
}

void fail(GstOmniModel* self) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    s.failed = true;
  }
  s.changed.notify_all();
  for_outputs(s, [](GstOmniOutput& o) { o.push_eos(); });
}

void run_worker(GstOmniModel* self) {
  State& s = state(self);
  const bool loaded = gst_omni_guard(self, false, [&] {
    const bool speech = has_speech(s);
    auto engine = s.engine_context.open(
        [&] {
          std::lock_guard guard(s.lock);
          return !s.stopping;
        },
        speech);
    {
      std::lock_guard guard(s.lock);
      s.engine = std::move(engine);
    }
    take_defaults(s);
    if (speech) check_voice(s);
    return true;
  });
  bool stopping = false;
  {
    std::lock_guard guard(s.lock);
    stopping = s.stopping;
  }
  if (!loaded) {
    if (!stopping) fail(self);
    return;
  }
  gst_element_post_message(GST_ELEMENT(self), gst_message_new_latency(GST_OBJECT(self)));
  for (;;) {
    guint64 told = 0;
    {
      std::lock_guard guard(s.lock);
      told = s.n_told;
    }
    const GstOmniRound round = gst_omni_round(self, [&] { return work(self); });
    if (round == GstOmniRound::broken) return fail(self);
    std::unique_lock lock(s.lock);
    if (round == GstOmniRound::cancelled) s.reset_pending = true;  // what was half done is void
    if (round == GstOmniRound::idle)
      s.changed.wait(lock, [&] { return s.stopping || s.n_told != told; });
    if (s.stopping) return;
  }
}

void start_worker(GstOmniModel* self) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    s.stopping = s.failed = s.warned = false;
    s.reset_pending = s.eos_asked = s.eos_sent = false;
    s.media_end = s.asked_until = 0;
    s.n_answers = s.n_tokens = s.n_dropped = s.n_late = s.context_tokens = s.n_objects =
        s.n_repaired = s.n_malformed = 0;
    s.n_spoken = s.n_unspoken = s.n_interrupted = 0;
    s.delay = s.first_token = s.first_sound = GstOmniDelays();
    s.per_token_ms = 0;
  }
  s.worker = std::thread([self] { run_worker(self); });
}

void stop_worker(GstOmniModel* self) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    s.stopping = true;
    if (s.session) s.session->cancel();
  }
  s.tell_worker();
  if (s.worker.joinable()) s.worker.join();
  std::lock_guard guard(s.lock);
  s.session.reset();
  s.engine.reset();
  s.questions.clear();
  for (Input& in : s.inputs) in.queue.clear();
}

}  // namespace gst_omni_model
