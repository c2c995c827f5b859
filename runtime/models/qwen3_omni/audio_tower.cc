// Log-mel frames → rows of the text model. (modeling_qwen3_omni_moe.py)
#include "qwen3_omni/audio_tower.h"

#include <algorithm>
#include <cstring>

namespace omni::qwen3_omni {

namespace {

constexpr float kEps = 1e-5f;
constexpr int kKernel = 3, kPieceTokens = 13;

int64_t halved(int64_t n) { return (n + 1) / 2; }
int64_t tokens_of(int64_t frames) { return halved(halved(halved(frames))); }

// weight [c_out, c_in, bands, time] of the file as [c_out, time, bands, c_in].
Tensor by_tap(const Weights& w, int64_t c_in, int64_t c_out) {
  const Tensor file = w.get_f32("weight", {c_out, c_in, kKernel, kKernel});
  Tensor y = Tensor::zeros(DType::f32, {c_out, kKernel * kKernel * c_in});
  for (int64_t o = 0; o < c_out; ++o)
    for (int64_t c = 0; c < c_in; ++c)
      for (int64_t f = 0; f < kKernel; ++f)
        for (int64_t t = 0; t < kKernel; ++t)
          y.f32()[((o * kKernel + t) * kKernel + f) * c_in + c] =
              file.f32()[((o * c_in + c) * kKernel + f) * kKernel + t];
  w.release("weight");
  return y;
}

// The columns of conv_out in the file's order, channel after channel, as band after band.
Tensor by_band(const Weights& w, int64_t n_out, int64_t channels, int64_t bands) {
  const Tensor file = w.scope("conv_out").get_f32("weight", {n_out, channels * bands});
  Tensor y = Tensor::zeros(DType::f32, {n_out, channels * bands});
  for (int64_t o = 0; o < n_out; ++o)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t b = 0; b < bands; ++b)
        y.f32()[(o * bands + b) * channels + c] = file.f32()[(o * channels + c) * bands + b];
  return y;
}

// [n + 1, width]: x and a row of zeros
Tensor with_zeros(ops::Context& cx, const Tensor& x) {
  const int64_t n = x.dim(0), width = x.dim(1);
  Tensor y = cx.arena.f32({n + 1, width});
  Tensor first = y.rows(0, n), last = y.rows(n, n + 1);
  ops::copy_(cx, first, x);
  ops::copy_(cx, last, ops::from_host(cx, Tensor::zeros(DType::f32, {1, width})));
  return y;
}

}  // namespace

Conv2d::Conv2d(const Weights& w, int64_t c_in, int64_t c_out)
    : taps_(by_tap(w, c_in, c_out), w.get_f32("bias", {c_out}), w) {}

Tensor Conv2d::operator()(ops::Context& cx, const Tensor& x, int64_t n, int64_t bands) const {
  const int64_t n_out = halved(n), bands_out = halved(bands), zeros = n * bands;
  std::vector<int64_t> rows;
  rows.reserve(size_t(n_out * bands_out * kKernel * kKernel));
  for (int64_t t = 0; t < n_out; ++t)
    for (int64_t b = 0; b < bands_out; ++b)
      for (int64_t at = 2 * t - 1; at <= 2 * t + 1; ++at)
        for (int64_t band = 2 * b - 1; band <= 2 * b + 1; ++band)
          rows.push_back(at < 0 || at >= n || band < 0 || band >= bands ? zeros
                                                                        : at * bands + band);
  const Tensor columns = ops::index_select(cx, with_zeros(cx, x), rows)
                             .reshape({n_out * bands_out, kKernel * kKernel * x.dim(1)});
  Tensor y = taps_(cx, columns);  // [n_out · bands_out, c_out]
  ops::gelu_(cx, y);
  return y;
}

AudioTower::AudioTower(const Weights& w, const AudioConfig& c, int n_deep_levels)
    : device_(w.device()),
      config_(c),
      spec_{c.num_mel_bins, c.n_window_infer,       1. / kPieceTokens, 2 * c.n_window,
            kPieceTokens,   LogMel::Tail::reflects, 2 * c.n_window},
      n_deep_levels_(n_deep_levels),
      conv2d1_(w.scope("conv2d1"), 1, c.downsample_hidden_size),
      conv2d2_(w.scope("conv2d2"), c.downsample_hidden_size, c.downsample_hidden_size),
      conv2d3_(w.scope("conv2d3"), c.downsample_hidden_size, c.downsample_hidden_size),
      conv_out_(by_band(w, c.d_model, c.downsample_hidden_size, tokens_of(c.num_mel_bins)),
                Tensor(), w),
      proj1_(w, {{"proj1", c.d_model}}, c.d_model, Bias::each),
      proj2_(w, {{"proj2", c.output_dim}}, c.d_model, Bias::each),
      positional_embedding_(to_device(sinusoids(kPieceTokens, c.d_model), w.device())),
      ln_post_(w.scope("ln_post"), c.d_model, kEps) {
  for (int i = 0; i < c.encoder_layers; ++i)
    layers_.emplace_back(w.scope("layers").scope(i), c.d_model, c.encoder_attention_heads,
                         c.encoder_ffn_dim);
}

// A piece is filled up with zeros to its whole length before the convolutions see it.
void AudioTower::embed(ops::Context& cx, const Tensor& piece, Tensor& to) const {
  const int64_t n = 2 * config_.n_window, bands = config_.num_mel_bins;
  Arena::Scope scope(cx.arena);
  Tensor mel = cx.arena.f32({n, bands});
  Tensor there = mel.rows(0, piece.dim(0)), behind = mel.rows(piece.dim(0), n);
  ops::copy_(cx, there, piece);
  if (behind.dim(0))
    ops::copy_(cx, behind, ops::from_host(cx, Tensor::zeros(DType::f32, behind.shape())));
  Tensor x = conv2d1_(cx, mel.reshape({n * bands, 1}), n, bands);  // [n / 2 · bands / 2, channels]
  x = conv2d2_(cx, x, halved(n), halved(bands));
  x = conv2d3_(cx, x, halved(halved(n)), halved(halved(bands)));
  x = conv_out_(cx, x.reshape({kPieceTokens, tokens_of(bands) * x.dim(1)}));  // [13, d_model]
  ops::add_(cx, x, positional_embedding_);
  ops::copy_(cx, to, x.rows(0, to.dim(0)));
}

Tensor AudioTower::encode(ops::Context& cx, const Tensor& mel) const {
  const int64_t piece = 2 * config_.n_window, frames = mel.dim(0), n_whole = frames / piece,
                n = n_whole * kPieceTokens + tokens_of(frames % piece),
                width = int64_t{config_.output_dim} * (1 + n_deep_levels_);
  if (frames > config_.n_window_infer)
    throw Error(ErrorCode::internal, "audio tower: a unit of " + mel.shape().str());
  Tensor out = cx.arena.f32({n, width});
  if (n == 0) return out;
  Arena::Scope scope(cx.arena);
  ops::copy_(cx, out, ops::from_host(cx, Tensor::zeros(DType::f32, {n, width})));
  const Tensor there = ops::from_host(cx, mel);
  Tensor x = cx.arena.f32({n, config_.d_model});  // [n, d_model]
  for (int64_t begin = 0, token = 0; begin < frames; begin += piece) {
    const int64_t end = std::min(frames, begin + piece), some = tokens_of(end - begin);
    Tensor to = x.rows(token, token + some);
    embed(cx, there.rows(begin, end), to);
    token += some;
  }
  for (const EncoderLayer& layer : layers_) layer(cx, x);
  Tensor h = proj1_(cx, ln_post_(cx, x, proj1_.operand()));  // [n, d_model]
  ops::gelu_(cx, h, proj2_.operand());
  Tensor y = proj2_(cx, h);  // [n, output_dim]
  ops::copy_rows(cx, heads_of(out, 0, 1, config_.output_dim), heads_of(y, 0, 1, config_.output_dim),
                 n);
  return out;
}

}  // namespace omni::qwen3_omni
