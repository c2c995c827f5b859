#include "omni/turn_detector.h"

#include <utility>

#include "core/time.h"
#include "vad/speech_segmenter.h"
#include "vad/voice_activity.h"

namespace omni {

namespace {

constexpr int64_t kRate = SileroVad::kSampleRate;

class VadTurnDetector final : public TurnDetector {
 public:
  explicit VadTurnDetector(Nanoseconds silence)
      : options_{.min_silence = samples_in(silence, kRate)}, segmenter_(options_) {}

  void start(Nanoseconds time) override {
    start_ = time;
    n_samples_ = n_windows_ = 0;
    is_told_ = false;
    activity_.reset();
    segmenter_ = SpeechSegmenter(options_);
  }

  std::vector<TurnMark> push(std::span<const float> samples) override {
    std::vector<TurnMark> marks;
    const int64_t before = std::exchange(n_samples_, n_samples_ + int64_t(samples.size()));
    activity_.push(samples, [&](float probability) {
      const int64_t now = ++n_windows_ * options_.window;
      const auto mark = [&](auto what) { marks.push_back({size_t(now - before), what}); };
      if (const auto speech = segmenter_.push(probability)) {
        is_told_ = false;
        mark(ended(*speech, now));
      } else if (const auto since = segmenter_.speaking_since(); since && !is_told_) {
        is_told_ = true;
        mark(VoiceBegan{time_of(*since)});
      }
    });
    return marks;
  }

  std::optional<TurnEnded> finish() override {
    const auto speech = segmenter_.finish(n_samples_);
    is_told_ = false;
    return speech ? std::optional(ended(*speech, n_samples_)) : std::nullopt;
  }

 private:
  Nanoseconds time_of(int64_t sample) const { return start_ + duration_of(sample, kRate); }
  TurnEnded ended(const SpeechSegment& s, int64_t now) const {
    return {{time_of(s.start), duration_of(s.end - s.start, kRate)}, time_of(now)};
  }

  const SpeechSegmenterOptions options_;
  VoiceActivity activity_;
  SpeechSegmenter segmenter_;
  Nanoseconds start_ = 0;
  int64_t n_samples_ = 0, n_windows_ = 0;
  bool is_told_ = false;  // of the speech that goes on
};

}  // namespace

std::unique_ptr<TurnDetector> make_turn_detector(Nanoseconds silence) {
  if (silence <= 0)
    throw Error(ErrorCode::invalid_argument,
                "turns that end with a silence of " + std::to_string(silence) + " ns");
  return std::make_unique<VadTurnDetector>(silence);
}

}  // namespace omni
