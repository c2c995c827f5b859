// Log-mel spectrogram as WhisperFeatureExtractor computes it (transformers,
// feature_extraction_whisper.py), as a stream: frame k is ready once sample 160·k + 199 is there
// (12.5 ms of look-ahead); the head of the stream reflects, the tail sees zeros or reflects, too.
// What comes out is log10 of the mel power before the clip-wide floor, which normalise() applies.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "audio/fft.h"

namespace omni {

class LogMel {
 public:
  static constexpr int kSampleRate = 16000, kFftSize = 400, kHop = 160;

  // What computes frames in the host's place: (n − 1) · 160 + 400 samples → n_mels values a frame,
  // log10 of the power of each band, appended.
  using Frames =
      std::function<void(std::span<const float> samples, int64_t n, std::vector<float>& out)>;
  // What lies behind the last sample: zeros, for ceil(samples / 160) frames, or what is before it,
  // for floor(samples / 160): with the processor that pads a clip to its longest, or not at all.
  enum class Tail { zeros, reflects };
  explicit LogMel(int n_mels, Frames frames = {}, Tail tail = Tail::zeros);

  // Appends the frames that became ready to `out`, n_mels values each. Throws corrupt_file if a
  // sample is not a number.
  void push(std::span<const float> samples, std::vector<float>& out);
  // The rest of the frames. The stream starts anew afterwards.
  void finish(std::vector<float>& out);
  void reset();

  int n_mels() const { return n_mels_; }
  struct Band {  // one triangle over neighbouring frequencies
    int first;
    std::vector<double> weight;
  };
  const std::vector<Band>& bands() const { return bands_; }
  const std::vector<double>& window() const { return window_; }

  // x ← (max(x, highest − 8) + 4) / 4
  static void normalise(std::span<float> frames, float highest);

 private:
  void frames_until(int64_t end, std::vector<float>& out);
  // A few frames at once, n_mels values each, of (n − 1) · 160 + 400 samples.
  void some_frames(const float* samples, int n, float* out);
  float sample(int64_t i) const;

  int n_mels_;
  Fft fft_;
  std::vector<double> window_, re_, im_;
  std::vector<Band> bands_;
  Frames elsewhere_;
  Tail tail_;
  std::vector<float> samples_;  // those that a later frame still needs
  int64_t first_ = 0;           // index of samples_[0] in the stream
  int64_t n_samples_ = 0;       // seen so far
  int64_t next_frame_ = 0;
};

}  // namespace omni
