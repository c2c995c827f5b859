// The MLP's wide rows are computed some at a time, which bounds the memory of long audio.
#include "layers/encoder.h"

#include <algorithm>
#include <cmath>

namespace omni {

namespace {

constexpr float kEps = 1e-5f;
constexpr int64_t kRows = 192;  // whose wide intermediate values are there at a time

}  // namespace

Tensor sinusoids(int64_t length, int64_t channels) {
  Tensor t = Tensor::zeros(DType::f32, {length, channels});
  const int64_t half = channels / 2;
  const float step = float(std::log(10000.0) / double(half - 1));
  for (int64_t i = 0; i < length; ++i)
    for (int64_t c = 0; c < half; ++c) {
      const float angle = float(i) * std::exp(-step * float(c));
      t.f32()[i * channels + c] = std::sin(angle);
      t.f32()[i * channels + half + c] = std::cos(angle);
    }
  return t;
}

EncoderLayer::EncoderLayer(const Weights& w, int64_t d_model, int n_heads, int64_t ffn_dim)
    : n_heads_(n_heads),
      self_attn_layer_norm_(w.scope("self_attn_layer_norm"), d_model, kEps),
      final_layer_norm_(w.scope("final_layer_norm"), d_model, kEps),
      qkv_proj_(w.scope("self_attn"),
                {{"q_proj", d_model}, {"k_proj", d_model}, {"v_proj", d_model}}, d_model,
                Bias::where_there),
      out_proj_(w.scope("self_attn"), {{"out_proj", d_model}}, d_model, Bias::each),
      fc1_(w, {{"fc1", ffn_dim}}, d_model, Bias::each),
      fc2_(w, {{"fc2", d_model}}, ffn_dim, Bias::each) {}

void EncoderLayer::operator()(ops::Context& cx, Tensor& x) const {
  const int64_t n = x.dim(0), d = x.dim(1);
  const int head_dim = int(d) / n_heads_;
  const int64_t whole[] = {0, n};
  Arena::Scope scope(cx.arena);
  const Tensor qkv = qkv_proj_(  // [n, 3 · d_model]
      cx, self_attn_layer_norm_(cx, x, qkv_proj_.operand()));
  const Tensor attended =  // [n, d_model]
      ops::attention(cx, heads_of(qkv, 0, n_heads_, head_dim), heads_of(qkv, d, n_heads_, head_dim),
                     heads_of(qkv, 2 * d, n_heads_, head_dim), std::span<const int64_t>(whole),
                     out_proj_.operand());
  out_proj_.add_to(cx, x, attended);
  for (int64_t begin = 0; begin < n; begin += kRows) {
    Arena::Scope inner(cx.arena);
    Tensor some = x.rows(begin, std::min(n, begin + kRows));           // [rows, d_model]
    Tensor h = fc1_(cx, final_layer_norm_(cx, some, fc1_.operand()));  // [rows, ffn_dim]
    ops::gelu_(cx, h, fc2_.operand());
    fc2_.add_to(cx, some, h);
  }
}

}  // namespace omni
