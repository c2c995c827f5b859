// The Talker: rows of the Thinker (last hidden state + embedding) → codec tokens, 50 a second.
// (Qwen2_5OmniTalkerForConditionalGeneration)
#pragma once

#include "interface/lone_sequence.h"
#include "qwen/text_model.h"

namespace omni::qwen2_5_omni {

class Talker {
 public:
  Talker(const Weights& w, const TalkerConfig& config, const LoadProgress& progress)
      : config_(config),
        proj_(w, {{"thinker_to_talker_proj", config.text.hidden_size}}, config.text.embedding_size,
              Bias::each),
        model_(w.scope("model"), w, "codec_head", config.text, progress) {}

  const TalkerConfig& config() const { return config_; }
  std::unique_ptr<LoneSequence> new_sequence() const {
    return std::make_unique<LoneSequence>(model_.kv_layout(DType::f32), 1);
  }
  Tensor codec_embed(ops::Context& cx, int32_t code) const { return model_.embed(cx, {&code, 1}); }
  // rows [n, embedding_size] behind the sequence → logits of the last, [1, codes]
  Tensor forward(ops::Context& cx, const Tensor& rows, std::span<const Position> positions,
                 LoneSequence& sequence) const {
    const SequenceRows span{&sequence.state, positions};
    return model_.forward(
        cx, rows, {&span, 1}, sequence.workspace, [&](const Tensor& x) { return proj_(cx, x); },
        [&](const Tensor& hidden) {
          const int64_t n = hidden.dim(0);
          return model_.logits(cx, hidden.rows(n - 1, n));
        });
  }

 private:
  TalkerConfig config_;
  Linear proj_;
  qwen::TextModel model_;
};

}  // namespace omni::qwen2_5_omni
