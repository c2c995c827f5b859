/**
 * element-omniaudiotokenizer:
 *
 * Listens to raw audio of any rate, sample format, layout and number of channels: converts to what
 * the checkpoint hears (16 kHz mono), computes the log-mel spectrogram as a stream, runs the audio
 * tower, and pushes one token buffer for every chunk of the checkpoint (2 s for Qwen2.5-Omni, 1 s
 * for Qwen3-Omni, of whose recordings eight come at a time). At the end of the stream the rest goes
 * at once. Where omnimodel asks for it (its `trigger` is turn),
 * a voice is listened for as well (Silero VAD, built in): the rest goes at once, too, when somebody
 * has been silent for `turn-silence`, and the model learns of it. With a model of turns in
 * `turn-model-path` (smart-turn, `tools/fetch-model smart-turn`) it is asked when a pause has
 * lasted for 2/5 of `turn-silence`: who has finished, it says, has finished; who goes on may pause
 * for 3 times `turn-silence`. A question takes a tenth of a second of one core. A GAP of up to 30 s
 * is silence, a longer one a hole. Played in reverse, nothing is heard.
 *
 * Latency of a live stream = the chunk, once the checkpoint is there + 12.5 ms (look-ahead of the
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

#include "omni/turn_detector.h"
#include "streams/gstomniaudioinput.h"
#include "tokenizers/gstomnitokenizer.h"
#include "tokens/gstomnitokens.h"
#include "tokens/gstomniturns.h"

namespace {

constexpr GstClockTime kLookAhead = 12500 * GST_USECOND;
constexpr GstClockTime kMostHole = 2 * GST_SECOND;  // longer ones begin a new piece
constexpr GstOmniInput::Limits kLimits{4096, 64 << 20, 8 * GST_SECOND};

struct AudioSettings : GstOmniEngineSettings {
  guint latency = 200, turn_silence = 500, barge_in_delay = 300;
  std::string turn_model_path;
  double clip_maximum = 100;  // above any log-mel value: unset
};

// When turns end and voices are told of.
struct Listening {
  omni::Nanoseconds turn_silence, barge_in_delay;
  bool operator==(const Listening&) const = default;
};

class AudioWork final : public GstOmniTokenizerWork {
 public:
  struct Calls {
    std::function<void()> check_cancelled;
    std::function<bool()> is_live;
    std::function<std::optional<Listening>()> listening;  // none: turns are nobody's business
    std::function<std::shared_ptr<const omni::TurnModel>()> turn_model;  // may have none
    std::function<void(EventPtr)> push_event;
  };
  AudioWork(std::unique_ptr<omni::AudioTokenizer> tokenizer, Calls calls)
      : tokenizer_(std::move(tokenizer)),
        calls_(std::move(calls)),
        input_(tokenizer_->sample_rate(), kMostHole,
               {[this](GstClockTime time) { start(omni::Nanoseconds(time)); },
                [this](std::span<const float> samples) { push(samples); }, [this] { finish(); }}) {}

  void set_caps(GstCaps* caps) override { input_.set_caps(caps); }
  void set_segment(const GstSegment& segment) override { reverse_ = segment.rate < 0; }
  void buffer(GstBuffer* buffer, GstClockTime time, const Emit& emit) override {
    emit_ = &emit;
    if (!reverse_) input_.buffer(buffer, time);
  }
  bool gap(GstClockTime time, GstClockTime duration, const Emit& emit) override {
    emit_ = &emit;
    return !reverse_ && input_.gap(time, duration);
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
  void start(omni::Nanoseconds time) {
    start_ = time;
    n_samples_ = 0;
    tokenizer_->set_live(calls_.is_live());
    tokenizer_->start(time);
    listening_ = calls_.listening();
    detector_ = listening_ ? omni::make_turn_detector(listening_->turn_silence, calls_.turn_model(),
                                                      listening_->barge_in_delay)
                           : nullptr;
    if (detector_) detector_->start(time);
  }
  void push(std::span<const float> samples) {
    calls_.check_cancelled();
    if (listening_ != calls_.listening()) start_anew();
    size_t begin = 0;
    for (const omni::TurnMark& mark : detector_ ? detector_->push(samples) : kNoMarks) {
      tokenize(samples.subspan(begin, mark.at - begin));
      begin = mark.at;
      if (const auto* began = std::get_if<omni::VoiceBegan>(&mark.what))
        calls_.push_event(gst_omni_voice_began(*began));
      else
        end_turn(std::get<omni::TurnEnded>(mark.what));
    }
    tokenize(samples.subspan(begin));
  }
  void tokenize(std::span<const float> samples) {
    n_samples_ += samples.size();
    put(tokenizer_->push(samples));
  }
  // What was begun goes at once; the next unit begins behind it.
  void end_turn(const omni::TurnEnded& turn) {
    put(tokenizer_->finish());
    tokenizer_->start(now());
    calls_.push_event(gst_omni_turn_ended(turn));
  }
  // It was told meanwhile whether turns matter, or what ends them.
  void start_anew() {
    finish();
    start(now());
  }
  void finish() {
    put(tokenizer_->finish());
    const auto turn = detector_ ? detector_->finish() : std::nullopt;
    if (turn) calls_.push_event(gst_omni_turn_ended(*turn));
  }
  omni::Nanoseconds now() const {
    return start_ + omni::Nanoseconds(gst_util_uint64_scale(n_samples_, GST_SECOND,
                                                            guint64(tokenizer_->sample_rate())));
  }
  void put(std::vector<omni::Segment> segments) {
    for (auto& s : segments) (*emit_)(std::move(s));
  }

  std::unique_ptr<omni::AudioTokenizer> tokenizer_;
  const Calls calls_;
  const std::vector<omni::TurnMark> kNoMarks;
  std::unique_ptr<omni::TurnDetector> detector_;
  std::optional<Listening> listening_;
  omni::Nanoseconds start_ = 0;  // of what goes on
  guint64 n_samples_ = 0;        // of it
  const Emit* emit_ = nullptr;   // of the call that is running
  bool reverse_ = false;
  GstOmniAudioInput input_;
};

class AudioTokenizer final : public GstOmniTokenizer {
 public:
  using Settings = AudioSettings;

  static const GstOmniProperties<Settings>& properties() {
    static const GstOmniProperties<Settings> table = [] {
      auto rows = gst_omni_engine_properties<Settings>();
      rows.push_back({"latency", "Latency",
                      "Time allowed for the audio tower, in ms, as reported to live pipelines",
                      &Settings::latency, 0, 60000});
      rows.push_back({"turn-silence", "Turn silence",
                      "Without a voice for so long somebody has finished, in ms (where omnimodel's "
                      "trigger is turn)",
                      &Settings::turn_silence, 32, 60000, GstOmniMutable::playing});
      rows.push_back({"barge-in-delay", "Barge-in delay",
                      "A voice is heard over an answer, which omnimodel's `barge-in` ends, once it "
                      "has lasted for so long, in ms (250 at least); one that is over before lets "
                      "the answer go on",
                      &Settings::barge_in_delay, 0, 60000, GstOmniMutable::playing});
      rows.push_back({"turn-model-path", "Turn model path",
                      "A model that says of a pause whether the turn is over (smart-turn), which "
                      "makes `turn-silence` shorter or longer: its folder, or its name as "
                      "`model-path` finds it",
                      &Settings::turn_model_path});
      rows.push_back({"clip-maximum", "Clip maximum",
                      "Highest log10 mel power of the whole clip, for results equal to offline "
                      "processing (100 = running maximum)",
                      &Settings::clip_maximum, -20, 100});
      return GstOmniProperties<Settings>(rows);
    }();
    return table;
  }
  static const std::vector<GstOmniReading<AudioTokenizer>>& readings() {
    static const auto table = gst_omni_tokenizer_readings<AudioTokenizer>();
    return table;
  }
  static void describe(GstElementClass* klass) {
    gst_omni_add_template(klass, "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_OMNI_AUDIO_CAPS);
    gst_omni_add_template(klass, "src", GST_PAD_SRC, GST_PAD_ALWAYS,
                          GST_OMNI_TOKENS_CAPS_OF("audio"));
    gst_omni_set_metadata(klass, "Omni audio tokenizer", "Filter/Analyzer/Audio",
                          "Turns raw audio into the tokens of a multimodal model");
  }

  AudioTokenizer(GstElement* element, GstElementClass* klass)
      : GstOmniTokenizer(element, klass, settings, omni::Modality::audio, kLimits) {}

  Settings settings;

 private:
  void set_caps(GstCaps* caps) override { info_ = gst_omni_audio_info(caps); }
  GstClockTime duration_of(GstBuffer* buffer) override {
    return gst_omni_audio_duration(info_, buffer);
  }

  std::unique_ptr<GstOmniTokenizerWork> make_work(const omni::Engine& engine) override {
    omni::AudioOptions options;
    {
      std::lock_guard guard(settings.lock);
      if (settings.clip_maximum < 100) options.clip_maximum = float(settings.clip_maximum);
    }
    auto work = std::make_unique<AudioWork>(
        engine.make_audio_tokenizer(options),
        AudioWork::Calls{[this] { check_cancelled(); }, [this] { return is_live(); },
                         [this] { return listening(); }, [this] { return turn_model(); },
                         [this](EventPtr event) { push_event(std::move(event)); }});
    chunk_ = GstClockTime(engine.chunk_duration());
    const QueryPtr query = gst_omni_query_turns_wanted();
    if (ask_downstream(query.get())) turns_wanted_ = gst_omni_parse_turns_wanted(query.get());
    return work;
  }

  bool take_upstream(GstEvent* event) override {
    const auto wanted = gst_omni_parse_turns_wanted(event);
    if (wanted) turns_wanted_ = *wanted;
    return wanted.has_value();
  }

  std::optional<Listening> listening() {
    if (!turns_wanted_) return std::nullopt;
    std::lock_guard guard(settings.lock);
    return Listening{omni::Nanoseconds(settings.turn_silence * GST_MSECOND),
                     omni::Nanoseconds(settings.barge_in_delay * GST_MSECOND)};
  }

  std::shared_ptr<const omni::TurnModel> turn_model() {
    std::string path;
    {
      std::lock_guard guard(settings.lock);
      path = settings.turn_model_path;
    }
    return path.empty() ? nullptr : omni::open_turn_model(path);
  }

  GstClockTime own_latency() override {
    std::lock_guard guard(settings.lock);
    return chunk_ + kLookAhead + settings.latency * GST_MSECOND;
  }

  std::atomic<bool> turns_wanted_ = false;
  GstAudioInfo info_{};                  // of the thread that pushes
  std::atomic<GstClockTime> chunk_ = 0;  // known once the checkpoint is
};

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omniaudiotokenizer, "omniaudiotokenizer", GST_RANK_NONE,
                            gst_omni_element_type<AudioTokenizer>("GstOmniAudioTokenizer"));
