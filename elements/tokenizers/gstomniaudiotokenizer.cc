/**
 * element-omniaudiotokenizer:
 *
 * Listens to raw audio of any rate, sample format and number of channels: converts to what the checkpoint hears (16 kHz mono), computes the log-mel
 * spectrogram as a stream, runs the audio tower, and pushes one token buffer for every 2 s. At the end of the stream the rest goes at once. A GAP is silence.
 *
 * Latency of a live stream = 2 s (the unit of Qwen2.5-Omni) + 12.5 ms (look-ahead of the spectrogram) + `latency` (time allowed for the tower).
 *
 * ## Example
 * |[
 * gst-launch-1.0 audiotestsrc num-buffers=300 ! omniaudiotokenizer model-path=models/nano ! fakesink dump=true
 * ]|
 */
#include "tokenizers/gstomniaudiotokenizer.h"

#include <gst/audio/audio.h>

#include <algorithm>

#include "common/gstomniguard.h"
#include "tokenizers/gstomnitokenizer.h"

static constexpr GstClockTime kLookAhead = 12500 * GST_USECOND;
static constexpr GstClockTime kUnit = 2 * GST_SECOND;
static constexpr GstClockTimeDiff kResyncAbove = 40 * GST_MSECOND;  // a jump of the time stamps that is more than jitter

namespace {

struct Settings : GstOmniEngineSettings {
  guint latency = 200;
  double clip_maximum = 100;  // above any log-mel value: unset
};

const GstOmniProperties<Settings>& properties() {
  static const GstOmniProperties<Settings> table = [] {
    auto rows = gst_omni_engine_properties<Settings>();
    rows.push_back({"latency", "Latency", "Time allowed for the audio tower, in ms, as reported to live pipelines", &Settings::latency, 0, 60000});
    rows.push_back({"clip-maximum", "Clip maximum", "Highest log10 mel power of the whole clip, for results equal to offline processing (100 = running maximum)",
                    &Settings::clip_maximum, -20, 100});
    return GstOmniProperties<Settings>(rows);
  }();
  return table;
}

struct GstOmniAudioTokenizer {
  GstOmniTokenizer base;
  Settings* settings;
};

struct GstOmniAudioTokenizerClass {
  GstOmniTokenizerClass base;
};

GstOmniAudioTokenizer* cast(gpointer p) { return static_cast<GstOmniAudioTokenizer*>(p); }

GstAudioInfo parse_caps(GstCaps* caps) {
  GstAudioInfo info;
  CharPtr text(gst_caps_to_string(caps));
  if (!gst_audio_info_from_caps(&info, caps)) throw omni::Error(omni::ErrorCode::unsupported, std::string("caps that describe no audio: ") + text.get());
  return info;
}

class AudioWork final : public GstOmniTokenizerWork {
 public:
  explicit AudioWork(std::unique_ptr<omni::AudioTokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {
    gst_audio_info_set_format(&out_, GST_AUDIO_FORMAT_F32, tokenizer_->sample_rate(), 1, nullptr);
  }

  void set_caps(GstCaps* caps) override {
    in_ = parse_caps(caps);
    converter_.reset(gst_audio_converter_new(GST_AUDIO_CONVERTER_FLAG_NONE, &in_, &out_, nullptr));
    if (!converter_) throw omni::Error(omni::ErrorCode::unsupported, "audio that GstAudioConverter cannot turn into mono at " + std::to_string(out_.rate) + " Hz");
    started_ = false;
  }

  void buffer(GstBuffer* buffer, const Emit& emit) override {
    GstMapInfo map;
    if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) throw omni::Error(omni::ErrorCode::corrupt_file, "an audio buffer that cannot be read");
    struct Unmap {
      GstBuffer* b;
      GstMapInfo* m;
      ~Unmap() { gst_buffer_unmap(b, m); }
    } unmap{buffer, &map};
    if (map.size % gsize(in_.bpf))
      throw omni::Error(omni::ErrorCode::corrupt_file, "an audio buffer of " + std::to_string(map.size) + " bytes is no whole number of frames of " + std::to_string(in_.bpf));
    const gsize frames = map.size / gsize(in_.bpf), skip = std::min(frames, align(GST_BUFFER_PTS(buffer), emit));
    feed(map.data + skip * gsize(in_.bpf), frames - skip, emit);
  }

  void gap(GstClockTime start, GstClockTime duration, const Emit& emit) override {
    if (!converter_ || !GST_CLOCK_TIME_IS_VALID(duration)) return;
    align(start, emit);
    feed_silence(duration, emit);
  }

  void drain(const Emit& emit) override {
    if (!started_) return;
    if (const gsize tail = gst_audio_converter_get_max_latency(converter_.get())) feed(nullptr, tail, emit);
    for (auto& s : tokenizer_->finish()) emit(std::move(s));
    started_ = false;
  }

  void reset() override {
    tokenizer_->reset();
    started_ = false;
  }

 private:
  // Puts the samples to come where their time stamp says. A hole shorter than a unit is filled with silence and an overlap is cut off, so that the units
  // keep their place in time; a longer jump starts a new piece. Returns how many frames of the buffer to leave out.
  gsize align(GstClockTime pts, const Emit& emit) {
    if (started_ && GST_CLOCK_TIME_IS_VALID(pts)) {
      const GstClockTime expected = start_ + gst_util_uint64_scale(n_in_, GST_SECOND, guint64(in_.rate));
      const GstClockTimeDiff jump = GST_CLOCK_DIFF(expected, pts);
      if (ABS(jump) > GstClockTimeDiff(kUnit)) drain(emit);
      else if (jump > kResyncAbove) feed_silence(GstClockTime(jump), emit);
      else if (jump < -kResyncAbove) return gst_util_uint64_scale(GstClockTime(-jump), guint64(in_.rate), GST_SECOND);
    }
    if (started_) return 0;
    gst_audio_converter_reset(converter_.get());
    start_ = GST_CLOCK_TIME_IS_VALID(pts) ? pts : 0;
    n_in_ = 0;
    tokenizer_->start(omni::Nanoseconds(start_));
    started_ = true;
    return 0;
  }

  void feed_silence(GstClockTime duration, const Emit& emit) {
    const gsize frames = gst_util_uint64_scale(duration, guint64(in_.rate), GST_SECOND), piece = 4096;
    std::vector<guint8> silence(piece * gsize(in_.bpf));
    gst_audio_format_info_fill_silence(in_.finfo, silence.data(), silence.size());
    for (gsize done = 0; done < frames; done += piece) feed(silence.data(), std::min(piece, frames - done), emit);
  }

  void feed(const guint8* data, gsize frames, const Emit& emit) {
    const gsize n_out = gst_audio_converter_get_out_frames(converter_.get(), frames);
    samples_.resize(n_out);
    gpointer in[] = {const_cast<guint8*>(data)}, out[] = {samples_.data()};
    if (frames && !gst_audio_converter_samples(converter_.get(), GST_AUDIO_CONVERTER_FLAG_NONE, data ? in : nullptr, frames, out, n_out))
      throw omni::Error(omni::ErrorCode::internal, "GstAudioConverter failed");
    n_in_ += frames;
    for (auto& s : tokenizer_->push(samples_)) emit(std::move(s));
  }

  std::unique_ptr<omni::AudioTokenizer> tokenizer_;
  GstAudioInfo in_{}, out_{};
  std::unique_ptr<GstAudioConverter, GstOmniRelease<gst_audio_converter_free>> converter_;
  std::vector<float> samples_;
  bool started_ = false;
  GstClockTime start_ = 0;  // of the piece
  guint64 n_in_ = 0;        // frames of the piece so far
};

void check_caps(GstOmniTokenizer*, GstCaps* caps) { parse_caps(caps); }
bool accepts(GstOmniTokenizer*, GstBuffer*) { return true; }
void restart(GstOmniTokenizer*) {}

std::unique_ptr<GstOmniTokenizerWork> make_work(GstOmniTokenizer* base, const omni::Engine& engine) {
  Settings& s = *cast(base)->settings;
  omni::AudioOptions options;
  {
    std::lock_guard guard(s.lock);
    if (s.clip_maximum < 100) options.clip_maximum = float(s.clip_maximum);
  }
  return std::make_unique<AudioWork>(engine.make_audio_tokenizer(options));
}

GstClockTime own_latency(GstOmniTokenizer* base) {
  Settings& s = *cast(base)->settings;
  std::lock_guard guard(s.lock);
  return kUnit + kLookAhead + s.latency * GST_MSECOND;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  if (!properties().set(*cast(object)->settings, id, value)) G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  if (id == properties().count() + 1) g_value_take_boxed(value, gst_omni_tokenizer_stats(GST_OMNI_TOKENIZER(object)));
  else if (!properties().get(*cast(object)->settings, id, value)) G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

GObjectClass* g_parent_class = nullptr;

void finalize(GObject* object) {
  Settings* settings = cast(object)->settings;
  g_parent_class->finalize(object);
  delete settings;
}

void instance_init(GTypeInstance* instance, gpointer) {
  auto* self = reinterpret_cast<GstOmniAudioTokenizer*>(instance);
  self->settings = new Settings();
  gst_omni_tokenizer_setup(&self->base, *self->settings);
}

void class_init(gpointer g_class, gpointer) {
  g_parent_class = static_cast<GObjectClass*>(g_type_class_peek_parent(g_class));
  auto* klass = static_cast<GstOmniTokenizerClass*>(g_class);
  auto* object = G_OBJECT_CLASS(g_class);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  properties().install(object);
  gst_omni_tokenizer_class_setup(klass, "audio/x-raw, format=(string)" GST_AUDIO_FORMATS_ALL ", rate=(int)[ 1, max ], channels=(int)[ 1, max ], layout=(string)interleaved",
                                 properties().count() + 1);
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(g_class), "Omni audio tokenizer", "Filter/Analyzer/Audio",
                                        "Turns raw audio into the tokens of a multimodal model", "gst-omni");
  klass->max_buffers = 4096;
  klass->max_time = 8 * GST_SECOND;
  klass->modality = omni::Modality::audio;
  klass->check_caps = check_caps;
  klass->accepts = accepts;
  klass->restart = restart;
  klass->make_work = make_work;
  klass->own_latency = own_latency;
}

GType get_type() {
  static const GType type = [] {
    const GTypeInfo info = {sizeof(GstOmniAudioTokenizerClass), nullptr, nullptr, class_init, nullptr, nullptr, sizeof(GstOmniAudioTokenizer), 0, instance_init, nullptr};
    return g_type_register_static(GST_TYPE_OMNI_TOKENIZER, "GstOmniAudioTokenizer", &info, GTypeFlags(0));
  }();
  return type;
}

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omniaudiotokenizer, "omniaudiotokenizer", GST_RANK_NONE, get_type());
