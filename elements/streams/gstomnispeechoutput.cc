#include "streams/gstomnispeechoutput.h"

#include <gst/audio/audio.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "streams/gstomniclock.h"

namespace {

constexpr GstClockTime kPiece = 20 * GST_MSECOND;
constexpr GstClockTime kLead = 40 * GST_MSECOND;  // live: how long before it is due sound leaves
// live: later than that is a hole in the speech
constexpr GstClockTime kLate = 20 * GST_MSECOND;
constexpr GstClockTime kFade = 5 * GST_MSECOND;  // of an interruption
constexpr const char* kGenerated = "GstOmniGeneratedMeta";

// Marks sound as made by a machine: {checkpoint, voice, time}.
void register_generated_meta() {
  static const bool once = [] {
    static const gchar* tags[] = {nullptr};
    gst_meta_register_custom(kGenerated, tags, nullptr, nullptr, nullptr);
    return true;
  }();
  (void)once;
}

// What is longer than `n` is cut off there.
void fade_out(std::vector<float>& samples, size_t n) {
  samples.resize(std::min(samples.size(), n));
  n = samples.size();
  for (size_t i = 0; i < n; ++i) samples[i] *= 1 - float(i + 1) / float(n);
}

void fade_in(std::vector<float>& samples, size_t n) {
  n = std::min(samples.size(), n);
  for (size_t i = 0; i < n; ++i) samples[i] *= float(i + 1) / float(n);
}

}  // namespace

GstOmniSpeechOutput::GstOmniSpeechOutput(GstPad* pad, GstOmniNow now,
                                         std::function<bool(const std::function<void()>&)> guard)
    : GstOmniOutput(pad, Kind::speech), now_(std::move(now)), guard_(std::move(guard)) {
  register_generated_meta();
}

GstOmniSpeechOutput::~GstOmniSpeechOutput() = default;

void GstOmniSpeechOutput::set_rate(int rate) {
  std::lock_guard guard(lock_);
  rate_ = rate;
}

bool GstOmniSpeechOutput::speak(std::shared_ptr<GstOmniUtterance> utterance) {
  {
    std::lock_guard guard(lock_);
    if (flushing_) return false;
    queue_.push_back({std::move(utterance), nullptr});
  }
  changed_.notify_all();
  return true;
}

guint64 GstOmniSpeechOutput::n_underruns() {
  std::lock_guard guard(lock_);
  return n_underruns_;
}

void GstOmniSpeechOutput::set_pipeline_latency(GstClockTime latency) {
  {
    std::lock_guard guard(lock_);
    pipeline_latency_ = latency;
  }
  changed_.notify_all();
}

void GstOmniSpeechOutput::push_gap(GstClockTime until) {
  {
    std::lock_guard guard(lock_);
    // While something is spoken or waits to be, its end is the next thing to be known.
    const auto is_spoken = [](const Item& item) { return item.utterance != nullptr; };
    if (current_ || std::any_of(queue_.begin(), queue_.end(), is_spoken)) return;
    queue_.push_back({nullptr, nullptr, until});
  }
  changed_.notify_all();
}

void GstOmniSpeechOutput::push_event(GstEvent* event) {
  {
    std::lock_guard guard(lock_);
    queue_.push_back({nullptr, EventPtr(event)});
  }
  changed_.notify_all();
}

void GstOmniSpeechOutput::woken() {
  std::shared_ptr<GstOmniUtterance> current;
  {
    std::lock_guard guard(lock_);
    current = current_;
  }
  if (current) current->speech->stop();
}

GstCaps* GstOmniSpeechOutput::negotiate() {
  int rate = 0;
  {
    std::lock_guard guard(lock_);
    rate = rate_;
  }
  const auto caps_of = [&](const char* format) {
    return gst_caps_new_simple("audio/x-raw", "format", G_TYPE_STRING, format, "rate", G_TYPE_INT,
                               rate ? rate : 24000, "channels", G_TYPE_INT, 1, "layout",
                               G_TYPE_STRING, "interleaved", nullptr);
  };
  CapsPtr integer(caps_of(GST_AUDIO_NE(S16))), floating(caps_of(GST_AUDIO_NE(F32)));
  is_float_ = !gst_pad_peer_query_accept_caps(pad_, integer.get()) &&
              gst_pad_peer_query_accept_caps(pad_, floating.get());
  return is_float_ ? floating.release() : integer.release();
}

bool GstOmniSpeechOutput::step() {
  Item item;
  {
    std::unique_lock lock(lock_);
    changed_.wait(lock, [this] { return flushing_ || !queue_.empty(); });
    if (flushing_) return false;
    item = std::move(queue_.front());
    queue_.pop_front();
    current_ = item.utterance;
  }
  changed_.notify_all();
  if (item.utterance) {
    item.utterance->speech->on_change([this] {
      { std::lock_guard guard(lock_); }  // who waits has looked, or looks again
      changed_.notify_all();
    });
    Played played;
    guard_([&] { played = play(*item.utterance); });
    item.utterance->speech->on_change({});
    {
      std::lock_guard guard(lock_);
      current_.reset();
    }
    if (item.utterance->on_end) item.utterance->on_end(played.end, played.start, played.duration);
  } else {
    push_head([this] { return negotiate(); });
    if (item.event)
      push(MiniObjectPtr(GST_MINI_OBJECT(item.event.release())));
    else
      push_gap_event(item.gap_until);
  }
  return true;
}

void GstOmniSpeechOutput::push_gap_event(GstClockTime until) {
  GstClockTime from = 0;
  {
    std::lock_guard guard(lock_);
    if (until <= position_) return;
    from = position_;
    position_ = until;
  }
  gst_pad_push_event(pad_, gst_event_new_gap(from, until - from));
}

bool GstOmniSpeechOutput::wait_until_due(const omni::Speech& speech, GstClockTime pts) {
  std::unique_lock lock(lock_);
  for (;;) {
    if (is_to_fade(speech)) return false;
    const GstClockTime due = pts + pipeline_latency_;
    lock.unlock();
    const auto now = now_();
    lock.lock();
    if (!now || *now + kLead >= due) return !is_to_fade(speech);
    changed_.wait_for(lock, gst_omni_wait_time(due - kLead - *now));
  }
}

bool GstOmniSpeechOutput::wait_while_held(const omni::Speech& speech) {
  std::unique_lock lock(lock_);
  changed_.wait(lock, [&] { return is_cut(speech) || !speech.is_held(); });
  return !is_cut(speech);
}

GstClockTime GstOmniSpeechOutput::start_anew(guint64 at, guint64 rate) {
  const auto now = now_();
  GstClockTime from = 0;
  {
    std::lock_guard guard(lock_);
    from = std::max(position_, now.value_or(0));
  }
  push_gap_event(from);
  return from - std::min(from, gst_util_uint64_scale_round(at, GST_SECOND, rate));
}

// Sample `at` of the utterance that begins at `start`.
GstBuffer* GstOmniSpeechOutput::buffer_of(const std::vector<float>& samples,
                                          const GstOmniUtterance& u, GstClockTime start,
                                          guint64 at) {
  const guint64 rate = guint64(u.speech->sample_rate());
  GstBuffer* buffer =
      gst_buffer_new_allocate(nullptr, samples.size() * (is_float_ ? 4 : 2), nullptr);
  GstMapInfo map;
  gst_buffer_map(buffer, &map, GST_MAP_WRITE);
  if (is_float_)
    std::memcpy(map.data, samples.data(), map.size);
  else
    std::transform(samples.begin(), samples.end(), reinterpret_cast<gint16*>(map.data),
                   [](float x) { return gint16(std::lrint(std::clamp(x, -1.f, 1.f) * 32767.f)); });
  gst_buffer_unmap(buffer, &map);
  const auto time = [&](guint64 sample) {
    return start + gst_util_uint64_scale_round(sample, GST_SECOND, rate);
  };
  GST_BUFFER_PTS(buffer) = time(at);
  GST_BUFFER_DURATION(buffer) = time(at + samples.size()) - time(at);
  GST_BUFFER_OFFSET(buffer) = at;
  if (at == 0) GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
  GstCustomMeta* meta = gst_buffer_add_custom_meta(buffer, kGenerated);
  gst_structure_set(gst_custom_meta_get_structure(meta), "checkpoint", G_TYPE_STRING,
                    u.checkpoint.c_str(), "voice", G_TYPE_STRING, u.voice.c_str(), "time",
                    G_TYPE_INT64, g_get_real_time(), nullptr);
  return buffer;
}

GstOmniSpeechOutput::Played GstOmniSpeechOutput::play(GstOmniUtterance& u) {
  omni::Speech& speech = *u.speech;
  const auto rate = guint64(speech.sample_rate());
  const auto piece = size_t(gst_util_uint64_scale(kPiece, rate, GST_SECOND)),
             fade = size_t(gst_util_uint64_scale(kFade, rate, GST_SECOND));
  // Sound that begins must not stop before its end: it waits until it will not have to wait again.
  {
    std::unique_lock lock(lock_);
    changed_.wait(lock, [&] { return is_cut(speech) || speech.can_flow(); });
  }
  GstClockTime start = GST_CLOCK_TIME_NONE;
  guint64 at = 0;
  bool cut = false, fades_in = false;
  const auto go_on = [&] {  // once it is no longer held
    if (!wait_while_held(speech)) return false;
    at = gst_util_uint64_scale_round(guint64(speech.n_read()), rate, GST_SECOND);
    fades_in = at > 0;
    if (GST_CLOCK_TIME_IS_VALID(start)) start = start_anew(at, rate);
    return true;
  };
  for (;;) {
    bool fades = false;
    {
      std::lock_guard guard(lock_);
      cut = is_cut(speech);
      fades = is_to_fade(speech);
      if (flushing_) break;
    }
    if (fades && (at == 0 || speech.buffered() == 0)) {
      cut = cut || !go_on();
      if (cut) break;
      continue;
    }
    std::vector<float> samples = speech.read(fades ? fade : piece);
    if (samples.empty()) {
      std::lock_guard guard(lock_);
      cut = is_cut(speech);
      break;
    }
    if (std::exchange(fades_in, false)) fade_in(samples, fade);
    if (fades) fade_out(samples, samples.size());
    const auto now = now_();
    if (!GST_CLOCK_TIME_IS_VALID(start)) {
      {
        std::lock_guard guard(lock_);
        start = std::max({u.not_before, position_, now.value_or(0)});
      }
      // first: whatever leaves here may block until others have something too
      if (u.on_begin) u.on_begin(start);
      push_head([this] { return negotiate(); });
      if (std::exchange(tags_due_, false)) {
        GstTagList* tags = gst_tag_list_new(GST_TAG_APPLICATION_NAME, "gst-omni", GST_TAG_ENCODER,
                                            u.checkpoint.c_str(), GST_TAG_COMMENT,
                                            "speech generated by a model", nullptr);
        gst_pad_push_event(pad_, gst_event_new_tag(tags));
      }
      push_gap_event(start);
    }
    GstClockTime pts = start + gst_util_uint64_scale_round(at, GST_SECOND, rate);
    if (!fades) {
      fades = !wait_until_due(speech, pts);
      if (fades) fade_out(samples, fade);
    }
    GstClockTime latency = 0;
    {
      std::lock_guard guard(lock_);
      if (flushing_) {
        cut = true;
        break;
      }
      latency = pipeline_latency_;
    }
    if (const auto after = now_(); at > 0 && after && *after > pts + latency + kLate) {
      // A hole: what comes is stamped with the time at which it can be heard.
      {
        std::lock_guard guard(lock_);
        ++n_underruns_;
      }
      start += *after - latency - pts;
      pts = *after - latency;
      push_gap_event(pts);
    }
    GstBuffer* buffer = buffer_of(samples, u, start, at);
    at += samples.size();
    {
      std::lock_guard guard(lock_);
      position_ = GST_BUFFER_PTS(buffer) + GST_BUFFER_DURATION(buffer);
    }
    push(MiniObjectPtr(GST_MINI_OBJECT(buffer)));
    if (!fades) continue;
    {
      std::lock_guard guard(lock_);
      cut = is_cut(speech);
    }
    cut = cut || !go_on();
    if (cut) break;
  }
  speech.stop();
  {
    std::lock_guard guard(lock_);
    if (!GST_CLOCK_TIME_IS_VALID(start)) start = std::max(u.not_before, position_);
  }
  return {cut                   ? omni::SpeechEnd::interrupted
          : speech.is_runaway() ? omni::SpeechEnd::runaway
                                : omni::SpeechEnd::finished,
          start, gst_util_uint64_scale(at, GST_SECOND, rate)};
}
