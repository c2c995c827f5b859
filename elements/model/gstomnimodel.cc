/**
 * element-omnimodel:
 *
 * Watches and listens: takes the tokens of one video and one audio stream, lays them out in running time, keeps the last `context-duration` of them as context,
 * and answers questions about it as text. Which question is asked when is the business of `trigger`; a text buffer on a `prompt_%u` pad and the action signal
 * `ask` are always answered. Each answer is also posted as an element message "omni/answer".
 *
 * A text buffer's PTS and duration are those of the media that it is about. Latency of a live stream = that of the slowest token stream + 2 s (a chunk, where
 * only video comes: sound already waits for it) + `interval` (where that is the trigger) + `latency` (time allowed for the answer).
 *
 * EOS leaves when all media streams have ended and everything asked has been answered; prompt pads hold it up only where there are no media.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -m videotestsrc num-buffers=120 ! omnivideotokenizer model-path=models/nano ! omnimodel ! fakesink dump=true
 * ]|
 */
#include "model/gstomnimodel.h"

#include <algorithm>
#include <list>
#include <thread>
#include <utility>

#include "common/gstomnicontext.h"
#include "common/gstomniguard.h"
#include "common/gstomnistats.h"
#include "model/gstomnioutput.h"
#include "tokens/gstomnitokens.h"

GST_DEBUG_CATEGORY_STATIC(gst_omni_model_debug);
#define GST_CAT_DEFAULT gst_omni_model_debug

namespace {

enum class Trigger { chunk, interval, prompt, eos, manual };

constexpr const char* kTriggerNicks[] = {"chunk", "interval", "prompt", "eos", "manual"};
constexpr GstClockTime kChunk = 2 * GST_SECOND;
constexpr GstClockTime kWorthACaption = 200 * GST_MSECOND;  // the padding of an encoder at the end of a recording is none
constexpr size_t kMostQueued = 16;                    // token buffers a pad
constexpr GstClockTime kMostAhead = 4 * kChunk;       // of one track before another, when nothing is live

GType trigger_get_type() {
  static const GEnumValue values[] = {{int(Trigger::chunk), "ask `prompt` after every chunk of media", "chunk"},
                                      {int(Trigger::interval), "ask `prompt` every `interval` of media", "interval"},
                                      {int(Trigger::prompt), "ask only what comes on prompt pads", "prompt"},
                                      {int(Trigger::eos), "ask `prompt` once, when the media end", "eos"},
                                      {int(Trigger::manual), "ask only on the signal `ask`", "manual"},
                                      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniTrigger", values);
  return type;
}

struct Settings : GstOmniEngineSettings {
  std::string system_prompt = "You are a helpful assistant.", prompt = "Describe what you see and hear.";
  int trigger = int(Trigger::chunk);
  guint interval = 10000, max_tokens = 256, top_k = 0, latency = 1000, lateness = 0;
  double temperature = 0, top_p = 1, repetition_penalty = 1, context_duration = 60;
  gint64 seed = 0;
};

const GstOmniProperties<Settings>& properties() {
  constexpr auto playing = GstOmniMutable::playing;
  static const GstOmniProperties<Settings> table = [] {
    auto rows = gst_omni_engine_properties<Settings>();
    const std::vector<GstOmniProperty<Settings>> own = {
        {"system-prompt", "System prompt", "Who the model is told to be (a checkpoint may carry its own)", &Settings::system_prompt},
        {"prompt", "Prompt", "The standing question (a checkpoint may carry its own)", &Settings::prompt, 0, 0, playing},
        {"trigger", "Trigger", "When the standing question is asked", &Settings::trigger, 0, 0, playing, trigger_get_type},
        {"interval", "Interval", "Media time between questions with trigger=interval, in ms", &Settings::interval, 1, 86400000, playing},
        {"max-tokens", "Most tokens", "Longest answer, in tokens", &Settings::max_tokens, 1, 1 << 20, playing},
        {"temperature", "Temperature", "Randomness of the answer (0 = always the likeliest token)", &Settings::temperature, 0, 100, playing},
        {"top-p", "Top-p", "Draw from the likeliest tokens that together have this probability", &Settings::top_p, 0, 1, playing},
        {"top-k", "Top-k", "Draw from this many likeliest tokens (0 = all)", &Settings::top_k, 0, 1 << 24, playing},
        {"repetition-penalty", "Repetition penalty", "Divides the odds of tokens that were there before (1 = off)", &Settings::repetition_penalty, 0.01, 100, playing},
        {"seed", "Seed", "Of the random draws: the same media, questions and seed give the same answers", &Settings::seed, 0, double(gint64{1} << 53)},
        {"context-duration", "Context duration", "Seconds of media that the model remembers (a checkpoint may carry its own)", &Settings::context_duration, 0.1, 86400},
        {"latency", "Latency", "Time allowed for an answer, in ms, as reported to live pipelines (4294967295 = text is stamped with the time at which it leaves)",
         &Settings::latency, 0, double(G_MAXUINT)},
        {"lateness", "Lateness", "Shift of the text's time against the media, in ms: it comes this much later and nothing else waits for it", &Settings::lateness, 0, 86400000},
    };
    rows.insert(rows.end(), own.begin(), own.end());
    return GstOmniProperties<Settings>(rows);
  }();
  return table;
}

enum { kMaxObservedDelay = 1, kStats };  // behind the table
enum { kSignalAsk, kSignalInterrupt, kSignalReset, kNSignals };
guint g_signals[kNSignals];

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
  std::list<Input> inputs;
  std::list<GstOmniOutput> outputs;
  std::deque<Question> questions;
  guint next_video = 0, next_audio = 0, next_prompt = 0, next_text = 0;
  bool stopping = false, flush_pending = false, failed = false, live = false, reset_pending = false;
  int n_flushing = 0;
  std::shared_ptr<omni::Session> session;  // shared so that cancel() may come from any thread
  // statistics
  guint64 n_answers = 0, n_tokens = 0, n_dropped = 0, n_late = 0, context_tokens = 0;
  GstOmniDelays delay, first_token;
  double per_token_ms = 0;
  bool warned = false;

  std::shared_ptr<const omni::Engine> engine;  // written by the worker, once

  // of the worker
  std::thread worker;
  GstClockTime media_end = 0, asked_until = 0;
  bool eos_asked = false, eos_sent = false;
};

GstElementClass* g_parent_class = nullptr;

State& state(gpointer self) { return *static_cast<GstOmniModel*>(self)->state; }

Input* input_of(GstPad* pad) { return static_cast<Input*>(gst_pad_get_element_private(pad)); }
GstOmniOutput* output_of(GstPad* pad) { return static_cast<GstOmniOutput*>(gst_pad_get_element_private(pad)); }

// --- the worker ------------------------------------------------------------------------------------------------------------------------------------------

omni::SamplingOptions sampling_options(State& s) {
  std::lock_guard guard(s.settings.lock);
  return {int(s.settings.max_tokens), s.settings.temperature, s.settings.top_p, int(s.settings.top_k), s.settings.repetition_penalty};
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
  take(&Settings::context_duration, d.context_duration);
  take(&Settings::max_tokens, d.max_tokens);
  if (d.trigger && !properties().was_set(s.settings, &Settings::trigger))
    for (int i = 0; i < int(std::size(kTriggerNicks)); ++i)
      if (*d.trigger == kTriggerNicks[i]) s.settings.trigger = i;
}

void make_session(GstOmniModel* self) {
  State& s = state(self);
  omni::SessionOptions o;
  {
    std::lock_guard guard(s.lock);
    for (const Input& in : s.inputs)
      if (!in.is_prompt) (in.modality == omni::Modality::audio ? o.audio : o.video) = true;
  }
  {
    std::lock_guard guard(s.settings.lock);
    o.system_prompt = s.settings.system_prompt;
    o.context_duration = omni::Nanoseconds(s.settings.context_duration * GST_SECOND);
    o.seed = guint64(s.settings.seed);
  }
  std::shared_ptr<omni::Session> session = s.engine->make_session(o);
  std::lock_guard guard(s.lock);
  s.session = std::move(session);
  s.media_end = s.asked_until = 0;
  s.eos_asked = s.eos_sent = false;
}

GstClockTime running_time_now(GstOmniModel* self) {
  ClockPtr clock(gst_element_get_clock(GST_ELEMENT(self)));
  if (!clock) return GST_CLOCK_TIME_NONE;
  const GstClockTime now = gst_clock_get_time(clock.get()), base = gst_element_get_base_time(GST_ELEMENT(self));
  return now > base ? now - base : 0;
}

GstClockTime reported_latency(GstOmniModel* self, GstClockTime upstream) {
  State& s = state(self);
  bool has_audio = false, has_video = false;
  {
    std::lock_guard guard(s.lock);
    for (const Input& in : s.inputs) (in.is_prompt ? has_video : in.modality == omni::Modality::audio ? has_audio : has_video) |= !in.is_prompt;
  }
  std::lock_guard guard(s.settings.lock);
  GstClockTime own = s.settings.latency == G_MAXUINT ? 0 : s.settings.latency * GST_MSECOND;
  if (has_video && !has_audio) own += kChunk;
  if (s.settings.trigger == int(Trigger::interval)) own += s.settings.interval * GST_MSECOND;
  return upstream + own;
}

// Latency of the media streams ahead of this element. False if nobody knows.
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
  const GstClockTime now = running_time_now(self);
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
    higher = s.delay.empty() || double(delay) / GST_MSECOND > s.delay.max_ms();
    s.delay.add(delay);
    if (delay > promised && !s.warned) warn = s.warned = true;
  }
  if (higher) g_object_notify(G_OBJECT(self), "max-observed-delay");
  if (warn) {
    GST_ELEMENT_WARNING_WITH_DETAILS(self, STREAM, FAILED, ("Text is later than promised: %" G_GUINT64_FORMAT " ms after its media, %" G_GUINT64_FORMAT " ms were reported", delay / GST_MSECOND, promised / GST_MSECOND),
                                     ("raise `latency` or `lateness`, or use a smaller model, fewer pixels or a lower frame-rate"),
                                     ("delay", G_TYPE_UINT64, guint64(delay), "promised", G_TYPE_UINT64, guint64(promised), nullptr));
  }
}

void for_outputs(State& s, const std::function<void(GstOmniOutput&)>& call) {
  std::lock_guard guard(s.lock);
  for (GstOmniOutput& o : s.outputs) call(o);
}

// Asks about the context, and sends the answer as text for [start, start + duration).
void ask(GstOmniModel* self, const std::string& question, GstClockTime start, GstClockTime duration) {
  State& s = state(self);
  std::shared_ptr<omni::Session> session;
  bool is_live = false, any = false;
  {
    std::lock_guard guard(s.lock);
    session = s.session;
    is_live = s.live;
    any = !s.outputs.empty();
  }
  if (!any) GST_DEBUG_OBJECT(self, "no text pad: the answer leaves as a message only");
  const omni::Answer answer = session->ask(question, sampling_options(s));
  bool desynchronised = false;
  {
    std::lock_guard guard(s.settings.lock);
    desynchronised = s.settings.latency == G_MAXUINT;
  }
  const GstClockTime due = start;
  if (desynchronised && is_live)
    if (const GstClockTime now = running_time_now(self); GST_CLOCK_TIME_IS_VALID(now)) start = now;
  for_outputs(s, [&](GstOmniOutput& o) {
    if (answer.text.empty()) o.push_gap(start + duration);
    else o.push_text(answer.text, start, duration);
  });
  {
    std::lock_guard guard(s.lock);
    ++s.n_answers;
    s.n_tokens += guint64(answer.tokens);
    s.first_token.add(GstClockTime(answer.first_token));
    if (answer.tokens > 1) s.per_token_ms = double(answer.total - answer.first_token) / double(answer.tokens - 1) / GST_MSECOND;
    s.context_tokens = guint64(session->n_context_tokens());
    s.n_late = guint64(session->n_late_segments());
  }
  gst_element_post_message(GST_ELEMENT(self), gst_message_new_element(GST_OBJECT(self), gst_structure_new("omni/answer", "text", G_TYPE_STRING, answer.text.c_str(), "question", G_TYPE_STRING, question.c_str(),
                                                "running-time", G_TYPE_UINT64, guint64(start), "duration", G_TYPE_UINT64, guint64(duration), "tokens", G_TYPE_INT, answer.tokens,
                                                "complete", G_TYPE_BOOLEAN, gboolean(answer.complete), "ttft", G_TYPE_UINT64, guint64(answer.first_token), "total",
                                                G_TYPE_UINT64, guint64(answer.total), nullptr)));
  note_delay(self, due, is_live);
}

std::string standing_prompt(State& s) {
  std::lock_guard guard(s.settings.lock);
  return s.settings.prompt;
}

void chunk_entered(GstOmniModel* self, const omni::TimeSpan& span) {
  State& s = state(self);
  const auto start = GstClockTime(std::max<omni::Nanoseconds>(0, span.start)), end = start + GstClockTime(span.duration);
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
    ask(self, standing_prompt(s), start, end - start);
    s.asked_until = end;
  } else if (trigger == Trigger::interval && end >= s.asked_until + interval) {
    ask(self, standing_prompt(s), s.asked_until, end - s.asked_until);
    s.asked_until = end;
  } else if (trigger == Trigger::prompt || trigger == Trigger::manual) {
    for_outputs(s, [&](GstOmniOutput& o) { o.push_gap(start); });
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

// The next thing to do for the media pads, earliest first. Under the lock. When nothing is live, no track runs further ahead than kMostAhead: the others
// would have to be kept waiting without bound.
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
  Taken t{Taken::segment, std::move(best->queue.front().buffer), best->queue.front().time, best->modality, best->hidden};
  best->queue.pop_front();
  best->reached = t.time + (GST_BUFFER_DURATION_IS_VALID(t.buffer.get()) ? GST_BUFFER_DURATION(t.buffer.get()) : 0);
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
  bool ended = false, reset = false;
  std::shared_ptr<omni::Session> session;
  {
    std::lock_guard guard(s.lock);
    if (s.n_flushing > 0 || s.stopping) return false;
    session = s.session;
    reset = std::exchange(s.reset_pending, false);
    taken = take(s);
    ended = media_ended(s);
  }
  if (!session || reset) {
    make_session(self);
    std::lock_guard guard(s.lock);
    session = s.session;
  }
  s.changed.notify_all();
  if (taken.what == Taken::segment) {
    omni::Segment segment = gst_omni_tokens_segment(taken.buffer.get(), taken.modality, taken.hidden);
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
  while (const auto span = session->advance(!live)) {
    chunk_entered(self, *span);
    progress = true;
  }
  Question question;
  while (next_question(s, ended, question)) {
    const GstClockTime start = std::max(s.media_end > kChunk ? s.media_end - kChunk : 0, question.time);
    ask(self, question.text, start, kChunk);
    progress = true;
  }
  if (ended && !progress && !s.eos_sent) {
    Trigger trigger;
    {
      std::lock_guard guard(s.settings.lock);
      trigger = Trigger(s.settings.trigger);
    }
    if (!s.eos_asked && s.media_end > 0 && (trigger == Trigger::eos || (trigger == Trigger::interval && s.media_end > s.asked_until)))
      ask(self, standing_prompt(s), s.asked_until, s.media_end - s.asked_until);
    s.eos_asked = s.eos_sent = true;
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
    auto engine = s.engine_context.open([&] {
      std::lock_guard guard(s.lock);
      return !s.stopping;
    });
    {
      std::lock_guard guard(s.lock);
      s.engine = std::move(engine);
    }
    take_defaults(s);
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
    enum { idle, busy, cancelled, broken } result = broken;
    gst_omni_guard(self, false, [&] {
      try {
        result = work(self) ? busy : idle;
      } catch (const omni::Error& e) {
        if (e.code() != omni::ErrorCode::cancelled) throw;
        result = cancelled;
      }
      return true;
    });
    if (result == broken) return fail(self);
    std::unique_lock lock(s.lock);
    if (s.stopping) return;
    if (result == cancelled) s.reset_pending = true;  // what was half done is void
    if (result != busy) s.changed.wait(lock);
    if (s.stopping) return;
  }
}

void start_worker(GstOmniModel* self) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    s.stopping = s.failed = s.warned = false;
    s.reset_pending = false;
    s.n_answers = s.n_tokens = s.n_dropped = s.n_late = s.context_tokens = 0;
    s.delay = s.first_token = GstOmniDelays();
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
  s.changed.notify_all();
  if (s.worker.joinable()) s.worker.join();
  std::lock_guard guard(s.lock);
  s.session.reset();
  s.engine.reset();
  s.questions.clear();
  for (Input& in : s.inputs) in.queue.clear();
}

// --- sink pads -------------------------------------------------------------------------------------------------------------------------------------------

GstFlowReturn outputs_flow(State& s) {  // under the lock
  if (s.failed) return GST_FLOW_ERROR;
  size_t ended = 0;
  for (GstOmniOutput& o : s.outputs) {
    const GstFlowReturn flow = o.flow();
    if (flow == GST_FLOW_ERROR || flow == GST_FLOW_NOT_NEGOTIATED) return flow;
    ended += flow == GST_FLOW_EOS;
  }
  return !s.outputs.empty() && ended == s.outputs.size() ? GST_FLOW_EOS : GST_FLOW_OK;
}

GstFlowReturn chain_prompt(GstOmniModel* self, Input& in, BufferPtr buffer) {
  State& s = state(self);
  GstMapInfo map;
  if (!gst_buffer_map(buffer.get(), &map, GST_MAP_READ)) throw omni::Error(omni::ErrorCode::corrupt_file, "a prompt buffer that cannot be read");
  std::string text(reinterpret_cast<const char*>(map.data), map.size);
  gst_buffer_unmap(buffer.get(), &map);
  while (!text.empty() && (text.back() == '\0' || text.back() == '\n' || text.back() == '\r')) text.pop_back();
  std::lock_guard guard(s.lock);
  if (in.flushing) return GST_FLOW_FLUSHING;
  if (text.empty()) return outputs_flow(s);
  GstClockTime time = GST_BUFFER_PTS_IS_VALID(buffer.get()) ? gst_segment_to_running_time(&in.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer.get())) : 0;
  s.questions.push_back({std::move(text), GST_CLOCK_TIME_IS_VALID(time) ? time : 0});
  return outputs_flow(s);
}

GstFlowReturn chain_tokens(GstOmniModel* self, Input& in, BufferPtr buffer) {
  State& s = state(self);
  std::unique_lock lock(s.lock);
  const GstClockTime time = gst_segment_to_running_time(&in.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer.get()));
  if (!GST_CLOCK_TIME_IS_VALID(time)) return outputs_flow(s);  // outside the segment
  if (in.hidden == 0) return GST_FLOW_NOT_NEGOTIATED;
  while (!in.flushing && outputs_flow(s) == GST_FLOW_OK && in.queue.size() >= kMostQueued) {
    if (s.live) {
      in.queue.pop_front();
      ++s.n_dropped;
    } else {
      s.changed.wait(lock);
    }
  }
  if (in.flushing) return GST_FLOW_FLUSHING;
  const GstFlowReturn flow = outputs_flow(s);
  if (flow == GST_FLOW_OK) in.queue.push_back({std::move(buffer), time});
  return flow;
}

GstFlowReturn chain(GstPad* pad, GstObject* parent, GstBuffer* buffer) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  Input& in = *input_of(pad);
  BufferPtr owned(buffer);
  const GstFlowReturn flow = gst_omni_guard(self, GST_FLOW_ERROR, [&] {
    return in.is_prompt ? chain_prompt(self, in, std::move(owned)) : chain_tokens(self, in, std::move(owned));
  });
  state(self).changed.notify_all();
  return flow;
}

void flush_start(GstOmniModel* self, Input& in, GstEvent* event) {
  State& s = state(self);
  bool first = false;
  {
    std::lock_guard guard(s.lock);
    in.flushing = true;
    if (!in.is_prompt) {
      first = s.n_flushing++ == 0;
      if (s.session) s.session->cancel();
    }
  }
  s.changed.notify_all();
  std::vector<GstOmniOutput*> outputs;
  if (first) for_outputs(s, [&](GstOmniOutput& o) { outputs.push_back(&o); });
  for (GstOmniOutput* o : outputs) o->flush_start(gst_event_ref(event));
  gst_event_unref(event);
}

void flush_stop(GstOmniModel* self, Input& in, GstEvent* event) {
  State& s = state(self);
  bool last = false;
  {
    std::lock_guard guard(s.lock);
    in.queue.clear();
    in.eos = in.eos_told = false;
    in.reached = 0;
    gst_segment_init(&in.segment, GST_FORMAT_TIME);
    in.flushing = false;
    if (!in.is_prompt && s.n_flushing > 0) last = --s.n_flushing == 0;
    if (last) {
      s.questions.clear();
      s.reset_pending = true;
    }
  }
  std::vector<GstOmniOutput*> outputs;
  if (last) for_outputs(s, [&](GstOmniOutput& o) { outputs.push_back(&o); });
  for (GstOmniOutput* o : outputs) o->flush_stop(gst_event_ref(event));
  gst_event_unref(event);
  s.changed.notify_all();
}

bool take_caps(GstOmniModel* self, Input& in, GstCaps* caps) {
  State& s = state(self);
  if (in.is_prompt) return true;
  omni::Modality modality;
  std::string checkpoint;
  int hidden = 0;
  if (!gst_omni_tokens_parse_caps(caps, modality, checkpoint, hidden)) {
    CharPtr text(gst_caps_to_string(caps));
    throw omni::Error(omni::ErrorCode::unsupported, std::string("caps that describe no tokens: ") + text.get());
  }
  if ((modality == omni::Modality::audio) != (in.modality == omni::Modality::audio))
    throw omni::Error(omni::ErrorCode::unsupported, std::string("tokens of the wrong modality on ") + GST_PAD_NAME(in.pad));
  std::lock_guard guard(s.lock);
  if (s.engine && !checkpoint.empty() && checkpoint != s.engine->fingerprint())
    throw omni::Error(omni::ErrorCode::unsupported, "tokens of checkpoint " + checkpoint + " for the model " + s.engine->fingerprint() + ": set model-path on one element only");
  in.hidden = hidden;
  return true;
}

void find_out_if_live(GstOmniModel* self) {
  bool live = false;
  GstClockTime min = 0;
  upstream_latency(self, live, min);
  std::lock_guard guard(state(self).lock);
  state(self).live = live;
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  State& s = state(self);
  Input& in = *input_of(pad);
  EventPtr owned(event);
  gboolean ok = TRUE;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START: flush_start(self, in, owned.release()); return TRUE;
    case GST_EVENT_FLUSH_STOP: flush_stop(self, in, owned.release()); return TRUE;
    case GST_EVENT_CAPS:
      ok = gst_omni_guard(self, FALSE, [&]() -> gboolean {
        GstCaps* caps = nullptr;
        gst_event_parse_caps(event, &caps);
        return take_caps(self, in, caps);
      });
      break;
    case GST_EVENT_SEGMENT: {
      find_out_if_live(self);
      std::lock_guard guard(s.lock);
      gst_event_copy_segment(event, &in.segment);
      break;
    }
    case GST_EVENT_EOS: {
      std::lock_guard guard(s.lock);
      in.eos = true;
      break;
    }
    case GST_EVENT_STREAM_START: {
      std::lock_guard guard(s.lock);
      in.eos = in.eos_told = false;
      s.eos_sent = false;
      break;
    }
    default:
      // Other serialized events describe tokens that stop here; upstream ones do not come this way.
      break;
  }
  s.changed.notify_all();
  return ok;
}

gboolean sink_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  return state(parent).engine_context.answer(query) || gst_pad_query_default(pad, parent, query);
}

gboolean sink_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode, gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  State& s = state(parent);
  {
    std::lock_guard guard(s.lock);
    Input& in = *input_of(pad);
    in.flushing = !active;
    in.queue.clear();
    in.eos = in.eos_told = false;
    in.reached = 0;
    gst_segment_init(&in.segment, GST_FORMAT_TIME);
  }
  s.changed.notify_all();
  return TRUE;
}

// --- source pads -----------------------------------------------------------------------------------------------------------------------------------------

gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  if (state(self).engine_context.answer(query)) return TRUE;
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  bool live = false;
  GstClockTime min = 0;
  if (!upstream_latency(self, live, min)) return FALSE;
  gst_query_set_latency(query, live, live ? reported_latency(self, min) : 0, GST_CLOCK_TIME_NONE);
  return TRUE;
}

gboolean src_activate_mode(GstPad* pad, GstObject*, GstPadMode mode, gboolean active) {
  return mode == GST_PAD_MODE_PUSH && output_of(pad)->set_active(active);
}

// Upstream events (seeks, QoS) go to every media stream.
gboolean src_event(GstPad*, GstObject* parent, GstEvent* event) {
  State& s = state(parent);
  std::vector<PadPtr> pads;
  {
    std::lock_guard guard(s.lock);
    for (const Input& in : s.inputs)
      if (!in.is_prompt) pads.emplace_back(GST_PAD(gst_object_ref(in.pad)));
  }
  gboolean ok = FALSE;
  for (const PadPtr& pad : pads) ok |= gst_pad_push_event(pad.get(), gst_event_ref(event));
  gst_event_unref(event);
  return ok;
}

// --- pads on request ---------------------------------------------------------------------------------------------------------------------------------------

GstPad* add_input(GstOmniModel* self, GstPadTemplate* templ, const std::string& name, bool is_prompt, omni::Modality modality) {
  State& s = state(self);
  GstPad* pad = gst_pad_new_from_template(templ, name.c_str());
  {
    std::lock_guard guard(s.lock);
    Input& in = s.inputs.emplace_back();
    in.pad = pad;
    in.is_prompt = is_prompt;
    in.modality = modality;
    gst_segment_init(&in.segment, GST_FORMAT_TIME);
    gst_pad_set_element_private(pad, &in);
  }
  gst_pad_set_chain_function(pad, GST_DEBUG_FUNCPTR(chain));
  gst_pad_set_event_function(pad, GST_DEBUG_FUNCPTR(sink_event));
  gst_pad_set_query_function(pad, GST_DEBUG_FUNCPTR(sink_query));
  gst_pad_set_activatemode_function(pad, GST_DEBUG_FUNCPTR(sink_activate_mode));
  gst_element_add_pad(GST_ELEMENT(self), pad);
  return pad;
}

GstPad* add_output(GstOmniModel* self, GstPadTemplate* templ, const std::string& name) {
  State& s = state(self);
  GstPad* pad = gst_pad_new_from_template(templ, name.c_str());
  gst_pad_use_fixed_caps(pad);
  {
    guint lateness = 0;
    {
      std::lock_guard guard(s.settings.lock);
      lateness = s.settings.lateness;
    }
    std::lock_guard guard(s.lock);
    GstOmniOutput& out = s.outputs.emplace_back(pad, gst_caps_new_simple("text/x-raw", "format", G_TYPE_STRING, "utf8", nullptr));
    out.set_lateness(lateness * GST_MSECOND);
    gst_pad_set_element_private(pad, &out);
  }
  gst_pad_set_query_function(pad, GST_DEBUG_FUNCPTR(src_query));
  gst_pad_set_event_function(pad, GST_DEBUG_FUNCPTR(src_event));
  gst_pad_set_activatemode_function(pad, GST_DEBUG_FUNCPTR(src_activate_mode));
  gst_element_add_pad(GST_ELEMENT(self), pad);
  return pad;
}

GstPad* request_new_pad(GstElement* element, GstPadTemplate* templ, const gchar* asked, const GstCaps*) {
  auto* self = reinterpret_cast<GstOmniModel*>(element);
  State& s = state(self);
  const std::string kind = GST_PAD_TEMPLATE_NAME_TEMPLATE(templ);
  const bool video = kind == "video_%u", audio = kind == "audio_%u", prompt = kind == "prompt_%u";
  std::string name;
  {
    std::lock_guard guard(s.lock);
    for (const Input& in : s.inputs)
      if ((video || audio) && !in.is_prompt && (in.modality == omni::Modality::audio) == audio) {
        GST_ELEMENT_WARNING(element, CORE, PAD, ("This model family takes one %s stream", audio ? "audio" : "video"), (nullptr));
        return nullptr;
      }
    guint& next = video ? s.next_video : audio ? s.next_audio : prompt ? s.next_prompt : s.next_text;
    guint number = next;
    if (asked) std::sscanf(asked, "%*[a-z]_%u", &number);
    next = std::max(next, number) + 1;
    name = kind.substr(0, kind.size() - 2) + std::to_string(number);
  }
  if (GstPad* there = gst_element_get_static_pad(element, name.c_str())) {
    gst_object_unref(there);
    return nullptr;
  }
  if (GST_PAD_TEMPLATE_DIRECTION(templ) == GST_PAD_SRC) return add_output(self, templ, name);
  return add_input(self, templ, name, prompt, audio ? omni::Modality::audio : omni::Modality::video);
}

void release_pad(GstElement* element, GstPad* pad) {
  State& s = state(element);
  const bool is_src = GST_PAD_IS_SRC(pad);
  void* entry = gst_pad_get_element_private(pad);
  gst_pad_set_active(pad, FALSE);
  gst_element_remove_pad(element, GST_PAD(gst_object_ref(pad)));
  {
    std::lock_guard guard(s.lock);
    if (is_src) s.outputs.remove_if([&](const GstOmniOutput& o) { return &o == entry; });
    else s.inputs.remove_if([&](const Input& in) { return &in == entry; });
  }
  gst_object_unref(pad);
  s.changed.notify_all();
}

// --- signals, properties, states ---------------------------------------------------------------------------------------------------------------------------

void signal_ask(GstOmniModel* self, const gchar* text) {
  State& s = state(self);
  if (!text || !*text) return;
  {
    std::lock_guard guard(s.lock);
    s.questions.push_back({text, 0});
  }
  s.changed.notify_all();
}

void signal_interrupt(GstOmniModel* self) {
  State& s = state(self);
  std::lock_guard guard(s.lock);
  if (s.session) s.session->interrupt();
}

void signal_reset(GstOmniModel* self) {
  State& s = state(self);
  {
    std::lock_guard guard(s.lock);
    s.reset_pending = true;
    if (s.session) s.session->interrupt();
  }
  s.changed.notify_all();
}

GstStructure* stats(GstOmniModel* self) {
  State& s = state(self);
  std::lock_guard guard(s.lock);
  guint depth = 0;
  for (const Input& in : s.inputs) depth += guint(in.queue.size());
  return gst_structure_new("omni-model-stats", "answers", G_TYPE_UINT64, s.n_answers, "tokens", G_TYPE_UINT64, s.n_tokens, "ttft", G_TYPE_DOUBLE,
                           s.first_token.percentile_ms(0.5), "tpot", G_TYPE_DOUBLE, s.per_token_ms, "queue-depth", G_TYPE_UINT, depth, "drops", G_TYPE_UINT64, s.n_dropped,
                           "late", G_TYPE_UINT64, s.n_late, "context-tokens", G_TYPE_UINT64, s.context_tokens, "delay-p50", G_TYPE_DOUBLE, s.delay.percentile_ms(0.5),
                           "delay-p95", G_TYPE_DOUBLE, s.delay.percentile_ms(0.95), "delay-max", G_TYPE_DOUBLE, s.delay.max_ms(), nullptr);
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  State& s = state(object);
  if (!properties().set(s.settings, id, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    return;
  }
  const std::string name = pspec->name;
  if (name == "lateness") {
    const GstClockTime lateness = g_value_get_uint(value) * GST_MSECOND;
    for_outputs(s, [&](GstOmniOutput& o) { o.set_lateness(lateness); });
  }
  if (name == "latency" || name == "interval" || name == "trigger") gst_element_post_message(GST_ELEMENT(object), gst_message_new_latency(GST_OBJECT(object)));
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  State& s = state(object);
  if (properties().get(s.settings, id, value)) return;
  switch (int(id) - int(properties().count())) {
    case kMaxObservedDelay: {
      std::lock_guard guard(s.lock);
      g_value_set_uint(value, guint(s.delay.max_ms()));
      break;
    }
    case kStats: g_value_take_boxed(value, stats(reinterpret_cast<GstOmniModel*>(object))); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  auto* self = reinterpret_cast<GstOmniModel*>(element);
  if (transition == GST_STATE_CHANGE_NULL_TO_READY) state(self).engine_context.announce();
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) start_worker(self);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    State& s = state(self);
    std::lock_guard guard(s.lock);
    s.stopping = true;
    if (s.session) s.session->cancel();
  }
  const GstStateChangeReturn result = g_parent_class->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY || (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE)) stop_worker(self);
  return result;
}

void set_context(GstElement* element, GstContext* context) {
  state(element).engine_context.take(context);
  g_parent_class->set_context(element, context);
}

void finalize(GObject* object) {
  State* s = reinterpret_cast<GstOmniModel*>(object)->state;
  G_OBJECT_CLASS(g_parent_class)->finalize(object);
  delete s;
}

void instance_init(GTypeInstance* instance, gpointer) {
  auto* self = reinterpret_cast<GstOmniModel*>(instance);
  self->state = new State(self);
}

void add_template(GstElementClass* klass, const char* name, GstPadDirection direction, const char* caps_text) {
  CapsPtr caps(gst_caps_from_string(caps_text));
  gst_element_class_add_pad_template(klass, gst_pad_template_new(name, direction, GST_PAD_REQUEST, caps.get()));
}

guint add_action(GType type, const char* name, GCallback callback, GType parameter) {
  return g_signal_new_class_handler(name, type, GSignalFlags(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION), callback, nullptr, nullptr, nullptr, G_TYPE_NONE,
                                    parameter == G_TYPE_NONE ? 0 : 1, parameter);
}

void class_init(gpointer g_class, gpointer) {
  GST_DEBUG_CATEGORY_INIT(gst_omni_model_debug, "omnimodel", 0, "the model element of gst-omni");
  g_parent_class = static_cast<GstElementClass*>(g_type_class_peek_parent(g_class));
  auto* object = G_OBJECT_CLASS(g_class);
  auto* element = GST_ELEMENT_CLASS(g_class);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  element->change_state = change_state;
  element->set_context = set_context;
  element->request_new_pad = GST_DEBUG_FUNCPTR(request_new_pad);
  element->release_pad = GST_DEBUG_FUNCPTR(release_pad);
  properties().install(object);
  const auto read_only = GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_property(object, properties().count() + kMaxObservedDelay,
                                  g_param_spec_uint("max-observed-delay", "Greatest delay", "Longest time between media and the text about them, in ms", 0, G_MAXUINT, 0, read_only));
  g_object_class_install_property(object, properties().count() + kStats,
                                  g_param_spec_boxed("stats", "Statistics", "Answers, tokens, times in ms, drops", GST_TYPE_STRUCTURE, read_only));
  const GType type = G_TYPE_FROM_CLASS(g_class);
  g_signals[kSignalAsk] = add_action(type, "ask", G_CALLBACK(signal_ask), G_TYPE_STRING);
  g_signals[kSignalInterrupt] = add_action(type, "interrupt", G_CALLBACK(signal_interrupt), G_TYPE_NONE);
  g_signals[kSignalReset] = add_action(type, "reset", G_CALLBACK(signal_reset), G_TYPE_NONE);
  add_template(element, "video_%u", GST_PAD_SINK, "application/x-omni-tokens, modality=(string){ video, image }, hidden=(int)[ 1, max ], format=(string)F32LE");
  add_template(element, "audio_%u", GST_PAD_SINK, "application/x-omni-tokens, modality=(string)audio, hidden=(int)[ 1, max ], format=(string)F32LE");
  add_template(element, "prompt_%u", GST_PAD_SINK, "text/x-raw, format=(string)utf8");
  add_template(element, "text_%u", GST_PAD_SRC, "text/x-raw, format=(string)utf8");
  gst_element_class_set_static_metadata(element, "Omni model", "Filter/Analyzer/Video/Audio", "Answers questions about live video and audio with a multimodal model", "gst-omni");
  gst_type_mark_as_plugin_api(trigger_get_type(), GstPluginAPIFlags(0));
  gst_type_mark_as_plugin_api(gst_omni_precision_get_type(), GstPluginAPIFlags(0));
}

GType get_type() {
  static const GType type = [] {
    const GTypeInfo info = {sizeof(GstOmniModelClass), nullptr, nullptr, class_init, nullptr, nullptr, sizeof(GstOmniModel), 0, instance_init, nullptr};
    return g_type_register_static(GST_TYPE_ELEMENT, "GstOmniModel", &info, GTypeFlags(0));
  }();
  return type;
}

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnimodel, "omnimodel", GST_RANK_NONE, get_type());
