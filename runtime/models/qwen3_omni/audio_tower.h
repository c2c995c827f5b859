// The audio tower (AuT): three convolutions over bands and time that each halve both, positions
// that restart in every piece of 2 · n_window mel frames, pre-norm layers whose rows attend to
// those of n_window_infer frames, projection. (Qwen3OmniMoeAudioEncoder)
#pragma once

#include <vector>

#include "interface/audio.h"
#include "layers/encoder.h"
#include "qwen3_omni/config.h"

namespace omni::qwen3_omni {

// Convolution with a kernel of 3 × 3 and steps of two over time and bands, zeros beyond the edges:
// x[n · bands, c_in], bands side by side → y[n' · bands', c_out], a half of each, rounded up.
class Conv2d {
 public:
  Conv2d() = default;
  Conv2d(const Weights& w, int64_t c_in, int64_t c_out);
  Tensor operator()(ops::Context& cx, const Tensor& x, int64_t n, int64_t bands) const;

 private:
  Linear taps_;  // [c_out, 3 · 3 · c_in], time after time
};

class AudioTower final : public AudioEncoder {
 public:
  // Behind each row lie zeros for the levels of DeepStack, which sounds have none of.
  AudioTower(const Weights& w, const AudioConfig& config, int n_deep_levels);

  const Device* device() const override { return device_; }
  const AudioSpec& spec() const override { return spec_; }
  // mel [frames ≤ n_window_infer, n_mels] → [13 a whole second and those of the rest, (1 + levels)
  // · output_dim]
  Tensor encode(ops::Context& cx, const Tensor& mel) const override;

 private:
  // The first n_tokens states of a piece, with their positions, into `to` [n_tokens, d_model].
  void embed(ops::Context& cx, const Tensor& piece, Tensor& to) const;

  const Device* device_;
  AudioConfig config_;
  AudioSpec spec_;
  int n_deep_levels_;
  Conv2d conv2d1_, conv2d2_, conv2d3_;
  Linear conv_out_, proj1_, proj2_;
  Tensor positional_embedding_;  // [13, d_model]
  std::vector<EncoderLayer> layers_;
  LayerNorm ln_post_;
};

}  // namespace omni::qwen3_omni
