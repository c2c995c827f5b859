#include "omni/turn_detector.h"

#include <algorithm>
#include <utility>

#include "core/time.h"
#include "vad/speech_segmenter.h"
#include "vad/turn_model.h"
#include "vad/voice_activity.h"

namespace omni {

namespace {

constexpr int64_t kRate = SileroVad::kSampleRate;
static_assert(kRate == TurnModel::kSampleRate);
// Of turns that end with `silence`: how long a pause has lasted when the model is asked, and lasts
// at most.
constexpr int64_t asked_after(int64_t silence) { return silence * 2 / 5; }
constexpr int64_t longest(int64_t silence) { return 3 * silence; }
// A probability above it is believed. The reference's .5 cuts off two and a half times as many
// turns of people who pause, and finds as many of those that are over (tools/check/turn_ends.py).
constexpr float kFinished = .9f;
constexpr int64_t kAhead = kRate / 2;  // samples ahead of a voice that the model hears

// What a model says about a pause. It hears the turn that goes on.
class ModelOfPauses {
 public:
  explicit ModelOfPauses(std::shared_ptr<const TurnModel> model) : model_(std::move(model)) {}

  void start() { samples_.clear(); }
  void push(std::span<const float> samples) {
    samples_.insert(samples_.end(), samples.begin(), samples.end());
  }
  // Whether the turn that began `n_spoken` samples before the last `n_behind` has been finished.
  bool is_over(int64_t n_spoken, int64_t n_behind) {
    const auto heard = std::span<const float>(samples_).first(samples_.size() - size_t(n_behind));
    const size_t n = std::min(heard.size(), size_t(n_spoken + kAhead));
    return (*model_)(cx_, heard.last(n)) > kFinished;
  }
  // Of what was pushed the model hears no more than its window.
  void trim() {
    const auto window = size_t(model_->window() + kRate);
    if (samples_.size() > 2 * window)
      samples_.erase(samples_.begin(), samples_.end() - int64_t(window));
  }

 private:
  const std::shared_ptr<const TurnModel> model_;
  ThreadPool pool_{1};
  Arena arena_;
  ops::Context cx_{pool_, arena_};
  std::vector<float> samples_;  // the last ones
};

class VadTurnDetector final : public TurnDetector {
 public:
  VadTurnDetector(Nanoseconds silence, std::shared_ptr<const TurnModel> model,
                  Nanoseconds told_after)
      : silence_(samples_in(silence, kRate)),
        told_after_(samples_in(told_after, kRate)),
        options_{.min_silence = model ? longest(silence_) : silence_},
        segmenter_(options_) {
    if (model) model_.emplace(std::move(model));
  }

  void start(Nanoseconds time) override {
    start_ = time;
    n_samples_ = n_windows_ = 0;
    is_told_ = false;
    activity_.reset();
    segmenter_ = SpeechSegmenter(options_);
    if (model_) model_->start();
  }

  std::vector<TurnMark> push(std::span<const float> samples) override {
    std::vector<TurnMark> marks;
    const int64_t before = std::exchange(n_samples_, n_samples_ + int64_t(samples.size()));
    if (model_) model_->push(samples);
    activity_.push(samples, [&](float probability) {
      const int64_t now = ++n_windows_ * options_.window;
      const auto mark = [&](auto what) { marks.push_back({size_t(now - before), what}); };
      auto speech = segmenter_.push(probability);
      if (!speech && is_over(now)) speech = segmenter_.end();
      if (speech) {
        is_told_ = false;
        mark(ended(*speech, now));
      } else if (const auto since = segmenter_.speaking_since();
                 since && !is_told_ && now - *since >= told_after_ && !segmenter_.pause()) {
        is_told_ = true;
        mark(VoiceBegan{time_of(*since)});
      }
    });
    if (model_) model_->trim();
    return marks;
  }

  std::optional<TurnEnded> finish() override {
    const auto speech = segmenter_.finish(n_samples_);
    is_told_ = false;
    return speech ? std::optional(ended(*speech, n_samples_)) : std::nullopt;
  }

 private:
  // Whether the pause that goes on ends the turn already. The model is asked once a pause; of a
  // cough, which is no turn, nothing.
  bool is_over(int64_t now) {
    const auto pause = segmenter_.pause();
    if (!pause) goes_on_ = false;
    if (!model_ || !pause || goes_on_) return false;
    const auto since = segmenter_.speaking_since();
    if (!since) return *pause >= silence_;
    if (*pause < asked_after(silence_)) return false;
    goes_on_ = !model_->is_over(now - *since, n_samples_ - now);
    return !goes_on_;
  }
  Nanoseconds time_of(int64_t sample) const { return start_ + duration_of(sample, kRate); }
  TurnEnded ended(const SpeechSegment& s, int64_t now) const {
    return {{time_of(s.start), duration_of(s.end - s.start, kRate)}, time_of(now)};
  }

  const int64_t silence_, told_after_;  // samples
  const SpeechSegmenterOptions options_;
  VoiceActivity activity_;
  SpeechSegmenter segmenter_;
  std::optional<ModelOfPauses> model_;
  Nanoseconds start_ = 0;
  int64_t n_samples_ = 0, n_windows_ = 0;
  bool is_told_ = false;  // of the speech that goes on
  bool goes_on_ = false;  // behind this pause, the model says
};

}  // namespace

std::unique_ptr<TurnDetector> make_turn_detector(Nanoseconds silence,
                                                 std::shared_ptr<const TurnModel> model,
                                                 Nanoseconds told_after) {
  if (silence <= 0)
    throw Error(ErrorCode::invalid_argument,
                "turns that end with a silence of " + std::to_string(silence) + " ns");
  return std::make_unique<VadTurnDetector>(silence, std::move(model), told_after);
}

}  // namespace omni
