// The layer of a pre-norm transformer encoder of audio, and its positions. (WhisperEncoderLayer,
// Qwen2_5OmniAudioEncoderLayer)
#pragma once

#include "layers/layers.h"

namespace omni {

// [length, channels]: sin ‖ cos over Whisper's logarithmic time scales.
// (SinusoidsPositionEmbedding)
Tensor sinusoids(int64_t length, int64_t channels);

class EncoderLayer {
 public:
  EncoderLayer(const Weights& w, int64_t d_model, int n_heads, int64_t ffn_dim);
  // x [n, d_model] += attention of all rows to all, then += the MLP of each row.
  void operator()(ops::Context& cx, Tensor& x) const;

 private:
  int n_heads_;
  LayerNorm self_attn_layer_norm_, final_layer_norm_;
  Linear qkv_proj_, out_proj_, fc1_, fc2_;
};

}  // namespace omni
