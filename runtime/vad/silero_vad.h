// Voice activity: how likely somebody speaks in a stretch of 32 ms. Silero VAD at 16 kHz (MIT,
// github.com/snakers4/silero-vad; its safetensors file, whose names these are, is built in).
// Mirrors silero_vad/tinygrad_model.py. Always on the host: a window costs .7 million products.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "layers/layers.h"

namespace omni {

class SileroVad {
 public:
  static constexpr int kSampleRate = 16000;
  static constexpr int kWindow = 512;  // samples
  static constexpr int kContext = 64;  // samples of the window before
  static constexpr int kHidden = 128;

  // What a stream remembers from window to window; a new one begins with silence.
  struct State {
    std::array<float, kContext> context{};
    std::array<float, kHidden> h{}, c{};
  };

  // The weights that are built in, loaded once and shared.
  static std::shared_ptr<const SileroVad> shared();
  // Throws not_found or corrupt_file.
  explicit SileroVad(const Weights& w);

  // The probability of a voice in `window`, the samples (−1 … 1) that follow those of the call
  // before. Any number of streams at once.
  float operator()(ops::Context& cx, std::span<const float, kWindow> window, State& state) const;

 private:
  Tensor features(ops::Context& cx, std::span<const float, kWindow> window,
                  const State& state) const;

  Linear stft_conv_;  // real ‖ imaginary parts
  Conv1d conv1_, conv2_, conv3_, conv4_;
  Linear lstm_cell_;  // of x ‖ h: the gates i ‖ f ‖ g ‖ o
  Linear final_conv_;
};

}  // namespace omni
