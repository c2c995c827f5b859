// omnimodel's thread: loads the checkpoint, makes the session, and gives the source pads and the
// bus what the session says.
#include <algorithm>
#include <bit>
#include <utility>

#include "common/gstomniguard.h"
#include "model/gstomnimodelstate.h"
#include "model/gstomnitextpad.h"
#include "streams/gstomniclock.h"

GST_DEBUG_CATEGORY_EXTERN(gst_omni_model_debug);
#define GST_CAT_DEFAULT gst_omni_model_debug

namespace gst_omni_model {

using Kind = GstOmniOutput::Kind;

bool State::has(Kind kind) const {
  return std::any_of(outputs.begin(), outputs.end(),
                     [&](const auto& o) { return o->kind() == kind; });
}

Pads State::output_pads() const {
  Pads pads;
  for (const GstOmniOutput* o : outputs) pads.emplace_back(GST_PAD(gst_object_ref(o->pad())));
  return pads;
}

namespace {

std::shared_ptr<omni::Session> session_of(State& s) {
  std::lock_guard guard(s.lock);
  return s.session;
}

omni::ClockReading read_clock(GstOmniModel* self) {
  omni::ClockReading reading{.live = state(self).live};
  const GstClockTime now = gst_omni_running_time_now(GST_ELEMENT(self));
  if (GST_CLOCK_TIME_IS_VALID(now)) reading.now = omni::Nanoseconds(now);
  return reading;
}

// --- what the session is told

// What the checkpoint asks for becomes the value of the properties that nobody set.
void take_defaults(State& s, const omni::CheckpointDefaults& d) {
  std::lock_guard guard(s.settings.lock);
  auto take = [&](auto member, const auto& value) {
    if (value && !State::properties().was_set(s.settings, member)) s.settings.*member = *value;
  };
  take(&Settings::system_prompt, d.system_prompt);
  take(&Settings::prompt, d.prompt);
  take(&Settings::spatial_prompt, d.spatial_prompt);
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

// Of the properties. Call with the settings locked.
omni::SessionSettings of_properties(const Settings& s) {
  omni::SessionSettings o;
  o.trigger = omni::Trigger(s.trigger);
  o.interval = omni::Nanoseconds(s.interval * GST_MSECOND);
  o.prompt = s.prompt;
  o.spatial_prompt = s.spatial_prompt;
  o.sampling = {int(s.max_tokens), s.temperature,        s.top_p,
                int(s.top_k),      s.repetition_penalty, s.json_schema};
  o.tracking = omni::Tracking(s.tracking);
  o.speech.voice = s.voice;
  o.speech.seed = uint64_t(s.seed);
  o.barge_in = s.barge_in;
  o.stamped_when_ready = s.latency == G_MAXUINT;
  return o;
}

// Of the pads. Call with the element locked.
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

// All but the pads.
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

// One error, at once, for a voice that is not there; and the rate of what is.
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
  o.context_duration = omni::Nanoseconds(s.settings.context_duration * GST_SECOND);
  o.seed = guint64(s.settings.seed);
  return o;
}

// Under the lock.
void tell_ends(const State& s, omni::Session& session) {
  bool has_questions = false, questions_ended = true;
  for (const Input* in : s.inputs) {
    if (in->is_prompt) {
      has_questions = true;
      questions_ended &= in->eos;
    } else if (in->eos) {
      session.put(omni::TrackEnded{in->track()});
    }
  }
  if (has_questions && questions_ended) session.put(omni::TrackEnded{omni::Track::questions});
}

void fail(GstOmniModel* self) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    s.failed = true;
    for (GstOmniOutput* o : s.outputs) o->push_eos();
  }
  s.changed.notify_all();
}

void note_refused(GstOmniModel* self, const std::string& question) {
  State& s = state(self);
  guint64 n = 0;
  {
    std::lock_guard guard(s.lock);
    n = ++s.n_refused;
  }
  if (std::has_single_bit(n))
    GST_ELEMENT_WARNING(self, CORE, TOO_LAZY,
                        ("%" G_GUINT64_FORMAT " questions were not asked: too many waited", n),
                        ("the last of them: %s", question.c_str()));
}

// --- what the session says

class Router {
 public:
  explicit Router(GstOmniModel* self, std::shared_ptr<const omni::Engine> engine)
      : self_(self), s_(state(self)), engine_(std::move(engine)) {}

  void route(omni::Event& event) {
    Pads outputs;
    {
      std::lock_guard guard(s_.lock);
      outputs = s_.output_pads();
    }
    for (const PadPtr& pad : outputs) output_of(pad.get())->wait_for_room();
    event_ = &event;
    start_ = GstClockTime(std::max<omni::Nanoseconds>(0, event.span.start));
    duration_ = GstClockTime(std::max<omni::Nanoseconds>(0, event.span.duration));
    std::visit([this](auto& what) { take(what); }, event.what);
  }

 private:
  // Gives to the outputs, unless a flush has come in between.
  template <class Give>
  void give(const Give& give) {
    std::lock_guard guard(s_.lock);
    if (event_->epoch != s_.epoch) return;
    for (GstOmniOutput* o : s_.outputs) give(*o);
  }

  void take(const omni::TimeAdvanced& advanced) {
    give([&](GstOmniOutput& o) {
      const bool concerned = o.kind() == Kind::text      ? advanced.text
                             : o.kind() == Kind::spatial ? advanced.objects
                                                         : advanced.speech;
      if (concerned) o.push_gap(start_ + duration_);
    });
  }

  void take(const omni::TurnBegan&) {}
  void take(const omni::Flushed&) {}

  void take(const omni::TextPiece& piece) {
    if (piece.text.empty()) return;
    give([&](GstOmniOutput& o) {
      if (o.kind() == Kind::text && gst_omni_text_pad_wants_pieces(o.pad()))
        static_cast<GstOmniTextOutput&>(o).push_piece(piece.text, start_, duration_, piece.is_last);
    });
  }

  void take(const omni::AnswerText& answer) {
    give([&](GstOmniOutput& o) {
      if (o.kind() == Kind::text && !gst_omni_text_pad_wants_pieces(o.pad()))
        static_cast<GstOmniTextOutput&>(o).push_result(answer.text, start_, duration_);
    });
  }

  void take(omni::SpatialResult& result) {
    result.checkpoint = engine_->fingerprint();
    const std::string document = to_json(result) + "\n";
    give([&](GstOmniOutput& o) {
      if (o.kind() == Kind::spatial)
        static_cast<GstOmniTextOutput&>(o).push_result(document, start_, duration_);
    });
  }

  void take(omni::Utterance& said);
  void take(const omni::TurnDone& done);
  void take(const omni::TurnDropped& dropped);

  void take(const omni::Failed& failed) {
    if (!failed.is_fatal && failed.error.code() == omni::ErrorCode::corrupt_file) {
      GST_ELEMENT_WARNING(self_, STREAM, DECODE,
                          ("A question was not asked: %s", failed.error.what()), (nullptr));
      return;
    }
    gst_omni_post_error(GST_ELEMENT(self_), failed.error);
    fail(self_);
  }

  void take(const omni::EndOfStream&) {
    give([](GstOmniOutput& o) { o.push_eos(); });
  }

  void post_overdue();

  GstOmniModel* const self_;
  State& s_;
  const std::shared_ptr<const omni::Engine> engine_;
  omni::Event* event_ = nullptr;
  guint64 n_answers_ = 0, n_overdue_ = 0;
  GstClockTime start_ = 0, duration_ = 0;
};

// --- speech

constexpr const char* kEndNicks[] = {"finished", "interrupted", "runaway"};

void post_end(GstOmniModel* self, const std::string& question, omni::SpeechEnd end,
              GstClockTime start, GstClockTime heard) {
  gst_element_post_message(
      GST_ELEMENT(self),
      gst_message_new_element(
          GST_OBJECT(self),
          gst_structure_new("omni/speech", "end", G_TYPE_STRING, kEndNicks[int(end)], "question",
                            G_TYPE_STRING, question.c_str(), "running-time", G_TYPE_UINT64,
                            guint64(start), "duration", G_TYPE_UINT64, guint64(heard), nullptr)));
  if (end == omni::SpeechEnd::runaway)
    GST_ELEMENT_WARNING(self, STREAM, FAILED,
                        ("Speech was stopped after %.1f s: it went on far longer than its text",
                         double(heard) / GST_SECOND),
                        ("the answer to \"%s\"", question.c_str()));
}

void Router::take(omni::Utterance& said) {
  auto utterance = std::make_shared<GstOmniUtterance>();
  utterance->speech = said.speech;
  utterance->not_before = start_;
  utterance->checkpoint = engine_->fingerprint();
  utterance->voice = said.voice;
  const auto session = session_of(s_);
  // The pad may keep the utterance for longer than there is a session.
  const auto put = [weak = std::weak_ptr(session)](omni::Input&& input) {
    if (const auto there = weak.lock()) there->put(std::move(input));
  };
  const GstClockTime asked = gst_omni_running_time_now(GST_ELEMENT(self_));
  utterance->on_begin = [self = self_, put, asked, turn = event_->turn](GstClockTime begin) {
    const GstClockTime now = gst_omni_running_time_now(GST_ELEMENT(self));
    if (GST_CLOCK_TIME_IS_VALID(asked) && GST_CLOCK_TIME_IS_VALID(now) && now > asked) {
      std::lock_guard guard(state(self).lock);
      state(self).first_sound.add(now - asked);
    }
    put(omni::SpeechBegan{turn, omni::Nanoseconds(begin)});
  };
  utterance->on_end = [self = self_, put, turn = event_->turn, question = said.question](
                          omni::SpeechEnd end, GstClockTime begin, GstClockTime heard) {
    put(omni::SpeechEnded{turn, end, omni::Nanoseconds(begin), omni::Nanoseconds(heard)});
    post_end(self, question, end, begin, heard);
  };
  bool is_taken = false;
  give([&](GstOmniOutput& o) {
    if (o.kind() == Kind::speech) is_taken = static_cast<GstOmniSpeechOutput&>(o).speak(utterance);
  });
  if (!is_taken)
    put(omni::SpeechEnded{event_->turn, omni::SpeechEnd::interrupted, omni::Nanoseconds(start_),
                          0});
}

// --- turns

void Router::take(const omni::TurnDone& done) {
  const omni::Answer& a = done.answer;
  ++n_answers_;
  {
    std::lock_guard guard(s_.lock);
    if (event_->epoch != s_.epoch) return;
    s_.first_token.add(GstClockTime(a.first_token));
    if (a.tokens > 1)
      s_.per_token_ms = double(a.total - a.first_token) / double(a.tokens - 1) / GST_MSECOND;
  }
  gst_element_post_message(
      GST_ELEMENT(self_),
      gst_message_new_element(
          GST_OBJECT(self_),
          gst_structure_new("omni/answer", "text", G_TYPE_STRING, a.text.c_str(), "question",
                            G_TYPE_STRING, done.question.c_str(), "spatial", G_TYPE_BOOLEAN,
                            gboolean(done.about_objects), "running-time", G_TYPE_UINT64,
                            guint64(start_), "duration", G_TYPE_UINT64, guint64(duration_),
                            "tokens", G_TYPE_INT, a.tokens, "complete", G_TYPE_BOOLEAN,
                            gboolean(a.complete), "ttft", G_TYPE_UINT64, guint64(a.first_token),
                            "total", G_TYPE_UINT64, guint64(a.total), nullptr)));
  note_delay(self_, GstClockTime(done.due));
}

void Router::take(const omni::TurnDropped& dropped) {
  if (dropped.why == omni::TurnDropped::Why::overdue)
    post_overdue();
  else
    note_refused(self_, dropped.question);
}

void Router::post_overdue() {
  ++n_overdue_;
  GstMessage* m = gst_message_new_qos(GST_OBJECT(self_), TRUE, start_, GST_CLOCK_TIME_NONE,
                                      GST_CLOCK_TIME_NONE, duration_);
  gst_message_set_qos_stats(m, GST_FORMAT_BUFFERS, n_answers_, n_overdue_);
  gst_element_post_message(GST_ELEMENT(self_), m);
  if (std::has_single_bit(n_overdue_))
    GST_ELEMENT_WARNING(
        self_, STREAM, FAILED,
        ("%" G_GUINT64_FORMAT " answers would have come later than promised and were not given",
         n_overdue_),
        ("use a smaller model, fewer pixels, a lower frame-rate or a longer "
         "`interval`, or raise `latency`"));
}

// --- the thread

// Whoever comes from now on finds it.
std::shared_ptr<omni::Session> begin_session(State& s, const omni::Engine& engine,
                                             omni::SessionOptions& options) {
  std::lock_guard guard(s.lock);
  add_pads(s, options.settings);
  s.session = engine.make_session(options);
  s.epoch = 0;
  tell_ends(s, *s.session);
  for (std::string& question : s.early) s.session->ask({std::move(question)});
  s.early.clear();
  return s.session;
}

void run_task(GstOmniModel* self, const std::stop_token& stop) {
  State& s = state(self);
  std::shared_ptr<const omni::Engine> engine;
  omni::SessionOptions options;
  const bool loaded = gst_omni_guard(self, false, [&] {
    bool speech = false;
    {
      std::lock_guard guard(s.lock);
      speech = s.has(Kind::speech);
    }
    engine = s.engine_context.open([&] { return !stop.stop_requested(); }, speech);
    const auto chunk = GstClockTime(engine->chunk_duration());
    {
      std::lock_guard guard(s.lock);
      s.engine = engine;
      s.chunk = chunk;
    }
    take_defaults(s, engine->defaults());
    if (speech) check_voice(s, *engine);
    options = session_options(self, *engine);
    return true;
  });
  if (!loaded) {
    if (!stop.stop_requested()) fail(self);
    return;
  }
  const auto session = begin_session(s, *engine, options);
  s.changed.notify_all();
  gst_element_post_message(GST_ELEMENT(self), gst_message_new_latency(GST_OBJECT(self)));
  Router router(self, std::move(engine));
  while (auto event = session->next(stop))
    gst_omni_guard(self, false, [&] {
      router.route(*event);
      return true;
    });
}

}  // namespace

void start_task(GstOmniModel* self) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    s.stopping = s.failed = false;
    s.last_stats = {};
    s.delay = s.first_token = s.first_sound = GstOmniDelays();
    s.per_token_ms = 0;
    s.warned_delay = s.n_refused = 0;
    s.stop = std::stop_source();
  }
  s.task = std::thread([self, stop = s.stop.get_token()] { run_task(self, stop); });
}

void stop_task(GstOmniModel* self) {
  State& s = state(self);
  s.stop.request_stop();
  if (s.task.joinable()) s.task.join();
  std::shared_ptr<omni::Session> session;  // ends without the lock
  std::shared_ptr<const omni::Engine> engine;
  std::lock_guard guard(s.lock);
  if (s.session) s.last_stats = s.session->stats();
  session.swap(s.session);
  engine.swap(s.engine);
  s.early.clear();
}

void update_session(GstOmniModel* self) {
  State& s = state(self);
  std::shared_ptr<const omni::Engine> engine;
  {
    std::lock_guard guard(s.lock);
    engine = s.engine;
  }
  if (!engine) return;
  omni::SessionSettings settings = session_settings(self, *engine);
  std::lock_guard guard(s.lock);
  add_pads(s, settings);
  if (s.session) s.session->set(settings);
}

void ask(GstOmniModel* self, const char* question) {
  State& s = state(self);
  std::string refused;
  {
    std::lock_guard guard(s.lock);
    if (s.session) {
      s.session->ask({question});
      return;
    }
    s.early.emplace_back(question);
    if (s.early.size() <= kMostEarly) return;
    refused = std::move(s.early.front());
    s.early.pop_front();
  }
  note_refused(self, refused);
}

void interrupt(GstOmniModel* self) {
  if (const auto session = session_of(state(self))) session->interrupt();
}

bool is_interrupt_event(GstEvent* event) {
  const GstStructure* structure = gst_event_get_structure(event);
  return GST_EVENT_TYPE(event) >= GST_EVENT_CUSTOM_UPSTREAM && structure &&
         gst_structure_has_name(structure, "omni-interrupt");
}

std::unique_ptr<GstOmniOutput> make_speech_output(GstOmniModel* self, GstPad* pad) {
  const auto now = [self]() -> std::optional<GstClockTime> {
    const omni::ClockReading reading = read_clock(self);
    if (!reading.live || !reading.now) return std::nullopt;
    return GstClockTime(*reading.now);
  };
  const auto guard = [self](const std::function<void()>& body) {
    return gst_omni_guard(self, false, [&] {
      body();
      return true;
    });
  };
  return std::make_unique<GstOmniSpeechOutput>(pad, now, guard);
}

}  // namespace gst_omni_model
