// The text model: embedding, decoder layers with grouped queries and TMRoPE over a cache, last
// norm, head. (Qwen2_5OmniThinkerTextModel)
#pragma once

#include <vector>

#include "interface/decoder_step.h"
#include "layers/layers.h"
#include "qwen2_5_omni/config.h"

namespace omni::qwen2_5_omni {

class TextModel {
 public:
  // `head`: where the output projection is, under the name `head_name`, unless it is tied to the
  // embedding.
  TextModel(const Weights& model, const Weights& head, const char* head_name,
            const TextConfig& config, const LoadProgress& progress);

  Tensor embed(ops::Context& cx, std::span<const int32_t> ids) const {
    return ops::embedding(cx, ids, embed_tokens_);
  }
  Tensor forward(ops::Context& cx, const Tensor& x, std::span<const Position> positions,
                 KvCache& cache) const;
  // forward() for one row, by a step of new_step(), or of one whose work calls decode_layers().
  Tensor decode(ops::Context& cx, const Tensor& x, const Position& position, KvCache& cache,
                DecoderStep& step) const;
  DecoderStep new_step() const {
    return DecoderStep([this](ops::Context& cx, const Tensor& x, const DecoderStep::Place& place,
                              KvCache& cache) { return decode_layers(cx, x, place, cache); });
  }
  Tensor decode_layers(ops::Context& cx, const Tensor& x, const DecoderStep::Place& place,
                       KvCache& cache) const {
    return layers(cx, x, place.cos, place.sin, place.n_past, cache);
  }
  Tensor logits(ops::Context& cx, const Tensor& hidden) const { return lm_head_(cx, hidden); }
  KvCache new_cache() const {
    return {config_.num_hidden_layers, int64_t{config_.num_key_value_heads} * config_.head_dim};
  }
  void shift_keys(ops::Context& cx, KvCache& cache, int64_t begin, int64_t end,
                  const std::function<Position(int64_t)>& delta) const;

 private:
  struct Layer {
    RmsNorm input_layernorm, post_attention_layernorm;
    Linear qkv_proj, o_proj;
    SwiGluMlp mlp;
  };
  // All layers and the last norm for rows behind the first n_past of the cache, whose length stays.
  Tensor layers(ops::Context& cx, const Tensor& x, const float* cos, const float* sin,
                ops::Length n_past, KvCache& cache) const;
  // Angle of each frequency: the first mrope_section[0] turn with time, the next with height, the
  // rest with width.
  void rotary_row(const Position& position, float* cos, float* sin) const;

  TextConfig config_;
  std::vector<float> frequency_;  // [head_dim / 2]
  std::vector<int> axis_;         // which coordinate each frequency turns with
  Tensor embed_tokens_;           // in the file's type
  std::vector<Layer> layers_;
  RmsNorm norm_;
  Linear lm_head_;
};

}  // namespace omni::qwen2_5_omni
