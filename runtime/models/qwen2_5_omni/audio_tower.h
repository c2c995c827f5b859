// The audio tower: two convolutions, sinusoidal positions, pre-norm layers, pooling by two,
// projection. Each piece of 2 · n_window mel frames is on its own: positions restart and attention
// stays inside. (Qwen2_5OmniAudioEncoder)
#pragma once

#include <vector>

#include "interface/audio.h"
#include "layers/encoder.h"
#include "layers/recorded.h"
#include "qwen2_5_omni/config.h"

namespace omni::qwen2_5_omni {

class AudioTower final : public AudioEncoder {
 public:
  AudioTower(const Weights& w, const AudioConfig& config);

  const Device* device() const override { return device_; }
  const AudioSpec& spec() const override { return spec_; }
  // mel [frames ≤ 2 · n_window, n_mels] → [((frames − 1)/2 + 1)/2, output_dim]
  Tensor encode(ops::Context& cx, const Tensor& mel) const override;

 private:
  Tensor rows(ops::Context& cx, const Tensor& mel) const;

  const Device* device_;
  AudioConfig config_;
  AudioSpec spec_;
  Conv1d conv1_, conv2_;
  Tensor positional_embedding_;  // [n_window, d_model]
  std::vector<EncoderLayer> layers_;
  LayerNorm ln_post_;
  Linear proj_;
  Recorded recorded_;
};

}  // namespace omni::qwen2_5_omni
