// The text model: embedding, decoder layers with grouped queries and multimodal rotary embedding
// over keys and values in pages, last norm, head. (Qwen2_5_VLTextModel,
// Qwen2_5OmniThinkerTextModel)
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "interface/load.h"
#include "interface/paged_state.h"
#include "interface/text_model.h"
#include "layers/experts.h"
#include "layers/layers.h"
#include "qwen/config.h"

namespace omni::qwen {

class TextModel final : public omni::TextModel {
 public:
  // `head`: where the output projection is, under the name `head_name`, unless it is tied to the
  // embedding. Without a name there is no embedding, or no projection.
  TextModel(const Weights& model, const Weights& head, const char* head_name,
            const TextConfig& config, const LoadProgress& progress,
            const char* embedding_name = "embed_tokens");

  const Device* device() const override { return device_; }
  int hidden() const override { return config_.hidden_size; }
  int n_deep_levels() const override { return config_.n_deep_levels; }
  int kept_layer() const override { return config_.kept_layer; }
  int64_t max_positions() const override { return config_.max_position_embeddings; }
  DType kv_type() const override { return layers_.front().qkv_proj.operand(); }
  ops::KvLayout kv_layout(DType type) const override {
    return {type, config_.num_hidden_layers, config_.num_key_value_heads, config_.head_dim};
  }
  std::unique_ptr<SequenceState> new_state(KvPages& pages) const override {
    return std::make_unique<PagedState>(pages, kLanes);
  }
  Tensor embed(ops::Context& cx, std::span<const int32_t> ids) const override {
    return ops::embedding(cx, ids, embed_tokens_);
  }
  Tensor forward(ops::Context& cx, const Tensor& x, std::span<const SequenceRows> rows,
                 ForwardWorkspace& workspace) const override {
    return forward(cx, x, rows, workspace, {}, {});
  }
  Tensor logits(ops::Context& cx, const Tensor& hidden) const override {
    return lm_head_(cx, hidden);
  }

  // The same with something ahead of the first layer and behind the last norm, where given.
  using Stage = std::function<Tensor(ops::Context& cx, const Tensor& x)>;
  Tensor forward(ops::Context& cx, const Tensor& x, std::span<const SequenceRows> rows,
                 ForwardWorkspace& workspace, const Stage& before, const Stage& behind) const;

 private:
  struct Layer {
    RmsNorm input_layernorm, post_attention_layernorm;
    Linear qkv_proj, o_proj;
    HeadNorm q_norm, k_norm;  // where there are any
    SwiGluMlp mlp;
    std::optional<MixtureOfExperts> experts;  // in its place, where there are any

    // x ← x + the MLP, or the mixture, of its norm
    void add_mlp(ops::Context& cx, Tensor& x) const;
  };
  Layer load_layer(const Weights& w, int index) const;
  // A query meets the keys of a lane at its own position + the lane's offset: it is rotated once
  // for all lanes without one, and once for each other.
  struct Variants {
    int n = 1;
    std::array<int, kLanes> of_lane{};
    // different where forwards of one shape ask for different ops
    int code() const {
      int code = 0;
      for (const int variant : of_lane) code = kLanes * code + variant;
      return code;
    }
  };
  static Variants variants_of(std::span<const SequenceRows> rows);
  // The tokens of the batch and their positions: [n] for every variant, then for the keys where
  // there are several variants.
  void place(ops::Context& cx, std::span<const SequenceRows> rows, ForwardWorkspace& workspace,
             const Variants& variants) const;
  // `kept`: of [n, hidden], where what is behind kept_layer is put; or undefined.
  Tensor layers(ops::Context& cx, const Tensor& input, std::span<const SequenceRows> rows,
                const ops::PagedBatch& batch, const ops::KvLayout& layout, const Variants& variants,
                Tensor& kept) const;
  const Device* device_;
  TextConfig config_;
  // [head_dim / 2]: the frequencies, and which coordinate each turns with: the first
  // mrope_section[0] with time, the next with height, the rest with width; or, interleaved, every
  // third with height and with width as long as their sections last, all others with time.
  Tensor frequency_, axis_;
  Tensor embed_tokens_;  // in the file's type
  std::vector<Layer> layers_;
  RmsNorm norm_;
  Linear lm_head_;
};

}  // namespace omni::qwen
