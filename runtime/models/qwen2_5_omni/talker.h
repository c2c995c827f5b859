// The Talker: rows of the Thinker (last hidden state + embedding) → codec tokens, 50 a second.
// (Qwen2_5OmniTalkerForConditionalGeneration)
#pragma once

#include "qwen2_5_omni/text_model.h"

namespace omni::qwen2_5_omni {

class Talker {
 public:
  Talker(const Weights& w, const TalkerConfig& config, const LoadProgress& progress)
      : config_(config),
        proj_(w, {{"thinker_to_talker_proj", config.text.hidden_size}}, config.text.embedding_size,
              Bias::each),
        model_(w.scope("model"), w, "codec_head", config.text, progress) {}

  const TalkerConfig& config() const { return config_; }
  KvCache new_cache() const { return model_.new_cache(); }
  Tensor codec_embed(ops::Context& cx, int32_t code) const { return model_.embed(cx, {&code, 1}); }
  // rows [n, embedding_size] behind the cache → logits of the last, [1, codes]
  Tensor forward(ops::Context& cx, const Tensor& rows, std::span<const Position> positions,
                 KvCache& cache) const {
    const Tensor hidden = model_.forward(cx, proj_(cx, rows), positions, cache);
    return model_.logits(cx, hidden.rows(rows.dim(0) - 1, rows.dim(0)));
  }

  // The same for one row, by a step of new_step().
  Tensor decode(ops::Context& cx, const Tensor& row, const Position& position, KvCache& cache,
                DecoderStep& step) const {
    return model_.decode(cx, row, position, cache, step);
  }
  DecoderStep new_step() const {
    return DecoderStep([this](ops::Context& cx, const Tensor& row, const DecoderStep::Place& place,
                              KvCache& cache) {
      return model_.logits(cx, model_.decode_layers(cx, proj_(cx, row), place, cache));
    });
  }

 private:
  TalkerConfig config_;
  Linear proj_;
  TextModel model_;
};

}  // namespace omni::qwen2_5_omni
