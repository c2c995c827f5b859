#include "qwen3_omni/talker.h"

namespace omni::qwen3_omni {

CodePredictor::CodePredictor(const Weights& w, const TalkerConfig& c)
    : model_(w.scope("model"), w, nullptr, c.predictor, {}, nullptr) {
  const int64_t hidden = c.predictor.hidden_size, codes = c.predictor.vocab_size;
  const Weights tables = w.scope("model").scope("codec_embedding"), heads = w.scope("lm_head");
  for (int group = 0; group + 1 < c.num_code_groups; ++group) {
    codec_embedding_.push_back(
        to_device(tables.scope(group).get("weight", {codes, hidden}), w.device()));
    lm_head_.push_back(Linear(heads, {{std::to_string(group), codes}}, hidden, Bias::none));
  }
}

std::vector<int32_t> CodePredictor::others(ops::Context& cx, const Tensor& state,
                                           const Tensor& first, const PickCode& pick,
                                           TalkerSequence& sequence, Tensor& sum) const {
  sequence.state.truncate(0);
  auto& workspace = cx.arena.attached<Workspace>(identity_);
  const int64_t hidden = model_.hidden();
  std::vector<int32_t> codes;
  std::vector<Position> positions = {{0, 0, 0}, {1, 1, 1}};
  Tensor x = cx.arena.f32({2, hidden});  // [n, hidden]
  Tensor before = x.rows(0, 1), begun = x.rows(1, 2);
  ops::copy_(cx, before, state);
  ops::copy_(cx, begun, first);
  for (size_t group = 0; group < lm_head_.size(); ++group) {
    const SequenceRows rows{&sequence.state, positions};
    const Tensor y = model_.forward(cx, x, {&rows, 1}, workspace);
    const int64_t n = y.dim(0);
    const int32_t code = pick(cx, lm_head_[group](cx, y.rows(n - 1, n)), {}, {});
    codes.push_back(code);
    x = ops::embedding(cx, {&code, 1}, codec_embedding_[group]);
    ops::add_(cx, sum, x);
    const auto at = int32_t(group) + 2;
    positions = {{at, at, at}};
  }
  return codes;
}

Talker::Talker(const Weights& w, const TalkerConfig& c, const LoadProgress& progress)
    : config_(c),
      text_projection_(w.scope("text_projection"), c),
      hidden_projection_(w.scope("hidden_projection"), c),
      predictor_(w.scope("code_predictor"), c),
      model_(w.scope("model"), w, "codec_head", c.text, progress, "codec_embedding") {}

Tensor Talker::forward(ops::Context& cx, const Tensor& rows, std::span<const Position> positions,
                       TalkerSequence& sequence) const {
  const SequenceRows span{&sequence.state, positions};
  auto& workspace = cx.arena.attached<Workspace>(identity_);
  const Tensor hidden = model_.forward(cx, rows, {&span, 1}, workspace);
  const int64_t n = hidden.dim(0);
  return hidden.rows(n - 1, n);
}

}  // namespace omni::qwen3_omni
