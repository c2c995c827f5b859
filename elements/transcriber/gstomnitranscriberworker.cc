// The job of omnitranscriber's worker: loads the checkpoint, takes audio and events out of the
// queue in their order, and sends the words and the time that passes without any.
#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "omni/text.h"
#include "streams/gstomniclock.h"
#include "streams/gstomnitimestamps.h"
#include "transcriber/gstomnitranscriberstate.h"

namespace gst_omni_transcriber {
namespace {

constexpr GstClockTime kMostHole = 2 * GST_SECOND;

}  // namespace

void Transcriber::begin() {
  {
    std::lock_guard guard(lock_);
    counts_ = {};
    language_.clear();
    n_words_ = n_late_ = 0;
    delay_ = GstOmniDelays();
    late_ = unheard_ = {};
  }
  gst_segment_init(&segment_, GST_FORMAT_TIME);
  heard_ = 0;
  last_word_.clear();
  engine_ = engine_context_.open([this] { return worker_.is_running(); });
  if (!engine_->transcribes())
    throw omni::Error(
        omni::ErrorCode::unsupported,
        "the checkpoint is no transcriber: use a Whisper checkpoint, or omnimodel for this one");
  input_.set_worker(GstOmniInput::Worker::ready);
  gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
}

void Transcriber::end() {
  audio_.reset();
  caps_.reset();
  {
    std::lock_guard guard(lock_);
    transcriber_.reset();
  }
  engine_.reset();
}

void Transcriber::failed() {
  input_.set_worker(GstOmniInput::Worker::failed);
  output_.push_eos();
}

void Transcriber::cancel() {
  std::lock_guard guard(lock_);
  if (transcriber_) transcriber_->cancel();
}

void Transcriber::restart() {
  if (!transcriber_) return;
  transcriber_->reset();
  audio_->reset();
  last_word_.clear();
  heard_ = 0;
}

bool Transcriber::step() {
  if (language_changed_.exchange(false) && transcriber_) set_language();
  note_unheard();
  return input_.handle_next([this](GstOmniInput::Item& item) {
    if (item.is_event()) return handle_event(item.event());
    if (output_.flow() != GST_FLOW_OK) return;  // nobody wants it
    make_transcriber();
    if (item.is_gap() || GST_BUFFER_FLAG_IS_SET(item.buffer(), GST_BUFFER_FLAG_GAP))
      handle_gap(item.time, item.duration);
    else
      handle_buffer(item.buffer(), item.time);
  });
}

// Once it is known whether the stream is live.
void Transcriber::make_transcriber() {
  if (transcriber_) return;
  live_ = input_.is_live();
  omni::TranscriptionOptions o;
  {
    std::lock_guard guard(settings.lock);
    const Policy p = Policy(settings.policy);
    o.policy = p == Policy::whole || (p == Policy::automatic && !live_)
                   ? omni::TranscriptionPolicy::whole
               : p == Policy::local_agreement ? omni::TranscriptionPolicy::local_agreement
                                              : omni::TranscriptionPolicy::align_att;
    o.language = settings.language_code;
    o.translate = settings.translate;
    o.initial_prompt = settings.initial_prompt;
    o.vocabulary = settings.vocabulary;
    o.masked_words = settings.masked_words;
    o.step = omni::Nanoseconds(settings.step) * GST_MSECOND;
  }
  std::shared_ptr<omni::Transcriber> transcriber = engine_->make_transcriber(o);
  audio_ = std::make_unique<GstOmniAudioInput>(
      transcriber->sample_rate(), kMostHole,
      GstOmniAudioInput::Callbacks{[this](GstClockTime time) { piece_starts(time); },
                                   [this](std::span<const float> samples) { push(samples); },
                                   [this] { send(transcriber_->finish()); }});
  if (caps_) audio_->set_caps(caps_.get());
  std::lock_guard guard(lock_);
  transcriber_ = std::move(transcriber);
}

void Transcriber::set_language() {
  std::string code;
  {
    std::lock_guard guard(settings.lock);
    code = settings.language_code;
  }
  transcriber_->set_language(code);
}

void Transcriber::handle_buffer(GstBuffer* buffer, GstClockTime time) {
  if (segment_.rate > 0) return audio_->buffer(buffer, time);
  heard_ = std::max(heard_, running_time(time));  // in reverse nothing can be heard
  output_.push_gap(heard_);
}

void Transcriber::handle_gap(GstClockTime time, GstClockTime duration) {
  if (segment_.rate > 0 && audio_->gap(time, duration)) return;
  heard_ = std::max(heard_, running_time(segment_.rate > 0 ? time + duration : time));
  output_.push_gap(heard_);
}

void Transcriber::handle_event(GstEvent* event) {
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      caps_.reset(gst_caps_ref(caps));
      if (!audio_) break;
      audio_->drain();
      audio_->set_caps(caps);
      break;
    }
    case GST_EVENT_SEGMENT:
      if (audio_) audio_->drain();
      segment_ = gst_omni_segment_of(event);
      break;
    case GST_EVENT_EOS:
      if (audio_) audio_->drain();
      output_.push_gap(heard_);
      output_.push_eos();
      break;
    default:
      // what describes the sound stops here: the pad's own task sends what describes the text
      break;
  }
}

// Of a time in the segment; beyond its end, that of the end.
GstClockTime Transcriber::running_time(GstClockTime time) const {
  if (GST_CLOCK_TIME_IS_VALID(segment_.stop)) time = std::min<GstClockTime>(time, segment_.stop);
  const GstClockTime running = gst_segment_to_running_time(&segment_, GST_FORMAT_TIME, time);
  return GST_CLOCK_TIME_IS_VALID(running) ? running : heard_;
}

void Transcriber::piece_starts(GstClockTime time) {
  heard_ = running_time(time);
  transcriber_->start(omni::Nanoseconds(heard_));
}

void Transcriber::push(std::span<const float> samples) {
  worker_.check_cancelled();
  heard_ += gst_util_uint64_scale(samples.size(), GST_SECOND, guint64(transcriber_->sample_rate()));
  send(transcriber_->push(samples));
}

void Transcriber::note_delay(GstClockTime spoken) {
  const GstClockTime now = gst_omni_running_time_now(element_);
  if (!live_ || !GST_CLOCK_TIME_IS_VALID(now)) return;
  GstClockTime promised = 0;
  {
    std::lock_guard guard(settings.lock);
    promised = settings.latency == G_MAXUINT
                   ? GST_CLOCK_TIME_NONE
                   : settings.latency * GST_MSECOND + settings.lateness * GST_MSECOND;
  }
  bool higher = false, warn = false;
  const GstClockTime delay = now > spoken ? now - spoken : 0;
  {
    std::lock_guard guard(lock_);
    higher = delay_.add(delay);
    if (delay > promised) {
      ++n_late_;
      warn = late_.is_to_be_said(delay);
    }
  }
  if (higher) g_object_notify(G_OBJECT(element_), "max-observed-delay");
  if (warn)
    gst_omni_warn_late(element_, "words", delay, promised,
                       "a smaller checkpoint or a longer `step`");
}

// Of live sound that had to make room for newer sound, nobody hears the words.
void Transcriber::note_unheard() {
  const GstClockTime dropped = input_.counts().dropped_time;
  {
    std::lock_guard guard(lock_);
    if (!unheard_.is_to_be_said(dropped)) return;
  }
  GST_ELEMENT_WARNING_WITH_DETAILS(
      element_, STREAM, FAILED,
      ("%.1f s of sound were not listened to: it comes faster than it is recognised",
       double(dropped) / GST_SECOND),
      ("use a smaller checkpoint or a longer `step`"),
      ("unheard", G_TYPE_UINT64, guint64(dropped), nullptr));
}

// A space goes without saying where readers expect one between two words; elsewhere it leads its
// word. With `line_ends` nothing goes without saying, and each sentence is a line.
std::string Transcriber::text_of(const omni::Word& word, bool line_ends) {
  const bool leads = word.space_ahead && !last_word_.empty() &&
                     (line_ends || !omni::expects_space(last_word_, word.text));
  const bool ends_line = line_ends && word.ends_sentence;
  last_word_ = ends_line ? "" : word.text;
  return (leads ? " " : "") + word.text + (ends_line ? "\n" : "");
}

void Transcriber::send(const std::vector<omni::Word>& words) {
  guint latency = 0;
  bool line_ends = false;
  {
    std::lock_guard guard(settings.lock);
    latency = settings.latency;
    line_ends = settings.line_ends;
  }
  {
    std::lock_guard guard(lock_);
    counts_ = transcriber_->stats();
    language_ = transcriber_->language();
    n_words_ += words.size();
  }
  for (const omni::Word& w : words) {
    GstClockTime start = GstClockTime(std::max<omni::Nanoseconds>(0, w.start));
    const auto duration = GstClockTime(w.duration);
    note_delay(start + duration);
    if (latency == G_MAXUINT && live_)
      if (const GstClockTime now = gst_omni_running_time_now(element_);
          GST_CLOCK_TIME_IS_VALID(now))
        start = now;
    output_.push_result(text_of(w, line_ends), start, duration);
  }
  // Time that has passed without words; live, also what is so late that nobody waits for it any
  // more.
  GstClockTime until = GstClockTime(std::max<omni::Nanoseconds>(0, transcriber_->settled()));
  if (live_ && latency != G_MAXUINT && heard_ > latency * GST_MSECOND)
    until = std::max(until, heard_ - latency * GST_MSECOND);
  output_.push_gap(std::min(until, heard_));
}

}  // namespace gst_omni_transcriber
