// The Talker: rows of the Thinker → the first code of a frame, 12.5 frames a second, and from its
// state the others, one after the other. (Qwen3OmniMoeTalkerForConditionalGeneration,
// Qwen3OmniMoeTalkerCodePredictorModelForConditionalGeneration)
#pragma once

#include <vector>

#include "core/identity.h"
#include "interface/forward_workspace.h"
#include "interface/voice.h"
#include "qwen/text_model.h"
#include "qwen3_omni/speech_config.h"

namespace omni::qwen3_omni {

// A sequence of one text model.
struct TalkerSequence {
  explicit TalkerSequence(const qwen::TextModel& model)
      : pages(model.kv_layout(model.kv_type())), state(pages, 1) {}
  KvPages pages;
  PagedState state;
};

class CodePredictor {
 public:
  CodePredictor(const Weights& w, const TalkerConfig& config);

  std::unique_ptr<TalkerSequence> new_sequence() const {
    return std::make_unique<TalkerSequence>(model_);
  }
  // The codes of a frame behind the first: state [1, hidden] of the Talker, first [1, hidden] the
  // embedding of what it said. Adds the embedding of each to `sum` [1, hidden].
  std::vector<int32_t> others(ops::Context& cx, const Tensor& state, const Tensor& first,
                              const PickCode& pick, TalkerSequence& sequence, Tensor& sum) const;

 private:
  struct Workspace : ForwardWorkspace {
    Workspace() : ForwardWorkspace(1) {}
  };
  Identity identity_;
  qwen::TextModel model_;
  std::vector<Tensor> codec_embedding_;  // a table a group
  std::vector<Linear> lm_head_;
};

class Talker {
 public:
  // `w`: the scope of the Talker.
  Talker(const Weights& w, const TalkerConfig& config, const LoadProgress& progress);

  const TalkerConfig& config() const { return config_; }
  const CodePredictor& predictor() const { return predictor_; }
  std::unique_ptr<TalkerSequence> new_sequence() const {
    return std::make_unique<TalkerSequence>(model_);
  }
  Tensor codec_embed(ops::Context& cx, std::span<const int32_t> codes) const {
    return model_.embed(cx, codes);
  }
  // Rows of the Thinker [n, thinker_hidden_size], embeddings of text or states of media, as rows of
  // the Talker [n, hidden].
  Tensor of_text(ops::Context& cx, const Tensor& rows) const { return text_projection_(cx, rows); }
  Tensor of_media(ops::Context& cx, const Tensor& rows) const {
    return hidden_projection_(cx, rows);
  }
  // rows [n, hidden] behind the sequence → the state of the last, [1, hidden]
  Tensor forward(ops::Context& cx, const Tensor& rows, std::span<const Position> positions,
                 TalkerSequence& sequence) const;
  Tensor logits(ops::Context& cx, const Tensor& state) const { return model_.logits(cx, state); }

 private:
  struct Workspace : ForwardWorkspace {
    Workspace() : ForwardWorkspace(1) {}
  };
  class ResizeMlp {
   public:
    ResizeMlp(const Weights& w, const TalkerConfig& c)
        : fc1_(w, {{"linear_fc1", c.text.intermediate_size}}, c.thinker_hidden_size, Bias::each),
          fc2_(w, {{"linear_fc2", c.text.hidden_size}}, c.text.intermediate_size, Bias::each) {}
    Tensor operator()(ops::Context& cx, const Tensor& x) const {
      Tensor h = fc1_(cx, x);  // [n, intermediate]
      ops::silu_(cx, h);
      return fc2_(cx, h);
    }

   private:
    Linear fc1_, fc2_;
  };

  Identity identity_;
  TalkerConfig config_;
  ResizeMlp text_projection_, hidden_projection_;
  CodePredictor predictor_;
  qwen::TextModel model_;
};

}  // namespace omni::qwen3_omni
