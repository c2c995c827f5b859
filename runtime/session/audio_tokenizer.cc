// Samples → log-mel frames → units of the family's length → rows → segments. The floor of the mel
// follows the loudest of the last units.
#include <algorithm>
#include <deque>

#include "audio/device_log_mel.h"
#include "session/tokenizers.h"

namespace omni {
namespace {

constexpr Nanoseconds kDefaultWindow = 30 * kSecond;

class ModelAudioTokenizer final : public AudioTokenizer {
 public:
  ModelAudioTokenizer(std::shared_ptr<const void> engine, const AudioEncoder& encoder,
                      ThreadPool& pool, const AudioOptions& options)
      : engine_(std::move(engine)),
        encoder_(encoder),
        pool_(pool),
        arena_(encoder.device()),
        options_(options),
        mel_(make_log_mel(arena_, encoder.spec().n_mels, encoder.spec().tail)),
        unit_(encoder.spec().unit_frames) {}

  int sample_rate() const override { return LogMel::kSampleRate; }

  void set_live(bool live) override { live_ = live; }

  void start(Nanoseconds time) override {
    const AudioSpec& spec = encoder_.spec();
    unit_ = live_ && spec.live_unit_frames ? spec.live_unit_frames : spec.unit_frames;
    start_ = time;
    n_units_ = 0;
    mel_.reset();
    frames_.clear();
  }

  std::vector<Segment> push(std::span<const float> samples) override {
    mel_.push(samples, frames_);
    return whole_units();
  }

  std::vector<Segment> finish() override {
    mel_.finish(frames_);
    std::vector<Segment> out = whole_units();
    if (const int n = n_frames(); n > 0) encode(n, out);
    std::erase_if(out, [](const Segment& s) { return s.n_tokens == 0; });
    return out;
  }

  void reset() override {
    start(0);
    maxima_.clear();
  }

 private:
  static Nanoseconds unit_duration(int64_t frames) {
    return frames * LogMel::kHop * kSecond / LogMel::kSampleRate;
  }
  size_t window_units() const {
    const Nanoseconds window =
        options_.normaliser_window > 0 ? options_.normaliser_window : kDefaultWindow;
    return size_t(std::max<Nanoseconds>(1, window / unit_duration(unit_)));
  }
  int n_frames() const { return int(frames_.size()) / mel_.n_mels(); }

  std::vector<Segment> whole_units() {
    std::vector<Segment> out;
    while (n_frames() >= unit_) encode(unit_, out);
    return out;
  }

  float maximum(std::span<const float> unit) {
    if (options_.clip_maximum) return *options_.clip_maximum;
    maxima_.push_back(*std::max_element(unit.begin(), unit.end()));
    while (maxima_.size() > window_units()) maxima_.pop_front();
    return *std::max_element(maxima_.begin(), maxima_.end());
  }

  // The next n frames.
  void encode(int n, std::vector<Segment>& out) {
    const AudioSpec& spec = encoder_.spec();
    const std::span<float> unit(frames_.data(), size_t(n) * size_t(mel_.n_mels()));
    LogMel::normalise(unit, maximum(unit));
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    const Tensor y = encoder_.encode(cx, Tensor::view(unit.data(), DType::f32, {n, mel_.n_mels()}));
    std::vector<float> room;
    const auto values = ops::to_host(cx, y, room);
    const Nanoseconds start = start_ + n_units_ * unit_duration(unit_);
    const int most = spec.segment_frames ? spec.segment_frames : n;
    for (int frame = 0, token = 0; frame < n; frame += most) {
      Segment s;
      s.modality = Modality::audio;
      const bool is_last = frame + most >= n;
      s.n_tokens = s.grid_t = is_last ? int(y.dim(0)) - token : spec.segment_tokens;
      s.hidden = int(y.dim(1));
      const auto begin = values.begin() + std::ptrdiff_t{token} * s.hidden;
      s.embeddings.assign(begin, begin + std::ptrdiff_t{s.n_tokens} * s.hidden);
      s.seconds_per_grid = spec.seconds_per_token;
      s.start = start + unit_duration(frame);
      s.duration = unit_duration(std::min(most, n - frame));
      token += s.n_tokens;
      out.push_back(std::move(s));
    }
    ++n_units_;
    frames_.erase(frames_.begin(), frames_.begin() + std::ptrdiff_t(unit.size()));
  }

  std::shared_ptr<const void> engine_;
  const AudioEncoder& encoder_;
  ThreadPool& pool_;
  Arena arena_;
  AudioOptions options_;
  LogMel mel_;
  bool live_ = false;
  int unit_;                   // mel frames
  std::vector<float> frames_;  // log-mel, not yet normalised
  std::deque<float> maxima_;   // of the last units
  Nanoseconds start_ = 0;
  int64_t n_units_ = 0;
};

}  // namespace

std::unique_ptr<AudioTokenizer> make_audio_tokenizer(std::shared_ptr<const void> engine,
                                                     const AudioEncoder& encoder, ThreadPool& pool,
                                                     const AudioOptions& options) {
  return std::make_unique<ModelAudioTokenizer>(std::move(engine), encoder, pool, options);
}

}  // namespace omni
