#include "whisper/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace omni::whisper {

namespace {
constexpr float kEps = 1e-5f;
}

Decoder::Decoder(const Weights& w, const Config& c)
    : config_(c),
      embed_tokens_(to_device(w.get("embed_tokens.weight", {c.vocab_size, c.d_model}), w.device())),
      embed_positions_(w.load_f32("embed_positions.weight", {c.max_target_positions, c.d_model})),
      layer_norm_(w.scope("layer_norm"), c.d_model, kEps),
      proj_out_(w.at_least_int8(), {{"embed_tokens", c.vocab_size}}, c.d_model, Bias::none) {
  const int64_t d = c.d_model;
  for (int i = 0; i < c.decoder_layers; ++i) {
    const Weights l = w.scope("layers").scope(i), a = l.scope("self_attn"),
                  e = l.scope("encoder_attn");
    layers_.push_back(
        {LayerNorm(l.scope("self_attn_layer_norm"), d, kEps),
         LayerNorm(l.scope("encoder_attn_layer_norm"), d, kEps),
         LayerNorm(l.scope("final_layer_norm"), d, kEps),
         Linear(a, {{"q_proj", d}, {"k_proj", d}, {"v_proj", d}}, d, Bias::where_there),
         Linear(a, {{"out_proj", d}}, d, Bias::each), Linear(e, {{"q_proj", d}}, d, Bias::each),
         Linear(e, {{"k_proj", d}, {"v_proj", d}}, d, Bias::where_there),
         Linear(e, {{"out_proj", d}}, d, Bias::each),
         Linear(l, {{"fc1", c.decoder_ffn_dim}}, d, Bias::each),
         Linear(l, {{"fc2", d}}, c.decoder_ffn_dim, Bias::each)});
  }
}

EncodedAudio Decoder::look_at(ops::Context& cx, const Tensor& states) const {
  EncodedAudio sound;
  sound.n_states = states.dim(0);
  for (const Layer& l : layers_) {
    Arena::Scope scope(cx.arena);
    const Tensor kv = l.cross_kv_proj(cx, states);
    Tensor kept = Tensor::on(kv.device(), DType::f32, kv.shape());
    ops::copy_(cx, kept, kv);
    sound.keys_values.push_back(std::move(kept));
  }
  return sound;
}

Tensor Decoder::forward(ops::Context& cx, std::span<const int32_t> ids, const EncodedAudio& sound,
                        LoneSequence& sequence, Attention* attention) const {
  const int64_t d = config_.d_model, n = int64_t(ids.size()), n_past = sequence.state.length();
  const int heads = config_.decoder_attention_heads, head_dim = int(d) / heads;
  if (n_past + n > config_.max_target_positions)
    throw Error(ErrorCode::internal,
                "whisper: a text of " + std::to_string(n_past + n) + " tokens");
  ops::PagedBatch& batch = sequence.workspace.batch;
  sequence.state.reserve(cx.arena, Lane::text, n);
  batch.clear();
  batch.add(sequence.state.lanes(), std::vector<uint8_t>(size_t(n), uint8_t(Lane::text)));
  batch.upload(cx);
  if (attention)
    attention->assign(size_t(n) * config_.alignment_heads.size() * size_t(sound.n_states), 0.f);
  Tensor x = ops::embedding(cx, ids, embed_tokens_);
  ops::add_(cx, x, embed_positions_.rows(n_past, n_past + n));
  const ops::AttentionRange everything[] = {{0, n, 0, sound.n_states}};
  for (int i = 0; i < config_.decoder_layers; ++i) {
    const Layer& l = layers_[size_t(i)];
    Arena::Scope scope(cx.arena);
    Tensor qkv = l.qkv_proj(cx, l.self_attn_layer_norm(cx, x, l.qkv_proj.operand()));
    ops::append_to_pages(cx, batch, sequence.pages.layout(), i, heads_of(qkv, d, heads, head_dim),
                         heads_of(qkv, 2 * d, heads, head_dim));
    const ops::Heads own = heads_of(qkv, 0, heads, head_dim);
    l.out_proj.add_to(cx, x,
                      ops::paged_attention(cx, {&own, 1}, batch, sequence.pages.layout(), i));

    const Tensor q = l.cross_q_proj(cx, l.encoder_attn_layer_norm(cx, x, l.cross_q_proj.operand()));
    const Tensor kv = sound.keys_values[size_t(i)];
    if (attention) align(cx, q, kv, i, *attention);
    l.cross_out_proj.add_to(
        cx, x,
        ops::attention(cx, heads_of(q, 0, heads, head_dim), heads_of(kv, 0, heads, head_dim),
                       heads_of(kv, d, heads, head_dim), everything));

    Tensor h = l.fc1(cx, l.final_layer_norm(cx, x, l.fc1.operand()));
    ops::gelu_(cx, h, l.fc2.operand());
    l.fc2.add_to(cx, x, h);
  }
  sequence.state.advance(Lane::text, n);
  return layer_norm_(cx, x);
}

// The rows of this layer's alignment heads.
void Decoder::align(ops::Context& cx, const Tensor& q, const Tensor& keys_values, int layer,
                    Attention& attention) const {
  const int64_t n = q.dim(0), n_states = keys_values.dim(0),
                n_heads = int64_t(config_.alignment_heads.size());
  const int head_dim = config_.d_model / config_.decoder_attention_heads;
  std::vector<float> room;
  for (int64_t h = 0; h < n_heads; ++h) {
    const auto& [of_layer, head] = config_.alignment_heads[size_t(h)];
    if (of_layer != layer) continue;
    Arena::Scope scope(cx.arena);
    const Tensor weights = ops::attention_weights(
        cx, heads_of(q, int64_t{head} * head_dim, 1, head_dim), n,
        heads_of(keys_values, int64_t{head} * head_dim, 1, head_dim), n_states);
    const auto rows = ops::to_host(cx, weights, room);
    for (int64_t r = 0; r < n; ++r)
      std::copy_n(rows.data() + r * n_states, n_states,
                  attention.data() + (r * n_heads + h) * n_states);
  }
}

}  // namespace omni::whisper
