// omnimodel's thread: loads the checkpoint, makes the session, and routes what it says. And what
// the other threads ask of the session.
#include <algorithm>
#include <bit>
#include <utility>

#include "common/gstomniguard.h"
#include "model/gstomnimodelrouter.h"
#include "model/gstomnimodelstate.h"

GST_DEBUG_CATEGORY_EXTERN(gst_omni_model_debug);
#define GST_CAT_DEFAULT gst_omni_model_debug

namespace gst_omni_model {

using Kind = GstOmniOutput::Kind;

bool State::has(Kind kind) const {
  return std::any_of(outputs.begin(), outputs.end(),
                     [&](const auto& o) { return o->kind() == kind; });
}

// Where nothing is downstream it ends the pipeline.
void State::find_out_if_sink() const {
  if (outputs.empty())
    GST_OBJECT_FLAG_SET(self, GST_ELEMENT_FLAG_SINK);
  else
    GST_OBJECT_FLAG_UNSET(self, GST_ELEMENT_FLAG_SINK);
}

Pads State::output_pads() const {
  Pads pads;
  for (const GstOmniOutput* o : outputs) pads.emplace_back(GST_PAD(gst_object_ref(o->pad())));
  return pads;
}

std::shared_ptr<omni::Session> session_of(State& s) {
  std::lock_guard guard(s.lock);
  return s.session;
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

void not_stored(GstOmniModel* self, const std::string& path, bool loaded, const char* why) {
  GST_ELEMENT_WARNING(
      self, RESOURCE, FAILED,
      ("The session %s was not %s: %s", path.c_str(), loaded ? "loaded" : "saved", why), (nullptr));
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

namespace {

// --- the thread

// Whoever comes from now on finds it.
std::shared_ptr<omni::Session> begin_session(State& s, const omni::Engine& engine,
                                             omni::SessionOptions& options) {
  std::string load_session;
  {
    std::lock_guard guard(s.settings.lock);
    load_session = s.settings.load_session;
  }
  std::lock_guard guard(s.lock);
  add_pads(s, options.settings);
  s.session = engine.make_session(options);
  s.epoch = 0;
  if (!load_session.empty()) s.session->load(load_session);
  tell_streams(s, *s.session);
  for (std::string& question : s.early) s.session->ask({std::move(question)});
  s.early.clear();
  return s.session;
}

void run_task(GstOmniModel* self, const std::stop_token& stop) {
  State& s = state(self);
  std::shared_ptr<const omni::Engine> engine;
  std::shared_ptr<omni::Session> session;
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
    omni::SessionOptions options = session_options(self, *engine);
    session = begin_session(s, *engine, options);
    return true;
  });
  if (!loaded) {
    if (!stop.stop_requested()) fail(self);
    return;
  }
  update_session(self);  // of what was set since its options were read
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
    s.find_out_if_sink();
    s.last_stats = {};
    s.delay = s.first_token = s.first_sound = GstOmniDelays();
    s.per_token_ms = 0;
    s.late = {};
    s.n_refused = s.n_refused_results = s.n_silent = s.n_late_answers = 0;
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
  std::lock_guard one(s.updating);
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
