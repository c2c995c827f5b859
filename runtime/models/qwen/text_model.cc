#include "qwen/text_model.h"

#include <algorithm>
#include <cmath>

namespace omni::qwen {

namespace {

int axis_of(const TextConfig& c, int frequency) {
  if (c.mrope_interleaved) {
    const int axis = frequency % 3;
    return frequency < 3 * c.mrope_section[size_t(axis)] ? axis : 0;
  }
  const int height = c.mrope_section[0], width = height + c.mrope_section[1];
  return frequency < height ? 0 : frequency < width ? 1 : 2;
}

// x[begin, …) += the features of the layer, where a sequence has any.
void add_deep_features(ops::Context& cx, const Tensor& x, std::span<const SequenceRows> rows,
                       size_t layer) {
  int64_t begin = 0;
  for (const SequenceRows& r : rows) {
    if (layer < r.deep.levels.size()) {
      const Tensor& level = r.deep.levels[layer];  // [n, hidden]
      Tensor at = x.rows(begin + r.deep.begin, begin + r.deep.begin + level.dim(0));
      ops::add_(cx, at, level);
    }
    begin += int64_t(r.positions.size());
  }
}

}  // namespace

TextModel::TextModel(const Weights& model, const Weights& head, const char* head_name,
                     const TextConfig& c, const LoadProgress& progress, const char* embedding_name)
    : device_(model.device()), config_(c) {
  Tensor frequency = Tensor::zeros(DType::f32, {c.head_dim / 2}),
         axis = Tensor::zeros(DType::i32, {c.head_dim / 2});
  for (int i = 0; i < c.head_dim / 2; ++i) {
    frequency.f32()[i] = 1.f / std::pow(float(c.rope_theta), float(2 * i) / float(c.head_dim));
    static_cast<int32_t*>(axis.raw())[i] = axis_of(c, i);
  }
  frequency_ = to_device(frequency, device_);
  axis_ = to_device(axis, device_);
  if (embedding_name)
    embed_tokens_ = to_device(
        model.scope(embedding_name).get("weight", {c.vocab_size, c.embedding_size}), device_);
  // The largest matrix first: while it is packed it is in memory twice.
  const int64_t hidden = c.hidden_size;
  if (c.tie_word_embeddings)
    lm_head_ = Linear(model.at_least_int8(), {{"embed_tokens", c.vocab_size}}, hidden, Bias::none);
  else if (head_name)
    lm_head_ = Linear(head.at_least_int8(), {{head_name, c.vocab_size}}, hidden, Bias::none);
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    layers_.push_back(load_layer(model.scope("layers").scope(i), i));
    progress(double(i + 1) / c.num_hidden_layers);
  }
  norm_ = RmsNorm(model.scope("norm"), hidden, c.rms_norm_eps);
}

TextModel::Layer TextModel::load_layer(const Weights& w, int index) const {
  const TextConfig& c = config_;
  const int64_t hidden = c.hidden_size, q = int64_t{c.num_attention_heads} * c.head_dim,
                kv = int64_t{c.num_key_value_heads} * c.head_dim;
  const Weights attn = w.scope("self_attn"), mlp = w.scope("mlp");
  Layer layer{RmsNorm(w.scope("input_layernorm"), hidden, c.rms_norm_eps),
              RmsNorm(w.scope("post_attention_layernorm"), hidden, c.rms_norm_eps),
              Linear(attn, {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}, hidden,
                     c.qkv_bias ? Bias::each : Bias::none),
              Linear(attn, {{"o_proj", hidden}}, q, Bias::none),
              c.qk_norm ? HeadNorm(attn.scope("q_norm"), c.head_dim, c.rms_norm_eps) : HeadNorm(),
              c.qk_norm ? HeadNorm(attn.scope("k_norm"), c.head_dim, c.rms_norm_eps) : HeadNorm(),
              {},
              {}};
  if (c.experts.are_in_layer(index))
    layer.experts.emplace(
        mlp, MixtureOfExperts::Options{c.experts.n, c.experts.per_token, hidden,
                                       c.experts.intermediate_size, c.experts.norm_topk_prob,
                                       c.experts.shared_intermediate_size});
  else
    layer.mlp = SwiGluMlp(mlp, hidden, c.intermediate_size, Bias::none);
  return layer;
}

void TextModel::Layer::add_mlp(ops::Context& cx, Tensor& x) const {
  if (experts)
    experts->add_to(cx, x, post_attention_layernorm(cx, x));
  else
    mlp.add_to(cx, x, post_attention_layernorm.of(x));
}

// Lanes that have moved alike, in every sequence, share one.
TextModel::Variants TextModel::variants_of(std::span<const SequenceRows> rows) {
  const auto offset = [](const SequenceRows& r, int lane) {
    const auto& state = static_cast<const PagedState&>(*r.state);
    return lane < state.n_lanes() ? state.offset(lane) : PagedState::StoredPosition{};
  };
  const auto alike = [&](int a, int b) {
    return std::all_of(rows.begin(), rows.end(),
                       [&](const SequenceRows& r) { return offset(r, a) == offset(r, b); });
  };
  Variants v;
  for (int lane = 1; lane < kLanes; ++lane) {
    int before = 0;
    while (before < lane && !alike(before, lane)) ++before;
    v.of_lane[size_t(lane)] = before < lane ? v.of_lane[size_t(before)] : v.n++;
  }
  return v;
}

void TextModel::place(ops::Context& cx, std::span<const SequenceRows> rows,
                      ForwardWorkspace& workspace, const Variants& v) const {
  ops::PagedBatch& batch = workspace.batch;
  batch.clear();
  std::vector<uint8_t> lane_of;
  for (const SequenceRows& r : rows) {
    lane_of.assign(r.positions.size(), uint8_t(r.lane));
    batch.add(static_cast<const PagedState&>(*r.state).lanes(), lane_of);
  }
  const auto n = size_t(batch.n_tokens());
  const auto positions = batch.add_positions(int64_t(n) * (v.n > 1 ? v.n + 1 : 1));
  size_t i = 0;
  for (const SequenceRows& r : rows) {
    const auto& state = static_cast<const PagedState&>(*r.state);
    for (const Position& position : r.positions) {
      const auto moved = [&](int lane) {
        ops::RotaryPosition p;
        for (size_t axis = 0; axis < p.size(); ++axis)
          p[axis] = position[axis] + state.offset(lane)[axis];
        return p;
      };
      positions[i] = {position[0], position[1], position[2]};
      for (int variant = 1; variant < v.n; ++variant)
        positions[size_t(variant) * n + i] = positions[i];
      for (int lane = 1; lane < state.n_lanes(); ++lane)
        if (const int variant = v.of_lane[size_t(lane)])
          positions[size_t(variant) * n + i] = moved(lane);
      if (v.n > 1)
        positions[size_t(v.n) * n + i] = positions[size_t(v.of_lane[size_t(r.lane)]) * n + i];
      ++i;
    }
  }
  batch.upload(cx);
}

Tensor TextModel::forward(ops::Context& cx, const Tensor& x, std::span<const SequenceRows> rows,
                          ForwardWorkspace& workspace, const Stage& before,
                          const Stage& behind) const {
  int64_t n = 0;
  for (const SequenceRows& r : rows) {
    r.state->reserve(cx.arena, r.lane, int64_t(r.positions.size()));
    n += int64_t(r.positions.size());
  }
  if (x.dim(0) != n || rows.empty())
    throw Error(ErrorCode::internal,
                "text model: " + std::to_string(n) + " positions for " + x.shape().str());
  const Variants variants = variants_of(rows);
  const ops::KvLayout layout = static_cast<const PagedState&>(*rows[0].state).layout();
  place(cx, rows, workspace, variants);
  workspace.kept = {};
  if (workspace.keeps && config_.kept_layer)
    workspace.kept = cx.arena.f32({n, config_.hidden_size});
  const auto work = [&](ops::Context& on, const Tensor& input) {
    const Tensor hidden = layers(on, before ? before(on, input) : input, rows, workspace.batch,
                                 layout, variants, workspace.kept);
    return behind ? behind(on, hidden) : hidden;
  };
  // A recorded step would read the features of the rows it was recorded with, multiply with the
  // experts that those went to, and keep rows where they were kept then.
  const bool is_fixed = config_.experts.n == 0 && !workspace.kept.defined() &&
                        std::none_of(rows.begin(), rows.end(),
                                     [](const SequenceRows& r) { return !r.deep.levels.empty(); });
  const Tensor y = is_fixed ? workspace.run(cx, x, variants.code(), work) : work(cx, x);
  for (const SequenceRows& r : rows)
    static_cast<PagedState&>(*r.state).advance(r.lane, int64_t(r.positions.size()));
  return y;
}

Tensor TextModel::layers(ops::Context& cx, const Tensor& input, std::span<const SequenceRows> rows,
                         const ops::PagedBatch& batch, const ops::KvLayout& layout,
                         const Variants& variants, Tensor& kept) const {
  const int64_t n = input.dim(0);
  const int n_heads = config_.num_attention_heads, n_kv = config_.num_key_value_heads,
            head_dim = config_.head_dim;
  const int64_t q_width = int64_t{n_heads} * head_dim, kv_width = int64_t{n_kv} * head_dim;
  Tensor x = ops::clone(cx, input);  // [n, hidden]
  const int n_tables = variants.n > 1 ? variants.n + 1 : 1;
  const Tensor angles =  // [2, n_tables · n, head_dim / 2]
      ops::rotary_table(cx, batch.there().positions, n_tables * n, frequency_, axis_);
  const auto table = [&](int variant) {
    const auto* cos = static_cast<const float*>(angles.raw()) + variant * n * head_dim / 2;
    return ops::Rotary{cos, cos + angles.numel() / 2};
  };
  std::vector<ops::Rotary> of_lane;
  for (int lane = 0; lane < batch.n_lanes(); ++lane)
    of_lane.push_back(table(variants.of_lane[size_t(lane)]));
  const ops::Rotary of_key = table(n_tables - 1);
  for (int i = 0; i < config_.num_hidden_layers; ++i) {
    Arena::Scope inner(cx.arena);
    const Layer& layer = layers_[size_t(i)];
    Tensor qkv =  // [n, q_width + 2 kv_width]
        layer.qkv_proj(cx, layer.input_layernorm.of(x));
    const ops::Heads q = heads_of(qkv, 0, n_heads, head_dim),
                     k = heads_of(qkv, q_width, n_kv, head_dim),
                     v = heads_of(qkv, q_width + kv_width, n_kv, head_dim);
    if (config_.qk_norm) {
      layer.q_norm(cx, q, n);
      layer.k_norm(cx, k, n);
    }
    const Tensor attended =  // [n, q_width]
        ops::paged_attention(cx, {q, k, v, of_lane, of_key}, batch, layout, i,
                             layer.o_proj.operand());
    layer.o_proj.add_to(cx, x, attended);
    layer.add_mlp(cx, x);
    if (kept.defined() && i + 1 == config_.kept_layer) ops::copy_(cx, kept, x);
    add_deep_features(cx, x, rows, size_t(i));
  }
  return norm_(cx, x);
}

}  // namespace omni::qwen
