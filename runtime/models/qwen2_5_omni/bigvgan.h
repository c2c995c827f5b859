// The vocoder: mel spectrogram → wave at 24 kHz. (arXiv 2206.04658;
// Qwen2_5OmniToken2WavBigVGANModel)
#pragma once

#include <vector>

#include "layers/layers.h"
#include "layers/recorded.h"
#include "qwen2_5_omni/config.h"

namespace omni::qwen2_5_omni {

class BigVgan {
 public:
  BigVgan(const Weights& w, const BigVganConfig& config);
  int samples_per_frame() const;
  // How many frames to each side a sample depends on, at most.
  int64_t receptive_frames() const;
  // As many frames or more, of which it had better be given so many at once: on a device work of
  // few sizes is planned and recorded.
  int64_t preferred_frames(int64_t n) const;
  // mel [frames, mel_dim] on the host, log amplitudes → samples in ±1, of its own memory
  std::vector<float> forward(ops::Context& cx, const Tensor& mel) const;

 private:
  struct Snake {
    Tensor alpha, beta_reciprocal;  // [channels]
  };
  struct AmpBlock {
    std::vector<Conv1d> convs1, convs2;
    std::vector<Snake> activations;
  };
  struct Upsampling {
    std::shared_ptr<const ops::PackedMatrix> weight;
    Tensor bias;  // [channels / 2]
    int kernel, stride;
    std::vector<AmpBlock> blocks;
  };
  static Snake snake(const Weights& w, int64_t channels);
  // loudness [frames, mel_dim] → [samples, 1]
  Tensor samples(ops::Context& cx, const Tensor& loudness) const;
  Tensor amplitudes(ops::Context& cx, const Tensor& x, const Upsampling& up, bool recurs) const;
  Tensor activate(ops::Context& cx, const Tensor& x, const Snake& s) const {
    return ops::snake_beta(cx, x, s.alpha, s.beta_reciprocal,
                           static_cast<const float*>(filter_.raw()));
  }

  const Device* device_;
  BigVganConfig config_;
  Recorded recorded_;
  Tensor filter_;  // [12]
  Conv1d conv_pre_, conv_post_;
  std::vector<Upsampling> ups_;
  Snake activation_post_;
};

}  // namespace omni::qwen2_5_omni
