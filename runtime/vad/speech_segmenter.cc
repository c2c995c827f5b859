#include "vad/speech_segmenter.h"

#include <utility>

namespace omni {

std::optional<SpeechSegment> SpeechSegmenter::push(float probability) {
  const int64_t window = std::exchange(at_, at_ + options_.window);
  if (probability >= options_.threshold) {
    silent_.reset();
    if (!start_) start_ = window;
    return std::nullopt;
  }
  if (!start_ || probability >= options_.neg_threshold) return std::nullopt;
  if (!silent_) silent_ = window;
  return *pause() < options_.min_silence ? std::nullopt : end();
}

std::optional<int64_t> SpeechSegmenter::pause() const {
  return silent_ ? std::optional(at_ - options_.window - *silent_) : std::nullopt;
}

std::optional<SpeechSegment> SpeechSegmenter::end() { return close(*silent_); }

std::optional<SpeechSegment> SpeechSegmenter::finish(int64_t n) {
  at_ = 0;
  return start_ ? close(n) : std::nullopt;
}

std::optional<int64_t> SpeechSegmenter::speaking_since() const {
  return start_ && silent_.value_or(at_) - *start_ > options_.min_speech ? start_ : std::nullopt;
}

std::optional<SpeechSegment> SpeechSegmenter::close(int64_t end) {
  const SpeechSegment segment{*start_, end};
  start_.reset();
  silent_.reset();
  if (segment.end - segment.start <= options_.min_speech) return std::nullopt;
  return segment;
}

}  // namespace omni
