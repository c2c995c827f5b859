// The text decoder: learned positions, causal self-attention over a cache, cross-attention to the
// encoder's states, output tied to the embedding. (WhisperDecoder)
#pragma once

#include <vector>

#include "interface/lone_sequence.h"
#include "layers/layers.h"
#include "whisper/config.h"

namespace omni::whisper {

class Decoder {
 public:
  Decoder(const Weights& w, const Config& config);

  std::unique_ptr<LoneSequence> new_sequence() const {
    const int heads = config_.decoder_attention_heads;
    return std::make_unique<LoneSequence>(
        ops::KvLayout{DType::f32, config_.decoder_layers, heads, config_.d_model / heads}, 1);
  }
  // Keys and values of the states for every layer.
  EncodedAudio look_at(ops::Context& cx, const Tensor& states) const;
  // → hidden states after the last norm, [ids, d_model]
  Tensor forward(ops::Context& cx, std::span<const int32_t> ids, const EncodedAudio& sound,
                 LoneSequence& sequence, Attention* attention) const;
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
