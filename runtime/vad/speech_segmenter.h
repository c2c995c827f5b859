// From probabilities of a voice to stretches of speech, as get_speech_timestamps of
// silero_vad/utils_vad.py finds them, without its padding; one window at a time.
#pragma once

#include <cstdint>
#include <optional>

namespace omni {

struct SpeechSegmenterOptions {
  int64_t window = 512;        // samples that a probability stands for
  float threshold = .5f;       // speech begins with a window at least so likely
  float neg_threshold = .35f;  // and ends with one that is less likely than this …
  int64_t min_silence = 1600;  // … if none reaches `threshold` for so many samples
  int64_t min_speech = 4000;   // what is not longer was no speech; samples
};

struct SpeechSegment {
  int64_t start, end;  // samples since the beginning; end: of its last voice
  bool operator==(const SpeechSegment&) const = default;
};

class SpeechSegmenter {
 public:
  explicit SpeechSegmenter(const SpeechSegmenterOptions& options) : options_(options) {}

  // The next window; what ended with it, min_silence ago.
  std::optional<SpeechSegment> push(float probability);
  // The end of the stream after `n` samples: what was still going on. A new stream begins.
  std::optional<SpeechSegment> finish(int64_t n);

  // How long the pause has lasted, as min_silence counts it; none while somebody speaks or nobody
  // has begun.
  std::optional<int64_t> pause() const;
  // The speech ends with the pause that goes on, however short.
  std::optional<SpeechSegment> end();

  // Where the speech began that goes on, once it is longer than min_speech.
  std::optional<int64_t> speaking_since() const;

 private:
  std::optional<SpeechSegment> close(int64_t end);

  SpeechSegmenterOptions options_;
  int64_t at_ = 0;                         // first sample of the next window
  std::optional<int64_t> start_, silent_;  // of what goes on; since when it may be over
};

}  // namespace omni
