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
                     const TextConfig& c, const LoadProgress& progress)
    : device_(model.device()), config_(c) {
  const int64_t hidden = c.hidden_size, q = int64_t{c.num_attention_heads} * c.head_dim,
                kv = int64_t{c.num_key_value_heads} * c.head_dim;
  for (int i = 0; i < c.head_dim / 2; ++i) {
    frequency_.push_back(1.f / std::pow(float(c.rope_theta), float(2 * i) / float(c.head_dim)));
    axis_.push_back(axis_of(c, i));
  }
  embed_tokens_ = to_device(
      model.scope("embed_tokens").get("weight", {c.vocab_size, c.embedding_size}), model.device());
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    const Weights l = model.scope("layers").scope(i), attn = l.scope("self_attn");
    layers_.push_back(
        {RmsNorm(l.scope("input_layernorm"), hidden, c.rms_norm_eps),
         RmsNorm(l.scope("post_attention_layernorm"), hidden, c.rms_norm_eps),
         Linear(attn, {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}, hidden,
                c.qkv_bias ? Bias::each : Bias::none),
         Linear(attn, {{"o_proj", hidden}}, q, Bias::none),
         c.qk_norm ? HeadNorm(attn.scope("q_norm"), c.head_dim, c.rms_norm_eps) : HeadNorm(),
         c.qk_norm ? HeadNorm(attn.scope("k_norm"), c.head_dim, c.rms_norm_eps) : HeadNorm(),
         SwiGluMlp(l.scope("mlp"), hidden, c.intermediate_size, Bias::none)});
    progress(double(i + 1) / c.num_hidden_layers);
  }
  norm_ = RmsNorm(model.scope("norm"), hidden, c.rms_norm_eps);
  if (c.tie_word_embeddings)
    lm_head_ = Linear(model.at_least_int8(), {{"embed_tokens", c.vocab_size}}, hidden, Bias::none);
  else
    lm_head_ = Linear(head.at_least_int8(), {{head_name, c.vocab_size}}, hidden, Bias::none);
}

void TextModel::rotary_row(const Position& position, const PagedState::StoredPosition& offset,
                           float* cos, float* sin) const {
  for (size_t i = 0; i < frequency_.size(); ++i) {
    const auto axis = size_t(axis_[i]);
    const double angle = double(position[axis] + offset[axis]) * double(frequency_[i]);
    cos[i] = float(std::cos(angle));
    sin[i] = float(std::sin(angle));
  }
}

TextModel::Variants TextModel::variants_of(std::span<const SequenceRows> rows) {
  Variants v;
  for (int lane = 1; lane < kLanes; ++lane)
    for (const SequenceRows& r : rows) {
      const auto& state = static_cast<const PagedState&>(*r.state);
      if (lane >= state.n_lanes() || state.offset(lane) == PagedState::StoredPosition{}) continue;
      v.of_lane[size_t(lane)] = v.n++;
      break;
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
  const int64_t half = config_.head_dim / 2, table = batch.n_tokens() * half;
  const auto angles = batch.add_floats(2 * table * (v.n > 1 ? v.n + 1 : 1));
  float* row = angles.data();
  for (const SequenceRows& r : rows)
    for (const Position& position : r.positions) {
      const auto& state = static_cast<const PagedState&>(*r.state);
      rotary_row(position, {}, row, row + table);
      for (int lane = 1; lane < state.n_lanes(); ++lane)
        if (const int variant = v.of_lane[size_t(lane)])
          rotary_row(position, state.offset(lane), row + 2 * variant * table,
                     row + (2 * variant + 1) * table);
      if (v.n > 1) {
        const float* own = row + 2 * v.of_lane[size_t(r.lane)] * table;
        std::copy_n(own, half, row + 2 * v.n * table);
        std::copy_n(own + table, half, row + (2 * v.n + 1) * table);
      }
      row += half;
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
  const auto work = [&](const Tensor& input) {
    const Tensor hidden =
        layers(cx, before ? before(input) : input, rows, workspace.batch, layout, variants);
    return behind ? behind(hidden) : hidden;
  };
  // A recorded step would read the features of the rows it was recorded with.
  const bool is_deep = std::any_of(rows.begin(), rows.end(),
                                   [](const SequenceRows& r) { return !r.deep.levels.empty(); });
  const Tensor y = is_deep ? work(x) : workspace.run(cx, x, variants.code(), work);
  for (const SequenceRows& r : rows)
    static_cast<PagedState&>(*r.state).advance(r.lane, int64_t(r.positions.size()));
  return y;
}

Tensor TextModel::layers(ops::Context& cx, const Tensor& input, std::span<const SequenceRows> rows,
                         const ops::PagedBatch& batch, const ops::KvLayout& layout,
                         const Variants& variants) const {
  const int64_t n = input.dim(0);
  const int n_heads = config_.num_attention_heads, n_kv = config_.num_key_value_heads,
            head_dim = config_.head_dim;
  const int64_t q_width = int64_t{n_heads} * head_dim, kv_width = int64_t{n_kv} * head_dim,
                table = n * head_dim / 2;
  const float* angles = batch.floats();
  const auto rotate = [&](const ops::Heads& heads, int variant) {
    ops::rotary_(cx, heads, n, angles + 2 * variant * table, angles + (2 * variant + 1) * table);
  };
  Tensor out = cx.arena.f32({n, config_.hidden_size});
  Arena::Scope scope(cx.arena);
  Tensor x = ops::clone(cx, input);  // [n, hidden]
  for (int i = 0; i < config_.num_hidden_layers; ++i) {
    Arena::Scope inner(cx.arena);
    const Layer& layer = layers_[size_t(i)];
    Tensor qkv = layer.qkv_proj(  // [n, q_width + 2 kv_width]
        cx, layer.input_layernorm(cx, x, layer.qkv_proj.operand()));
    std::array<ops::Heads, kLanes> variant{heads_of(qkv, 0, n_heads, head_dim)}, q;
    const ops::Heads k = heads_of(qkv, q_width, n_kv, head_dim);
    if (config_.qk_norm) {
      layer.q_norm(cx, variant[0], n);
      layer.k_norm(cx, k, n);
    }
    for (int v = 1; v < variants.n; ++v) {
      const Tensor copy = cx.arena.f32({n, q_width});
      variant[size_t(v)] = heads_of(copy, 0, n_heads, head_dim);
      ops::copy_rows(cx, variant[size_t(v)], variant[0], n);
    }
    for (int v = 0; v < variants.n; ++v) rotate(variant[size_t(v)], v);
    for (size_t lane = 0; lane < q.size(); ++lane)
      q[lane] = variant[size_t(variants.of_lane[lane])];
    rotate(k, variants.n > 1 ? variants.n : 0);
    ops::append_to_pages(cx, batch, layout, i, k,
                         heads_of(qkv, q_width + kv_width, n_kv, head_dim));
    const Tensor attended =  // [n, q_width]
        ops::paged_attention(cx, std::span(q).first(size_t(batch.n_lanes())), batch, layout, i);
    layer.o_proj.add_to(cx, x, attended);
    layer.mlp.add_to(cx, x, layer.post_attention_layernorm(cx, x, layer.mlp.operand()));
    add_deep_features(cx, x, rows, size_t(i));
  }
  ops::copy_(cx, out, norm_(cx, x));
  return out;
}

}  // namespace omni::qwen
