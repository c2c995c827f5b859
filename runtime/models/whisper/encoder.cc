#include "whisper/encoder.h"

#include <algorithm>

namespace omni::whisper {

namespace {
constexpr float kEps = 1e-5f;
}

Encoder::Encoder(const Weights& w, const Config& c)
    : config_(c),
      conv1_(w.scope("conv1"), c.num_mel_bins, c.d_model, 1),
      conv2_(w.scope("conv2"), c.d_model, c.d_model, 2),
      embed_positions_(w.load_f32("embed_positions.weight", {c.max_source_positions, c.d_model})),
      layer_norm_(w.scope("layer_norm"), c.d_model, kEps) {
  const int64_t d = c.d_model;
  for (int i = 0; i < c.encoder_layers; ++i) {
    const Weights l = w.scope("layers").scope(i), a = l.scope("self_attn");
    layers_.push_back(
        {LayerNorm(l.scope("self_attn_layer_norm"), d, kEps),
         LayerNorm(l.scope("final_layer_norm"), d, kEps),
         Linear(a, {{"q_proj", d}, {"k_proj", d}, {"v_proj", d}}, d, Bias::where_there),
         Linear(a, {{"out_proj", d}}, d, Bias::each),
         Linear(l, {{"fc1", c.encoder_ffn_dim}}, d, Bias::each),
         Linear(l, {{"fc2", d}}, c.encoder_ffn_dim, Bias::each)});
  }
}

Tensor Encoder::forward(ops::Context& cx, const Tensor& mel) const {
  const int64_t d = config_.d_model, n = (mel.dim(0) + 1) / 2;
  const int heads = config_.encoder_attention_heads, head_dim = int(d) / heads;
  if (n > config_.max_source_positions)
    throw Error(ErrorCode::internal,
                "whisper: " + mel.shape().str() + " mel frames are more than a window");
  Tensor x = cx.arena.f32({n, d});
  {
    Arena::Scope scope(cx.arena);
    Tensor frames = conv1_(cx, mel);  // [frames, d]
    ops::gelu_(cx, frames);
    Tensor states = conv2_(cx, frames);  // [n, d]
    ops::gelu_(cx, states);
    ops::copy_(cx, x, states);
  }
  ops::add_(cx, x, embed_positions_.rows(0, n));
  const int64_t span[] = {0, n};
  for (const Layer& l : layers_) {
    Arena::Scope scope(cx.arena);
    const Tensor qkv = l.qkv_proj(cx, l.self_attn_layer_norm(cx, x));  // [n, 3 · d]
    ops::add_(
        cx, x,
        l.out_proj(cx, ops::attention(
                           cx, heads_of(qkv, 0, heads, head_dim), heads_of(qkv, d, heads, head_dim),
                           heads_of(qkv, 2 * d, heads, head_dim), std::span<const int64_t>(span))));
    constexpr int64_t kRows = 192;  // whose wide intermediate rows are there at a time
    for (int64_t begin = 0; begin < n; begin += kRows) {
      Arena::Scope inner(cx.arena);
      Tensor some = x.rows(begin, std::min(n, begin + kRows));
      Tensor h = l.fc1(cx, l.final_layer_norm(cx, some));  // [rows, encoder_ffn_dim]
      ops::gelu_(cx, h);
      ops::add_(cx, some, l.fc2(cx, h));
    }
  }
  return layer_norm_(cx, x);
}

}  // namespace omni::whisper
