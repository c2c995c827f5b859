// The worker of omnitranscriber: loads the checkpoint, takes sound and events out of the queue in
// their order, and sends the words and the time that passes without any.
#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "omni/text.h"
#include "streams/gstomniclock.h"
#include "transcriber/gstomnitranscriberstate.h"

namespace gst_omni_transcriber {
namespace {

constexpr GstClockTime kMostHole = 2 * GST_SECOND;

bool find_out_if_live(State& s) {
  QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  if (gst_pad_peer_query(s.sink, query.get()))
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  return live;
}

void note_delay(GstElement* element, GstClockTime spoken) {
  State& s = state(element);
  const GstClockTime now = gst_omni_running_time_now(element);
  guint64 promised = 0;
  {
    std::lock_guard guard(s.settings.lock);
    promised = (s.settings.latency == G_MAXUINT
                    ? GST_CLOCK_TIME_NONE
                    : s.settings.latency * GST_MSECOND + s.settings.lateness * GST_MSECOND);
  }
  bool higher = false, warn = false;
  const GstClockTime delay = GST_CLOCK_TIME_IS_VALID(now) && now > spoken ? now - spoken : 0;
  {
    std::lock_guard guard(s.lock);
    if (!s.live || !GST_CLOCK_TIME_IS_VALID(now)) return;
    higher = s.delay.add(delay);
    if (delay > promised) {
      ++s.n_late;
      warn = !std::exchange(s.warned, true);
    }
  }
  if (higher) g_object_notify(G_OBJECT(element), "max-observed-delay");
  if (warn)
    gst_omni_warn_late(element, "words", delay, promised,
                       "a smaller checkpoint or a longer `step`");
}

// A space goes without saying where readers expect one between two words; elsewhere it leads its
// word. With `line_ends` nothing goes without saying, and each sentence is a line.
std::string text_of(State& s, const omni::Word& word, bool line_ends) {
  const bool leads = word.space_ahead && !s.last_word.empty() &&
                     (line_ends || !omni::expects_space(s.last_word, word.text));
  const bool ends_line = line_ends && word.ends_sentence;
  s.last_word = ends_line ? "" : word.text;
  return (leads ? " " : "") + word.text + (ends_line ? "\n" : "");
}

void send(GstElement* element, const std::vector<omni::Word>& words) {
  State& s = state(element);
  guint latency = 0;
  bool line_ends = false;
  {
    std::lock_guard guard(s.settings.lock);
    latency = s.settings.latency;
    line_ends = s.settings.line_ends;
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
      if (const GstClockTime now = gst_omni_running_time_now(element); GST_CLOCK_TIME_IS_VALID(now))
        start = now;
    s.output->push_result(text_of(s, w, line_ends), start, duration);
  }
  // Time that has passed without words; live, also what is so late that nobody waits for it any
  // more.
  GstClockTime until = GstClockTime(std::max<omni::Nanoseconds>(0, s.transcriber->settled()));
  if (live && latency != G_MAXUINT && s.heard > latency * GST_MSECOND)
    until = std::max(until, s.heard - latency * GST_MSECOND);
  s.output->push_gap(std::min(until, s.heard));
}

void make_transcriber(GstElement* element) {
  State& s = state(element);
  omni::TranscriptionOptions o;
  const bool live = find_out_if_live(s);
  {
    std::lock_guard guard(s.settings.lock);
    const Policy p = Policy(s.settings.policy);
    o.policy = p == Policy::whole || (p == Policy::automatic && !live)
                   ? omni::TranscriptionPolicy::whole
               : p == Policy::local_agreement ? omni::TranscriptionPolicy::local_agreement
                                              : omni::TranscriptionPolicy::align_att;
    o.language = s.settings.language_code;
    o.translate = s.settings.translate;
    o.initial_prompt = s.settings.initial_prompt;
    o.vocabulary = s.settings.vocabulary;
    o.masked_words = s.settings.masked_words;
    o.step = omni::Nanoseconds(s.settings.step) * GST_MSECOND;
  }
  std::shared_ptr<omni::Transcriber> transcriber = s.engine->make_transcriber(o);
  s.input = std::make_unique<GstOmniAudioInput>(
      transcriber->sample_rate(), kMostHole,
      GstOmniAudioInput::Callbacks{
          [&s](GstClockTime time) {
            GstClockTime running = 0;
            {
              std::lock_guard guard(s.lock);
              running = gst_segment_to_running_time(&s.segment, GST_FORMAT_TIME, time);
            }
            s.heard = GST_CLOCK_TIME_IS_VALID(running) ? running : s.heard;
            s.transcriber->start(omni::Nanoseconds(s.heard));
          },
          [&s, element](std::span<const float> samples) {
            s.heard += gst_util_uint64_scale(samples.size(), GST_SECOND,
                                             guint64(s.transcriber->sample_rate()));
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
      // what describes the sound stops here: the pad's own task sends what describes the text
      break;
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
    if (GST_IS_BUFFER(object.get()) && GST_BUFFER_DURATION_IS_VALID(GST_BUFFER(object.get())))
      s.queued -= GST_BUFFER_DURATION(GST_BUFFER(object.get()));
  }
  s.changed.notify_all();
  if (!s.transcriber) make_transcriber(element);
  if (reset) {
    s.transcriber->reset();
    s.input->reset();
    s.last_word.clear();
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
    if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP) && GST_BUFFER_PTS_IS_VALID(buffer) &&
        GST_BUFFER_DURATION_IS_VALID(buffer))
      s.input->gap(GST_BUFFER_PTS(buffer), GST_BUFFER_DURATION(buffer));
    else
      s.input->buffer(buffer);
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
    if (!s.engine->transcribes())
      throw omni::Error(
          omni::ErrorCode::unsupported,
          "the checkpoint is no transcriber: use a Whisper checkpoint, or omnimodel for this one");
    return true;
  });
  if (!loaded) {
    if (!stopping()) fail(s);
    return;
  }
  gst_element_post_message(element, gst_message_new_latency(GST_OBJECT(element)));
  for (;;) {
    const GstOmniRound round = gst_omni_round(element, [&] { return work(element); });
    if (round == GstOmniRound::broken) return fail(s);
    std::unique_lock lock(s.lock);
    if (round == GstOmniRound::cancelled) s.reset_pending = true;
    if (round == GstOmniRound::idle)
      s.changed.wait(lock, [&] { return s.stopping || (!s.flushing && !s.queue.empty()); });
    if (s.stopping) return;
  }
}

}  // namespace

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
  s.last_word.clear();
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

}  // namespace gst_omni_transcriber
