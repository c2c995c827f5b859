// Frames of codes → samples, a piece at a time. (modeling_qwen3_omni_moe.py)
#include "qwen3_omni/code2wav.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace omni::qwen3_omni {

namespace {

constexpr int kKernel = 7;
constexpr int kDilations[] = {1, 3, 9};
constexpr float kConvNextEps = 1e-6f;

const float* data(const Tensor& t) { return static_cast<const float*>(t.raw()); }

}  // namespace

Tensor Past::and_then(ops::Context& cx, const Tensor& x) {
  const int64_t kept = int64_t(values_.size()) / width_, n = kept + x.dim(0);
  Tensor y = cx.arena.f32({n, width_});
  Tensor old = y.rows(0, kept), fresh = y.rows(kept, n);
  if (kept)
    ops::copy_(cx, old, ops::from_host(cx, Tensor::view(values_.data(), DType::f32, old.shape())));
  ops::copy_(cx, fresh, x);
  std::vector<float> room;
  const auto last = ops::to_host(cx, y.rows(std::max<int64_t>(0, n - reach_), n), room);
  values_.assign(last.begin(), last.end());
  return y;
}

// --- loading

Code2Wav::Code2Wav(const Weights& w, const Code2WavConfig& c)
    : device_(w.device()),
      config_(c),
      code_embedding_(
          w.scope("code_embedding")
              .load_f32("weight", {int64_t{c.num_quantizers} * c.codebook_size, c.hidden_size})) {
  load_layers(w.scope("pre_transformer"));
  load_upsample(w.scope("upsample"));
  load_decoder(w.scope("decoder"));
}

void Code2Wav::load_layers(const Weights& w) {
  const Code2WavConfig& c = config_;
  const int64_t hidden = c.hidden_size, q = int64_t{c.num_attention_heads} * c.head_dim,
                kv = int64_t{c.num_key_value_heads} * c.head_dim;
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    const Weights layer = w.scope("layers").scope(i), attn = layer.scope("self_attn");
    layers_.push_back(
        {RmsNorm(layer.scope("input_layernorm"), hidden, c.rms_norm_eps),
         RmsNorm(layer.scope("post_attention_layernorm"), hidden, c.rms_norm_eps),
         Linear(attn, {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}, hidden, Bias::none),
         Linear(attn, {{"o_proj", hidden}}, q, Bias::none),
         SwiGluMlp(layer.scope("mlp"), hidden, c.intermediate_size, Bias::none),
         layer.scope("self_attn_layer_scale").load_f32("scale", {hidden}),
         layer.scope("mlp_layer_scale").load_f32("scale", {hidden})});
  }
  norm_ = RmsNorm(w.scope("norm"), hidden, c.rms_norm_eps);
}

void Code2Wav::load_upsample(const Weights& w) {
  const int64_t c = config_.hidden_size;
  for (size_t i = 0; i < config_.upsampling_ratios.size(); ++i) {
    const int rate = config_.upsampling_ratios[i];
    const Weights stage = w.scope(int64_t(i)), block = stage.scope(1),
                  depthwise = block.scope("dwconv").scope("conv");
    const Tensor stored = depthwise.get_f32("weight", {c, 1, kKernel});
    Tensor taps = Tensor::zeros(DType::f32, {kKernel, c});
    for (int64_t k = 0; k < c; ++k)
      for (int64_t t = 0; t < kKernel; ++t) taps.f32()[t * c + k] = stored.f32()[k * kKernel + t];
    upsample_.push_back({load_up(stage.scope(0), c, c, rate, rate), to_device(taps, device_),
                         depthwise.load_f32("bias", {c}).reshape({1, c}),
                         LayerNorm(block.scope("norm"), c, kConvNextEps),
                         Linear(block, {{"pwconv1", 4 * c}}, c, Bias::each),
                         Linear(block, {{"pwconv2", c}}, 4 * c, Bias::each),
                         block.load_f32("gamma", {c})});
  }
}

void Code2Wav::load_decoder(const Weights& w) {
  int64_t channels = config_.decoder_dim;
  first_conv_ = load_conv(w.scope(0), config_.hidden_size, channels, kKernel, 1);
  const auto n = int64_t(config_.upsample_rates.size());
  for (int64_t i = 0; i < n; ++i) {
    const int rate = config_.upsample_rates[size_t(i)];
    const Weights parts = w.scope(i + 1).scope("block");
    Block block{load_snake(parts.scope(0), channels),
                load_up(parts.scope(1), channels, channels / 2, 2 * rate, rate),
                {}};
    channels /= 2;
    int64_t at = 2;
    for (const int dilation : kDilations) {
      const Weights unit = parts.scope(at++);
      block.units.push_back({load_snake(unit.scope("act1"), channels),
                             load_snake(unit.scope("act2"), channels),
                             load_conv(unit.scope("conv1"), channels, channels, kKernel, dilation),
                             load_conv(unit.scope("conv2"), channels, channels, 1, 1)});
    }
    blocks_.push_back(std::move(block));
  }
  last_snake_ = load_snake(w.scope(n + 1), channels);
  last_conv_ = load_conv(w.scope(n + 2), channels, 1, kKernel, 1);
}

Code2Wav::TransConv Code2Wav::load_up(const Weights& w, int64_t c_in, int64_t c_out, int kernel,
                                      int stride) {
  const Weights conv = w.scope("conv");
  const Tensor stored = conv.get_f32("weight", {c_in, c_out, kernel});
  Tensor by_tap = Tensor::zeros(DType::f32, {kernel * c_out, c_in});
  for (int64_t in = 0; in < c_in; ++in)
    for (int64_t out = 0; out < c_out; ++out)
      for (int64_t t = 0; t < kernel; ++t)
        by_tap.f32()[(t * c_out + out) * c_in + in] = stored.f32()[(in * c_out + out) * kernel + t];
  return {pack(w, by_tap), conv.load_f32("bias", {c_out}), kernel, stride};
}

Code2Wav::Snake Code2Wav::load_snake(const Weights& w, int64_t channels) {
  // stored as logarithms
  Snake s{w.get_f32("alpha", {channels}), w.get_f32("beta", {channels})};
  for (int64_t k = 0; k < channels; ++k) {
    s.alpha.f32()[k] = std::exp(s.alpha.f32()[k]);
    s.beta_reciprocal.f32()[k] = 1.f / (std::exp(s.beta_reciprocal.f32()[k]) + 1e-9f);
  }
  return {to_device(s.alpha, w.device()), to_device(s.beta_reciprocal, w.device())};
}

Conv1d Code2Wav::load_conv(const Weights& w, int64_t c_in, int64_t c_out, int kernel,
                           int dilation) {
  return Conv1d(
      w.scope("conv"), c_in, c_out,
      {.kernel = kernel, .dilation = dilation, .padding = ops::Padding::none, .recurs = false},
      Bias::each);
}

int Code2Wav::samples_per_frame() const {
  int n = 1;
  for (const int rate : config_.upsampling_ratios) n *= rate;
  for (const int rate : config_.upsample_rates) n *= rate;
  return n;
}

Tensor Code2Wav::rotary(int64_t first, int64_t n) const {
  const int64_t half = config_.head_dim / 2;
  Tensor table = Tensor::zeros(DType::f32, {2, n, half});
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < half; ++k) {
      const double angle =
          double(first + i) *
          double(1.f / std::pow(float(config_.rope_theta), float(2 * k) / float(config_.head_dim)));
      table.f32()[i * half + k] = float(std::cos(angle));
      table.f32()[(n + i) * half + k] = float(std::sin(angle));
    }
  return table;
}

// --- a stream

Code2Wav::Stream::Stream(const Code2Wav& model) : model_(model) {
  const Code2WavConfig& c = model.config_;
  const int64_t kv = int64_t{c.num_key_value_heads} * c.head_dim;
  const Past heads(c.sliding_window - 1, kv, false);
  keys_.assign(size_t(c.num_hidden_layers), heads);
  values_ = keys_;
  upsample_.assign(c.upsampling_ratios.size(), Past(kKernel - 1, c.hidden_size, true));
  decoder_.emplace_back(kKernel - 1, c.hidden_size, true);
  int64_t channels = c.decoder_dim;
  for (size_t i = 0; i < c.upsample_rates.size(); ++i) {
    decoder_.emplace_back(1, channels, false);
    channels /= 2;
    for (const int dilation : kDilations)
      decoder_.emplace_back((kKernel - 1) * dilation, channels, true);
  }
  decoder_.emplace_back(kKernel - 1, channels, true);
}

std::vector<float> Code2Wav::Stream::push(ops::Context& cx, std::span<const int32_t> codes) {
  Arena::Scope scope(cx.arena);
  if (codes.empty()) return {};
  const Tensor x = decoded(cx, upsampled(cx, states(cx, codes)));  // [samples, 1]
  std::vector<float> room;
  const auto samples = ops::to_host(cx, x, room);
  std::vector<float> wave(samples.begin(), samples.end());
  for (float& v : wave) v = std::clamp(v, -1.f, 1.f);
  return wave;
}

Tensor Code2Wav::Stream::states(ops::Context& cx, std::span<const int32_t> codes) {
  const Code2WavConfig& c = model_.config_;
  const int64_t n = int64_t(codes.size()) / c.num_quantizers, hidden = c.hidden_size,
                q_width = int64_t{c.num_attention_heads} * c.head_dim,
                kv_width = int64_t{c.num_key_value_heads} * c.head_dim, half = c.head_dim / 2;
  std::vector<int32_t> ids(static_cast<size_t>(n));
  Tensor x;  // [n, hidden]
  for (int group = 0; group < c.num_quantizers; ++group) {
    for (int64_t i = 0; i < n; ++i)
      ids[size_t(i)] = group * c.codebook_size + codes[size_t(i * c.num_quantizers + group)];
    const Tensor rows = ops::embedding(cx, ids, model_.code_embedding_);
    group ? ops::add_(cx, x, rows) : void(x = rows);
  }
  ops::div_(cx, x, float(c.num_quantizers));
  const Tensor table = ops::from_host(cx, model_.rotary(position_, n));  // [2, n, half]
  position_ += n;
  for (size_t i = 0; i < model_.layers_.size(); ++i) {
    Arena::Scope inner(cx.arena);
    const Layer& layer = model_.layers_[i];
    Tensor qkv = layer.qkv_proj(cx, layer.input_layernorm(cx, x));  // [n, q_width + 2 kv_width]
    const ops::Heads q = heads_of(qkv, 0, c.num_attention_heads, c.head_dim),
                     k = heads_of(qkv, q_width, c.num_key_value_heads, c.head_dim),
                     v = heads_of(qkv, q_width + kv_width, c.num_key_value_heads, c.head_dim);
    for (const ops::Heads& heads : {q, k})
      ops::rotary_(cx, heads, n, data(table), data(table) + n * half);
    const auto all = [&](const ops::Heads& heads, Past& past) {
      Tensor fresh = cx.arena.f32({n, kv_width});
      ops::copy_rows(cx, heads_of(fresh, 0, heads.n_heads, heads.head_dim), heads, n);
      return past.and_then(cx, fresh);
    };
    const Tensor keys = all(k, keys_[i]), values = all(v, values_[i]);
    std::vector<ops::AttentionRange> ranges;
    const int64_t before = keys.dim(0) - n;
    for (int64_t row = 0; row < n; ++row) {
      const int64_t end = before + row + 1, first = std::max<int64_t>(0, end - c.sliding_window);
      ranges.push_back({row, row + 1, first, end - first});
    }
    const Tensor attended = ops::attention(  // [n, q_width]
        cx, q, heads_of(keys, 0, c.num_key_value_heads, c.head_dim),
        heads_of(values, 0, c.num_key_value_heads, c.head_dim), ranges, layer.o_proj.operand());
    ops::add_scaled_(cx, x, layer.o_proj(cx, attended), data(layer.attn_scale));
    Tensor mlp = ops::clone(cx, ops::from_host(cx, Tensor::zeros(DType::f32, {n, hidden})));
    layer.mlp.add_to(cx, mlp, layer.post_attention_layernorm(cx, x));
    ops::add_scaled_(cx, x, mlp, data(layer.mlp_scale));
  }
  return model_.norm_(cx, x);
}

Tensor Code2Wav::Stream::upsampled(ops::Context& cx, Tensor x) {
  for (size_t i = 0; i < model_.upsample_.size(); ++i) {
    const ConvNext& stage = model_.upsample_[i];
    x = ops::conv_transpose1d(cx, x, *stage.up.weight, stage.up.bias, stage.up.kernel,
                              stage.up.stride, 0);  // [n · stride, hidden]
    const int64_t n = x.dim(0);
    const Tensor all = upsample_[i].and_then(cx, x);  // [6 + n, hidden]
    Tensor h = ops::index_select(cx, stage.dwconv_bias, std::vector<int64_t>(size_t(n)));
    for (int64_t t = 0; t < kKernel; ++t)
      ops::add_scaled_(cx, h, all.rows(t, t + n), data(stage.taps) + t * x.dim(1));
    h = stage.pwconv1(cx, stage.norm(cx, h));  // [n, 4 · hidden]
    ops::gelu_(cx, h);
    ops::add_scaled_(cx, x, stage.pwconv2(cx, h), data(stage.gamma));
  }
  return x;
}

Tensor Code2Wav::Stream::decoded(ops::Context& cx, const Tensor& input) {
  auto past = decoder_.begin();
  Tensor x = model_.first_conv_(cx, (past++)->and_then(cx, input));  // [n, channels]
  for (const Block& block : model_.blocks_) {
    ops::snake_(cx, x, block.snake.alpha, block.snake.beta_reciprocal);
    const Tensor all = (past++)->and_then(cx, x);  // a row of before, and x
    x = ops::conv_transpose1d(cx, all, *block.up.weight, block.up.bias, block.up.kernel,
                              block.up.stride, block.up.stride);
    if (x.dim(0) == 0) return x;
    for (const Unit& unit : block.units) {
      Tensor h = ops::clone(cx, x);  // as x
      ops::snake_(cx, h, unit.act1.alpha, unit.act1.beta_reciprocal);
      h = unit.conv1(cx, (past++)->and_then(cx, h));
      ops::snake_(cx, h, unit.act2.alpha, unit.act2.beta_reciprocal);
      ops::add_(cx, x, unit.conv2(cx, h));
    }
  }
  ops::snake_(cx, x, model_.last_snake_.alpha, model_.last_snake_.beta_reciprocal);
  return model_.last_conv_(cx, (past++)->and_then(cx, x));
}

}  // namespace omni::qwen3_omni
