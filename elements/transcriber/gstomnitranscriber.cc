/**
 * element-omnitranscriber:
 *
 * Speech to text, word by word: raw audio of any rate, format and number of channels in; `text/x-raw` out, one word a buffer, with the time at which it was spoken and
 * with its punctuation. What left is never changed. Loads Whisper checkpoints in the Hugging Face layout (whisper-base was run).
 *
 * Live, the sound of the last seconds is looked at again every `step`, and a word leaves as soon as the decoder no longer looks at the newest half second of it
 * (policy=align-att), or when two looks agree (local-agreement). A recording is taken in windows of 30 s (whole). Silence, noise and steady tones are not looked at, and
 * text that is improbable, repeats itself or is about no speech is not believed: both are counted in `stats`. Where time passes without words there are GAPs.
 *
 * Latency of a live stream = `latency` (time allowed from the end of a word to its text). Words that come later are moved up to where the pad is, and
 * `max-observed-delay` and one warning tell of it. `lateness` delays the text alone by a fixed time. latency=4294967295 stamps words with the time at which they leave.
 *
 * ## Example
 * |[
 * gst-launch-1.0 filesrc location=examples/media/jfk.wav ! wavparse ! omnitranscriber model-path=models/whisper-base ! fakesink dump=true
 * ]|
 *
 * (`tools/fetch-model whisper-base` brings the checkpoint.)
 */
#include "transcriber/gstomnitranscriber.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "common/gstomniaudioinput.h"
#include "common/gstomnicontext.h"
#include "common/gstomniguard.h"
#include "common/gstomnioutput.h"
#include "common/gstomnistats.h"

GST_DEBUG_CATEGORY_STATIC(gst_omni_transcriber_debug);
#define GST_CAT_DEFAULT gst_omni_transcriber_debug

namespace {

enum class Policy { automatic, align_att, local_agreement, whole };

constexpr GstClockTime kMostQueued = 8 * GST_SECOND;  // of sound
constexpr GstClockTime kMostHole = 2 * GST_SECOND;

struct Settings : GstOmniEngineSettings {
  std::string language_code, initial_prompt;
  std::vector<std::string> vocabulary, masked_words;
  int policy = int(Policy::automatic);
  guint step = 1000, latency = 4000, lateness = 0;
  bool translate = false;
};

GType policy_get_type() {
  static const GEnumValue values[] = {{int(Policy::automatic), "align-att where the pipeline is live, else whole", "auto"},
                                      {int(Policy::align_att), "words leave once the decoder looks away from the newest sound", "align-att"},
                                      {int(Policy::local_agreement), "words leave once two looks agree on them", "local-agreement"},
                                      {int(Policy::whole), "windows of 30 s: most accurate, latest", "whole"},
                                      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniTranscriptionPolicy", values);
  return type;
}

const GstOmniProperties<Settings>& properties() {
  constexpr auto playing = GstOmniMutable::playing;
  static const GstOmniProperties<Settings> table = [] {
    auto rows = gst_omni_engine_properties<Settings>();
    const std::vector<GstOmniProperty<Settings>> own = {
        {"language-code", "Language", "Language that is spoken, as in `en` or `en-US` (empty = found out; an unknown one is an error that lists them)", &Settings::language_code, 0, 0, playing},
        {"translate", "Translate", "Write English, whatever is spoken", &Settings::translate},
        {"initial-prompt", "Initial prompt", "Text that comes before: names, words and style to expect", &Settings::initial_prompt},
        {"vocabulary", "Vocabulary", "Words to expect at any time: names, terms, as in <GStreamer, ComfyUI>", &Settings::vocabulary},
        {"masked-words", "Masked words", "Words of which only the first letter is shown, as in <darn, heck>", &Settings::masked_words},
        {"policy", "Policy", "When words leave", &Settings::policy, 0, 0, GstOmniMutable::ready, policy_get_type},
        {"step", "Step", "Live: new sound between two looks, in ms", &Settings::step, 100, 30000},
        {"latency", "Latency", "Time allowed from a word to its text, in ms, as reported to live pipelines (4294967295 = words are stamped with the time at which they leave)", &Settings::latency, 0,
         double(G_MAXUINT), playing},
        {"lateness", "Lateness", "Shift of the text's time against the sound, in ms: it comes this much later and nothing else waits for it", &Settings::lateness, 0, 86400000, playing},
    };
    rows.insert(rows.end(), own.begin(), own.end());
    return GstOmniProperties<Settings>(rows);
  }();
  return table;
}

enum { kMaxObservedDelay = 1, kStats };  // behind the table

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
  bool flushing = true, stopping = false, failed = false, live = false, reset_pending = false, language_changed = false;
  GstSegment segment;
  std::shared_ptr<omni::Transcriber> transcriber;  // shared so that cancel() may come from any thread
  omni::TranscriptionStats counts;
  std::string language;
  guint64 n_words = 0, n_dropped = 0, n_late = 0;
  GstOmniDelays delay;
  bool warned = false;

  // of the worker
  std::thread worker;
  std::shared_ptr<const omni::Engine> engine;
  std::unique_ptr<GstOmniAudioInput> input;
  GstClockTime heard = 0;  // running time up to which sound has come
};

GstElementClass* g_parent_class = nullptr;

State& state(gpointer self) { return *static_cast<GstOmniTranscriber*>(self)->state; }

GstClockTime running_time_now(GstElement* element) {
  ClockPtr clock(gst_element_get_clock(element));
  if (!clock) return GST_CLOCK_TIME_NONE;
  const GstClockTime now = gst_clock_get_time(clock.get()), base = gst_element_get_base_time(element);
  return now > base ? now - base : 0;
}

bool find_out_if_live(State& s) {
  QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  if (gst_pad_peer_query(s.sink, query.get())) gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  return live;
}

// --- worker ------------------------------------------------------------------------------------------------------------------------------------------------

void note_delay(GstElement* element, GstClockTime spoken) {
  State& s = state(element);
  const GstClockTime now = running_time_now(element);
  guint64 promised = 0;
  {
    std::lock_guard guard(s.settings.lock);
    promised = (s.settings.latency == G_MAXUINT ? GST_CLOCK_TIME_NONE : s.settings.latency * GST_MSECOND + s.settings.lateness * GST_MSECOND);
  }
  bool higher = false, warn = false;
  const GstClockTime delay = GST_CLOCK_TIME_IS_VALID(now) && now > spoken ? now - spoken : 0;
  {
    std::lock_guard guard(s.lock);
    if (!s.live || !GST_CLOCK_TIME_IS_VALID(now)) return;
    higher = s.delay.empty() || double(delay) / GST_MSECOND > s.delay.max_ms();
    s.delay.add(delay);
    if (delay > promised) {
      ++s.n_late;
      warn = !std::exchange(s.warned, true);
    }
  }
  if (higher) g_object_notify(G_OBJECT(element), "max-observed-delay");
  if (warn)
    GST_ELEMENT_WARNING_WITH_DETAILS(element, STREAM, FAILED, ("Text is later than promised: %" G_GUINT64_FORMAT " ms after its words, %" G_GUINT64_FORMAT " ms were reported", delay / GST_MSECOND, promised / GST_MSECOND),
                                     ("raise `latency` or `lateness`, or use a smaller checkpoint or a longer `step`"), ("delay", G_TYPE_UINT64, guint64(delay), "promised", G_TYPE_UINT64, guint64(promised), nullptr));
}

void send(GstElement* element, const std::vector<omni::Word>& words) {
  State& s = state(element);
  guint latency = 0;
  {
    std::lock_guard guard(s.settings.lock);
    latency = s.settings.latency;
  }
  bool live = false;
  omni::TranscriptionStats counts = s.transcriber->stats();
  {
    std::lock_guard guard(s.lock);
    live = s.live;
    s.counts = counts;
    s.language = s.transcriber->language();
    s.n_words += words.size();
  }
  for (const omni::Word& w : words) {
    GstClockTime start = GstClockTime(std::max<omni::Nanoseconds>(0, w.start));
    const auto duration = GstClockTime(w.duration);
    note_delay(element, start + duration);
    if (latency == G_MAXUINT && live)
      if (const GstClockTime now = running_time_now(element); GST_CLOCK_TIME_IS_VALID(now)) start = now;
    s.output->push_result(w.text, start, duration);
  }
  // Time that has passed without words; live, also what is so late that nobody waits for it any more.
  GstClockTime until = GstClockTime(std::max<omni::Nanoseconds>(0, s.transcriber->settled()));
  if (live && latency != G_MAXUINT && s.heard > latency * GST_MSECOND) until = std::max(until, s.heard - latency * GST_MSECOND);
  s.output->push_gap(std::min(until, s.heard));
}

void make_transcriber(GstElement* element) {
  State& s = state(element);
  omni::TranscriptionOptions o;
  const bool live = find_out_if_live(s);
  {
    std::lock_guard guard(s.settings.lock);
    const Policy p = Policy(s.settings.policy);
    o.policy = p == Policy::whole || (p == Policy::automatic && !live) ? omni::TranscriptionPolicy::whole
               : p == Policy::local_agreement                        ? omni::TranscriptionPolicy::local_agreement
                                                                     : omni::TranscriptionPolicy::align_att;
    o.language = s.settings.language_code;
    o.translate = s.settings.translate;
    o.initial_prompt = s.settings.initial_prompt;
    o.vocabulary = s.settings.vocabulary;
    o.masked_words = s.settings.masked_words;
    o.step = omni::Nanoseconds(s.settings.step) * GST_MSECOND;
  }
  std::shared_ptr<omni::Transcriber> transcriber = s.engine->make_transcriber(o);
  s.input = std::make_unique<GstOmniAudioInput>(transcriber->sample_rate(), kMostHole,
                                                GstOmniAudioInput::Callbacks{[&s](GstClockTime time) {
                                                                               GstClockTime running = 0;
                                                                               {
                                                                                 std::lock_guard guard(s.lock);
                                                                                 running = gst_segment_to_running_time(&s.segment, GST_FORMAT_TIME, time);
                                                                               }
                                                                               s.heard = GST_CLOCK_TIME_IS_VALID(running) ? running : s.heard;
                                                                               s.transcriber->start(omni::Nanoseconds(s.heard));
                                                                             },
                                                                             [&s, element](std::span<const float> samples) {
                                                                               s.heard += gst_util_uint64_scale(samples.size(), GST_SECOND, guint64(s.transcriber->sample_rate()));
                                                                               send(element, s.transcriber->push(samples));
                                                                             },
                                                                             [&s, element] { send(element, s.transcriber->finish()); }});
  std::lock_guard guard(s.lock);
  s.live = live;
  s.transcriber = std::move(transcriber);
  s.language_changed = false;
}

void handle_event(GstElement* element, EventPtr event) {
  State& s = state(element);
  switch (GST_EVENT_TYPE(event.get())) {
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event.get(), &caps);
      s.input->drain();
      s.input->set_caps(caps);
      break;
    }
    case GST_EVENT_SEGMENT: {
      s.input->drain();
      std::lock_guard guard(s.lock);
      gst_event_copy_segment(event.get(), &s.segment);
      break;
    }
    case GST_EVENT_GAP: {
      GstClockTime start = 0, duration = GST_CLOCK_TIME_NONE;
      gst_event_parse_gap(event.get(), &start, &duration);
      s.input->gap(start, duration);
      break;
    }
    case GST_EVENT_EOS:
      s.input->drain();
      s.output->push_gap(s.heard);
      s.output->push_eos();
      break;
    default:
      break;  // what describes the sound stops here: the pad's own task sends what describes the text
  }
}

// One thing out of the queue. False: nothing was there.
bool work(GstElement* element) {
  State& s = state(element);
  MiniObjectPtr object;
  bool reset = false, language = false;
  {
    std::lock_guard guard(s.lock);
    if (s.flushing || s.stopping || s.queue.empty()) return false;
    reset = std::exchange(s.reset_pending, false);
    language = std::exchange(s.language_changed, false);
    object = std::move(s.queue.front());
    s.queue.pop_front();
    if (GST_IS_BUFFER(object.get()) && GST_BUFFER_DURATION_IS_VALID(GST_BUFFER(object.get()))) s.queued -= GST_BUFFER_DURATION(GST_BUFFER(object.get()));
  }
  s.changed.notify_all();
  if (!s.transcriber) make_transcriber(element);
  if (reset) {
    s.transcriber->reset();
    s.input->reset();
  }
  if (language) {
    std::string code;
    {
      std::lock_guard guard(s.settings.lock);
      code = s.settings.language_code;
    }
    s.transcriber->set_language(code);
  }
  if (GST_IS_BUFFER(object.get())) {
    auto* buffer = GST_BUFFER(object.get());
    if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP) && GST_BUFFER_PTS_IS_VALID(buffer) && GST_BUFFER_DURATION_IS_VALID(buffer)) s.input->gap(GST_BUFFER_PTS(buffer), GST_BUFFER_DURATION(buffer));
    else s.input->buffer(buffer);
  } else {
    handle_event(element, EventPtr(GST_EVENT(object.release())));
  }
  return true;
}

void fail(State& s) {
  {
    std::lock_guard guard(s.lock);
    s.failed = true;
  }
  s.changed.notify_all();
  s.output->push_eos();
}

void run_worker(GstElement* element) {
  State& s = state(element);
  const auto stopping = [&s] {
    std::lock_guard guard(s.lock);
    return s.stopping;
  };
  const bool loaded = gst_omni_guard(element, false, [&] {
    s.engine = s.engine_context.open([&] { return !stopping(); });
    if (!s.engine->transcribes()) throw omni::Error(omni::ErrorCode::unsupported, "the checkpoint is no transcriber: use a Whisper checkpoint, or omnimodel for this one");
    return true;
  });
  if (!loaded) {
    if (!stopping()) fail(s);
    return;
  }
  gst_element_post_message(element, gst_message_new_latency(GST_OBJECT(element)));
  for (;;) {
    enum { idle, busy, cancelled, broken } result = broken;
    gst_omni_guard(element, false, [&] {
      try {
        result = work(element) ? busy : idle;
      } catch (const omni::Error& e) {
        if (e.code() != omni::ErrorCode::cancelled) throw;
        result = cancelled;
      }
      return true;
    });
    if (result == broken) return fail(s);
    std::unique_lock lock(s.lock);
    if (result == cancelled) s.reset_pending = true;
    if (result == idle) s.changed.wait(lock, [&] { return s.stopping || (!s.flushing && !s.queue.empty()); });
    if (s.stopping) return;
  }
}

void start_worker(GstElement* element) {
  State& s = state(element);
  {
    std::lock_guard guard(s.lock);
    s.stopping = s.failed = s.warned = s.reset_pending = false;
    s.n_words = s.n_dropped = s.n_late = 0;
    s.delay = GstOmniDelays();
    s.counts = {};
    s.language.clear();
  }
  s.heard = 0;
  s.worker = std::thread([element] { run_worker(element); });
}

void stop_worker(GstElement* element) {
  State& s = state(element);
  {
    std::lock_guard guard(s.lock);
    s.stopping = true;
    if (s.transcriber) s.transcriber->cancel();
  }
  s.changed.notify_all();
  if (s.worker.joinable()) s.worker.join();
  s.input.reset();
  s.engine.reset();
  std::lock_guard guard(s.lock);
  s.transcriber.reset();
  s.queue.clear();
  s.queued = 0;
}

// --- sink pad ----------------------------------------------------------------------------------------------------------------------------------------------

// Under the lock. Live, the newest sound wins.
GstMessage* drop_oldest(GstElement* element) {
  State& s = state(element);
  const auto oldest = std::find_if(s.queue.begin(), s.queue.end(), [](const MiniObjectPtr& o) { return GST_IS_BUFFER(o.get()); });
  if (oldest == s.queue.end()) return nullptr;
  auto* b = GST_BUFFER(oldest->get());
  ++s.n_dropped;
  GstMessage* m = gst_message_new_qos(GST_OBJECT(element), TRUE, gst_segment_to_running_time(&s.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(b)), gst_segment_to_stream_time(&s.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(b)),
                                      GST_BUFFER_PTS(b), GST_BUFFER_DURATION(b));
  gst_message_set_qos_stats(m, GST_FORMAT_BUFFERS, GST_CLOCK_TIME_NONE, s.n_dropped);
  if (GST_BUFFER_DURATION_IS_VALID(b)) s.queued -= GST_BUFFER_DURATION(b);
  s.queue.erase(oldest);
  return m;
}

GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* raw) {
  auto* element = GST_ELEMENT(parent);
  State& s = state(element);
  BufferPtr buffer(raw);
  const GstFlowReturn down = s.output->flow();
  std::vector<GstMessage*> messages;
  GstFlowReturn result = GST_FLOW_OK;
  {
    std::unique_lock lock(s.lock);
    while (!s.flushing && !s.failed && s.queued >= kMostQueued) {
      if (!s.live) {
        s.changed.wait(lock);
        continue;
      }
      GstMessage* m = drop_oldest(element);
      if (!m) break;
      messages.push_back(m);
    }
    result = s.flushing ? GST_FLOW_FLUSHING : s.failed ? GST_FLOW_ERROR : down;
    if (result == GST_FLOW_OK) {
      if (GST_BUFFER_DURATION_IS_VALID(buffer.get())) s.queued += GST_BUFFER_DURATION(buffer.get());
      s.queue.emplace_back(GST_MINI_OBJECT(buffer.release()));
    }
  }
  s.changed.notify_all();
  for (GstMessage* m : messages) gst_element_post_message(element, m);
  return result;
}

void set_flushing(State& s, bool flushing) {
  {
    std::lock_guard guard(s.lock);
    s.flushing = flushing;
    if (flushing && s.transcriber) s.transcriber->cancel();
    if (!flushing) {
      std::erase_if(s.queue, [](const MiniObjectPtr& o) { return !GST_IS_EVENT(o.get()) || !(GST_EVENT_TYPE(o.get()) == GST_EVENT_CAPS || GST_EVENT_TYPE(o.get()) == GST_EVENT_STREAM_START); });
      s.queued = 0;
      s.reset_pending = s.transcriber != nullptr;
    }
  }
  s.changed.notify_all();
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  State& s = state(parent);
  EventPtr owned(event);
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START:
      set_flushing(s, true);
      s.output->flush_start(owned.release());
      return TRUE;
    case GST_EVENT_FLUSH_STOP:
      s.output->flush_stop(owned.release());
      set_flushing(s, false);
      return TRUE;
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      if (!gst_omni_guard(parent, false, [&] {
            gst_omni_audio_info(caps);
            return true;
          }))
        return FALSE;
      break;
    }
    default:
      if (!GST_EVENT_IS_SERIALIZED(event)) return gst_pad_event_default(pad, parent, owned.release());
  }
  {
    std::lock_guard guard(s.lock);
    if (s.flushing) return FALSE;
    s.queue.emplace_back(GST_MINI_OBJECT(owned.release()));
  }
  s.changed.notify_all();
  return TRUE;
}

gboolean sink_query(GstPad* pad, GstObject* parent, GstQuery* query) { return state(parent).engine_context.answer(query) || gst_pad_query_default(pad, parent, query); }

gboolean sink_activate_mode(GstPad*, GstObject* parent, GstPadMode mode, gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  set_flushing(state(parent), !active);
  return TRUE;
}

// --- source pad ----------------------------------------------------------------------------------------------------------------------------------------------

gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  State& s = state(parent);
  if (s.engine_context.answer(query)) return TRUE;
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  if (!gst_pad_peer_query(s.sink, query)) return FALSE;
  gboolean live = FALSE;
  GstClockTime min = 0;
  gst_query_parse_latency(query, &live, &min, nullptr);
  if (live) {
    std::lock_guard guard(s.settings.lock);
    if (s.settings.latency != G_MAXUINT) min += s.settings.latency * GST_MSECOND;
  }
  gst_query_set_latency(query, live, live ? min : 0, GST_CLOCK_TIME_NONE);
  return TRUE;
}

gboolean src_activate_mode(GstPad*, GstObject* parent, GstPadMode mode, gboolean active) { return mode == GST_PAD_MODE_PUSH && state(parent).output->set_active(active); }

// --- element ---------------------------------------------------------------------------------------------------------------------------------------------------

GstStructure* stats(State& s) {
  std::lock_guard guard(s.lock);
  return gst_structure_new("omni-transcriber-stats", "language", G_TYPE_STRING, s.language.c_str(), "words", G_TYPE_UINT64, s.n_words, "drops", G_TYPE_UINT64, s.n_dropped, "late", G_TYPE_UINT64, s.n_late,
                           "looks", G_TYPE_UINT64, guint64(s.counts.looks), "gated", G_TYPE_UINT64, guint64(s.counts.gated), "rejected", G_TYPE_UINT64, guint64(s.counts.rejected), "tokens", G_TYPE_UINT64,
                           guint64(s.counts.tokens), "encoder-seconds", G_TYPE_DOUBLE, s.counts.encoder_seconds, "decoder-seconds", G_TYPE_DOUBLE, s.counts.decoder_seconds, "delay-p50", G_TYPE_DOUBLE,
                           s.delay.percentile_ms(0.5), "delay-p95", G_TYPE_DOUBLE, s.delay.percentile_ms(0.95), "delay-max", G_TYPE_DOUBLE, s.delay.max_ms(), nullptr);
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  State& s = state(object);
  if (!properties().set(s.settings, id, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    return;
  }
  const std::string name = pspec->name;
  if (name == "lateness") s.output->set_lateness(g_value_get_uint(value) * GST_MSECOND);
  if (name == "latency") gst_element_post_message(GST_ELEMENT(object), gst_message_new_latency(GST_OBJECT(object)));
  if (name == "language-code") {
    std::lock_guard guard(s.lock);
    s.language_changed = true;
  }
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
    case kStats: g_value_take_boxed(value, stats(s)); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  State& s = state(element);
  if (transition == GST_STATE_CHANGE_NULL_TO_READY) s.engine_context.announce();
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) start_worker(element);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    std::lock_guard guard(s.lock);
    s.stopping = true;
    if (s.transcriber) s.transcriber->cancel();
  }
  const GstStateChangeReturn result = g_parent_class->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY || (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE)) stop_worker(element);
  return result;
}

void set_context(GstElement* element, GstContext* context) {
  state(element).engine_context.take(context);
  g_parent_class->set_context(element, context);
}

void finalize(GObject* object) {
  State* s = reinterpret_cast<GstOmniTranscriber*>(object)->state;
  G_OBJECT_CLASS(g_parent_class)->finalize(object);
  delete s;
}

void instance_init(GTypeInstance* instance, gpointer g_class) {
  auto* self = reinterpret_cast<GstOmniTranscriber*>(instance);
  auto* klass = GST_ELEMENT_CLASS(g_class);
  self->state = new State(self);
  State& s = *self->state;
  gst_segment_init(&s.segment, GST_FORMAT_TIME);
  s.sink = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "sink"), "sink");
  gst_pad_set_chain_function(s.sink, GST_DEBUG_FUNCPTR(chain));
  gst_pad_set_event_function(s.sink, GST_DEBUG_FUNCPTR(sink_event));
  gst_pad_set_query_function(s.sink, GST_DEBUG_FUNCPTR(sink_query));
  gst_pad_set_activatemode_function(s.sink, GST_DEBUG_FUNCPTR(sink_activate_mode));
  gst_element_add_pad(GST_ELEMENT(self), s.sink);
  s.src = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "src"), "src");
  s.output = std::make_unique<GstOmniTextOutput>(s.src, GstOmniOutput::Kind::text);
  gst_pad_set_query_function(s.src, GST_DEBUG_FUNCPTR(src_query));
  gst_pad_set_activatemode_function(s.src, GST_DEBUG_FUNCPTR(src_activate_mode));
  gst_pad_use_fixed_caps(s.src);
  gst_element_add_pad(GST_ELEMENT(self), s.src);
}

void class_init(gpointer g_class, gpointer) {
  GST_DEBUG_CATEGORY_INIT(gst_omni_transcriber_debug, "omnitranscriber", 0, "speech to text");
  g_parent_class = static_cast<GstElementClass*>(g_type_class_peek_parent(g_class));
  auto* object = G_OBJECT_CLASS(g_class);
  auto* element = GST_ELEMENT_CLASS(g_class);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  element->change_state = change_state;
  element->set_context = set_context;
  properties().install(object);
  const auto read_only = GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_property(object, properties().count() + kMaxObservedDelay,
                                  g_param_spec_uint("max-observed-delay", "Greatest delay", "Longest time between a word and its text, in ms", 0, G_MAXUINT, 0, read_only));
  g_object_class_install_property(object, properties().count() + kStats, g_param_spec_boxed("stats", "Statistics", "Words, looks, times, drops, delays in ms", GST_TYPE_STRUCTURE, read_only));
  CapsPtr in(gst_caps_from_string("audio/x-raw, format=(string)" GST_AUDIO_FORMATS_ALL ", rate=(int)[ 1, max ], channels=(int)[ 1, max ], layout=(string)interleaved"));
  CapsPtr out(gst_caps_from_string("text/x-raw, format=(string)utf8"));
  gst_element_class_add_pad_template(element, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, in.get()));
  gst_element_class_add_pad_template(element, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, out.get()));
  gst_element_class_set_static_metadata(element, "Omni transcriber", "Audio/Text/Filter", "Speech to text, word by word, with a speech recogniser that runs here", "gst-omni");
  gst_type_mark_as_plugin_api(policy_get_type(), GstPluginAPIFlags(0));
}

GType get_type() {
  static const GType type = [] {
    const GTypeInfo info = {sizeof(GstOmniTranscriberClass), nullptr, nullptr, class_init, nullptr, nullptr, sizeof(GstOmniTranscriber), 0, instance_init, nullptr};
    return g_type_register_static(GST_TYPE_ELEMENT, "GstOmniTranscriber", &info, GTypeFlags(0));
  }();
  return type;
}

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnitranscriber, "omnitranscriber", GST_RANK_NONE, get_type());
