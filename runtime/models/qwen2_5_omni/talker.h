// The Talker: rows of the Thinker (last hidden state + embedding) → codec tokens, 50 a second.
// (Qwen2_5OmniTalkerForConditionalGeneration)
#pragma once

#include "core/identity.h"
#include "interface/forward_workspace.h"
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
  struct Sequence {
    explicit Sequence(const ops::KvLayout& layout) : pages(layout), state(pages, 1) {}
    KvPages pages;
    PagedState state;
  };
  std::unique_ptr<Sequence> new_sequence() const {
    return std::make_unique<Sequence>(model_.kv_layout(model_.kv_type()));
  }
  Tensor codec_embed(ops::Context& cx, int32_t code) const { return model_.embed(cx, {&code, 1}); }
  // rows [n, embedding_size] behind the sequence → logits of the last, [1, codes]
  Tensor forward(ops::Context& cx, const Tensor& rows, std::span<const Position> positions,
                 Sequence& sequence) const {
    const SequenceRows span{&sequence.state, positions};
    auto& workspace = cx.arena.attached<Workspace>(identity_);
    return model_.forward(
        cx, rows, {&span, 1}, workspace,
        [&](ops::Context& on, const Tensor& x) { return proj_(on, x); },
        [&](ops::Context& on, const Tensor& hidden) {
          const int64_t n = hidden.dim(0);
          return model_.logits(on, hidden.rows(n - 1, n));
        });
  }

 private:
  // One utterance after the other runs the steps that the first has recorded.
  struct Workspace : ForwardWorkspace {
    Workspace() : ForwardWorkspace(1) {}
  };

  Identity identity_;
  TalkerConfig config_;
  Linear proj_;
  qwen::TextModel model_;
};

}  // namespace omni::qwen2_5_omni
