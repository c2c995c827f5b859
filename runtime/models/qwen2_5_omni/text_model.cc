#include "qwen2_5_omni/text_model.h"

#include <cmath>

namespace omni::qwen2_5_omni {

TextModel::TextModel(const Weights& model, const Weights& head, const char* head_name,
                     const TextConfig& c, const LoadProgress& progress)
    : config_(c) {
  const int64_t hidden = c.hidden_size, q = int64_t{c.num_attention_heads} * c.head_dim,
                kv = int64_t{c.num_key_value_heads} * c.head_dim;
  for (int i = 0; i < c.head_dim / 2; ++i) {
    frequency_.push_back(1.f / std::pow(float(c.rope_theta), float(2 * i) / float(c.head_dim)));
    axis_.push_back(i < c.mrope_section[0]                        ? 0
                    : i < c.mrope_section[0] + c.mrope_section[1] ? 1
                                                                  : 2);
  }
  embed_tokens_ = to_device(
      model.scope("embed_tokens").get("weight", {c.vocab_size, c.embedding_size}), model.device());
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    const Weights l = model.scope("layers").scope(i), attn = l.scope("self_attn");
    layers_.push_back(
        {RmsNorm(l.scope("input_layernorm"), hidden, c.rms_norm_eps),
         RmsNorm(l.scope("post_attention_layernorm"), hidden, c.rms_norm_eps),
         Linear(attn, {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}, hidden, Bias::each),
         Linear(attn, {{"o_proj", hidden}}, q, Bias::none),
         SwiGluMlp(l.scope("mlp"), hidden, c.intermediate_size, Bias::none)});
    progress(double(i + 1) / c.num_hidden_layers);
  }
  norm_ = RmsNorm(model.scope("norm"), hidden, c.rms_norm_eps);
  if (c.tie_word_embeddings)
    lm_head_ = Linear(model.at_least_int8(), {{"embed_tokens", c.vocab_size}}, hidden, Bias::none);
  else
    lm_head_ = Linear(head.at_least_int8(), {{head_name, c.vocab_size}}, hidden, Bias::none);
}

void TextModel::rotary_row(const Position& position, float* cos, float* sin) const {
  for (size_t i = 0; i < frequency_.size(); ++i) {
    const float angle = float(position[size_t(axis_[i])]) * frequency_[i];
    cos[i] = std::cos(angle);
    sin[i] = std::sin(angle);
  }
}

Tensor TextModel::forward(ops::Context& cx, const Tensor& input,
                          std::span<const Position> positions, KvCache& cache) const {
  const int64_t n = input.dim(0), half = config_.head_dim / 2;
  if (int64_t(positions.size()) != n)
    throw Error(ErrorCode::internal, "text model: " + std::to_string(positions.size()) +
                                         " positions for " + input.shape().str());
  cache.reserve(cx, n);
  std::vector<float> angles(size_t(2 * n * half));  // cosines, then sines
  for (int64_t i = 0; i < n; ++i)
    rotary_row(positions[size_t(i)], angles.data() + i * half, angles.data() + (n + i) * half);
  const Tensor table = ops::from_host(cx, Tensor::view(angles.data(), DType::f32, {2, n, half}));
  const auto* cos = static_cast<const float*>(table.raw());
  const Tensor y = layers(cx, input, cos, cos + n * half, cache.length(), cache);
  cache.advance(n);
  return y;
}

Tensor TextModel::decode(ops::Context& cx, const Tensor& x, const Position& position,
                         KvCache& cache, DecoderStep& step) const {
  std::vector<float> angles(size_t(config_.head_dim));
  rotary_row(position, angles.data(), angles.data() + config_.head_dim / 2);
  return step.run(cx, x, angles, cache);
}

Tensor TextModel::layers(ops::Context& cx, const Tensor& input, const float* cos, const float* sin,
                         ops::Length n_past, KvCache& cache) const {
  const int64_t n = input.dim(0);
  const int n_heads = config_.num_attention_heads, n_kv = config_.num_key_value_heads,
            head_dim = config_.head_dim;
  const int64_t q_width = int64_t{n_heads} * head_dim, kv_width = cache.row();
  Tensor out = cx.arena.f32({n, config_.hidden_size});
  Arena::Scope scope(cx.arena);
  Tensor x = ops::clone(cx, input);
  for (int i = 0; i < config_.num_hidden_layers; ++i) {
    Arena::Scope inner(cx.arena);
    const Layer& layer = layers_[size_t(i)];
    Tensor qkv = layer.qkv_proj(cx, layer.input_layernorm(cx, x));
    const ops::Heads q = heads_of(qkv, 0, n_heads, head_dim),
                     k = heads_of(qkv, q_width, n_kv, head_dim);
    ops::rotary_(cx, q, n, cos, sin);
    ops::rotary_(cx, k, n, cos, sin);
    const ops::Heads keys{cache.k(i), kv_width, n_kv, head_dim},
        values{cache.v(i), kv_width, n_kv, head_dim};
    ops::append_rows(cx, keys, n_past, k, n);
    ops::append_rows(cx, values, n_past, heads_of(qkv, q_width + kv_width, n_kv, head_dim), n);
    const Tensor attended = ops::causal_attention(cx, q, n, keys, values, n_past);
    ops::add_(cx, x, layer.o_proj(cx, attended));
    ops::add_(cx, x, layer.mlp(cx, layer.post_attention_layernorm(cx, x)));
  }
  ops::copy_(cx, out, norm_(cx, x));
  return out;
}

void TextModel::shift_keys(ops::Context& cx, KvCache& cache, int64_t begin, int64_t end,
                           const std::function<Position(int64_t)>& delta) const {
  const int64_t n = end - begin, half = config_.head_dim / 2;
  std::vector<float> angles(size_t(2 * n * half));  // cosines, then sines of the inverse rotation
  for (int64_t i = 0; i < n; ++i) {
    float* sin = angles.data() + (n + i) * half;
    rotary_row(delta(begin + i), angles.data() + i * half, sin);
    for (int64_t f = 0; f < half; ++f) sin[f] = -sin[f];
  }
  Arena::Scope scope(cx.arena);
  const Tensor table = ops::from_host(cx, Tensor::view(angles.data(), DType::f32, {2, n, half}));
  const float *cos = static_cast<const float*>(table.raw()), *sin = cos + n * half;
  for (int layer = 0; layer < config_.num_hidden_layers; ++layer)
    ops::rotary_(
        cx,
        ops::Heads{cache.k(layer), cache.row(), config_.num_key_value_heads, config_.head_dim}.from(
            begin),
        n, cos, sin);
}

}  // namespace omni::qwen2_5_omni
