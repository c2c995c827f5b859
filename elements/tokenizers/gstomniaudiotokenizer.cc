/**
 * element-omniaudiotokenizer:
 *
 * Listens to raw audio of any rate, sample format and number of channels: converts to what the
 * checkpoint hears (16 kHz mono), computes the log-mel spectrogram as a stream, runs the audio
 * tower, and pushes one token buffer for every 2 s. At the end of the stream the rest goes at once.
 * A GAP is silence.
 *
 * Latency of a live stream = 2 s (the unit of Qwen2.5-Omni) + 12.5 ms (look-ahead of the
 * spectrogram) + `latency` (time allowed for the tower).
 *
 * ## Example
 * |[
 * gst-launch-1.0 audiotestsrc num-buffers=300 ! omniaudiotokenizer model-path=models/nano !
 * fakesink dump=true
 * ]|
 */
#include "tokenizers/gstomniaudiotokenizer.h"

#include <gst/audio/audio.h>

#include "streams/gstomniaudioinput.h"
#include "tokenizers/gstomnitokenizer.h"

static constexpr GstClockTime kLookAhead = 12500 * GST_USECOND;
static constexpr GstClockTime kUnit = 2 * GST_SECOND;

namespace {

struct Settings : GstOmniEngineSettings {
  guint latency = 200;
  double clip_maximum = 100;  // above any log-mel value: unset
};

const GstOmniProperties<Settings>& properties() {
  static const GstOmniProperties<Settings> table = [] {
    auto rows = gst_omni_engine_properties<Settings>();
    rows.push_back({"latency", "Latency",
                    "Time allowed for the audio tower, in ms, as reported to live pipelines",
                    &Settings::latency, 0, 60000});
    rows.push_back({"clip-maximum", "Clip maximum",
                    "Highest log10 mel power of the whole clip, for results equal to offline "
                    "processing (100 = running maximum)",
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

class AudioWork final : public GstOmniTokenizerWork {
 public:
  explicit AudioWork(std::unique_ptr<omni::AudioTokenizer> tokenizer)
      : tokenizer_(std::move(tokenizer)),
        input_(tokenizer_->sample_rate(), kUnit,
               {[this](GstClockTime time) { tokenizer_->start(omni::Nanoseconds(time)); },
                [this](std::span<const float> samples) { put(tokenizer_->push(samples)); },
                [this] { put(tokenizer_->finish()); }}) {}

  void set_caps(GstCaps* caps) override { input_.set_caps(caps); }
  void buffer(GstBuffer* buffer, const Emit& emit) override {
    emit_ = &emit;
    input_.buffer(buffer);
  }
  void gap(GstClockTime start, GstClockTime duration, const Emit& emit) override {
    emit_ = &emit;
    input_.gap(start, duration);
  }
  void drain(const Emit& emit) override {
    emit_ = &emit;
    input_.drain();
  }
  void reset() override {
    tokenizer_->reset();
    input_.reset();
  }

 private:
  void put(std::vector<omni::Segment> segments) {
    for (auto& s : segments) (*emit_)(std::move(s));
  }

  std::unique_ptr<omni::AudioTokenizer> tokenizer_;
  const Emit* emit_ = nullptr;  // of the call that is running
  GstOmniAudioInput input_;
};

void check_caps(GstOmniTokenizer*, GstCaps* caps) { gst_omni_audio_info(caps); }
bool accepts(GstOmniTokenizer*, GstBuffer*) { return true; }
void restart(GstOmniTokenizer*) {}

std::unique_ptr<GstOmniTokenizerWork> make_work(GstOmniTokenizer* base,
                                                const omni::Engine& engine) {
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
  if (!properties().set(*cast(object)->settings, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  if (id == properties().count() + 1)
    g_value_take_boxed(value, gst_omni_tokenizer_stats(GST_OMNI_TOKENIZER(object)));
  else if (!properties().get(*cast(object)->settings, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
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
  gst_omni_tokenizer_class_setup(
      klass,
      "audio/x-raw, format=(string)" GST_AUDIO_FORMATS_ALL
      ", rate=(int)[ 1, max ], channels=(int)[ 1, max ], layout=(string)interleaved",
      properties().count() + 1);
  gst_element_class_set_static_metadata(
      GST_ELEMENT_CLASS(g_class), "Omni audio tokenizer", "Filter/Analyzer/Audio",
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
    const GTypeInfo info = {
        sizeof(GstOmniAudioTokenizerClass), nullptr, nullptr,       class_init, nullptr, nullptr,
        sizeof(GstOmniAudioTokenizer),      0,       instance_init, nullptr};
    return g_type_register_static(GST_TYPE_OMNI_TOKENIZER, "GstOmniAudioTokenizer", &info,
                                  GTypeFlags(0));
  }();
  return type;
}

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omniaudiotokenizer, "omniaudiotokenizer", GST_RANK_NONE, get_type());
