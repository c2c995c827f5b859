// The text decoder: learned positions, causal self-attention over a cache, cross-attention to the
// encoder's states, output tied to the embedding. (WhisperDecoder)
#pragma once

#include <vector>

#include "interface/kv_cache.h"
#include "layers/layers.h"
#include "whisper/config.h"

namespace omni::whisper {

class Decoder {
 public:
  Decoder(const Weights& w, const Config& config);

  KvCache new_cache() const { return {config_.decoder_layers, config_.d_model}; }
  // Keys and values of the states for every layer.
  EncodedAudio look_at(ops::Context& cx, const Tensor& states) const;
  // → hidden states after the last norm, [ids, d_model]
  Tensor forward(ops::Context& cx, std::span<const int32_t> ids, const EncodedAudio& sound,
                 KvCache& cache, Attention* attention) const;
  Tensor logits(ops::Context& cx, const Tensor& hidden) const { return proj_out_(cx, hidden); }

 private:
  struct Layer {
    LayerNorm self_attn_layer_norm, encoder_attn_layer_norm, final_layer_norm;
    Linear qkv_proj, out_proj;                           // self_attn
    Linear cross_q_proj, cross_kv_proj, cross_out_proj;  // encoder_attn
    Linear fc1, fc2;
  };
  void align(ops::Context& cx, const Tensor& q, const Tensor& keys_values, int layer,
             Attention& attention) const;

  Config config_;
  Tensor embed_tokens_, embed_positions_;
  std::vector<Layer> layers_;
  LayerNorm layer_norm_;
  Linear proj_out_;
};

}  // namespace omni::whisper
