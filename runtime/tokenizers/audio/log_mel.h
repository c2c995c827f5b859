// Log-mel spectrogram as WhisperFeatureExtractor computes it (transformers, feature_extraction_whisper.py), as a stream:
// frame k is ready once sample 160·k + 199 is there (12.5 ms of look-ahead); the head of the stream reflects, the tail sees zeros.
// What comes out is log10 of the mel power before the clip-wide floor, which normalise() applies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "audio/fft.h"

namespace omni {

class LogMel {
 public:
  static constexpr int kSampleRate = 16000, kFftSize = 400, kHop = 160;

  explicit LogMel(int n_mels);

  // Appends the frames that became ready to `out`, n_mels values each. Throws corrupt_file if a sample is not a number.
  void push(std::span<const float> samples, std::vector<float>& out);
  // The rest of the frames: ceil(samples / 160) in all. The stream starts anew afterwards.
  void finish(std::vector<float>& out);
  void reset();

  int n_mels() const { return n_mels_; }

  // x ← (max(x, highest − 8) + 4) / 4
  static void normalise(std::span<float> frames, float highest);

 private:
  void frames_until(int64_t end, std::vector<float>& out);
  float sample(int64_t i) const;

  struct Filter {  // one triangle over neighbouring frequencies
    int first;
    std::vector<double> weight;
  };
  int n_mels_;
  Fft fft_;
  std::vector<double> window_, re_, im_;
  std::vector<Filter> filters_;
  std::vector<float> samples_;  // those that a later frame still needs
  int64_t first_ = 0;           // index of samples_[0] in the stream
  int64_t n_samples_ = 0;       // seen so far
  int64_t next_frame_ = 0;
};

}  // namespace omni
