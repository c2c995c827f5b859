// Log-mel frames → rows of the text model. (modeling_qwen2_5_omni.py, Qwen2_5OmniAudioEncoder)
#include "qwen2_5_omni/audio_tower.h"

#include "audio/log_mel.h"

namespace omni::qwen2_5_omni {

namespace {

constexpr float kEps = 1e-5f;
// by the second convolution and the pooling
constexpr int kMelFramesPerToken = 4;

}  // namespace

AudioTower::AudioTower(const Weights& w, const AudioConfig& c)
    : device_(w.device()),
      config_(c),
      spec_{c.num_mel_bins, 2 * c.n_window,
            double(kMelFramesPerToken * LogMel::kHop) / LogMel::kSampleRate},
      conv1_(w.scope("conv1"), c.num_mel_bins, c.d_model, {.kernel = 3}, Bias::each),
      conv2_(w.scope("conv2"), c.d_model, c.d_model, {.kernel = 3, .stride = 2}, Bias::each),
      positional_embedding_(to_device(sinusoids(c.n_window, c.d_model), w.device())),
      ln_post_(w.scope("ln_post"), c.d_model, kEps),
      proj_(w, {{"proj", c.output_dim}}, c.d_model, Bias::each) {
  for (int i = 0; i < c.encoder_layers; ++i)
    layers_.emplace_back(w.scope("layers").scope(i), c.d_model, c.encoder_attention_heads,
                         c.encoder_ffn_dim);
}

Tensor AudioTower::encode(ops::Context& cx, const Tensor& mel) const {
  const int64_t n_states = (mel.dim(0) - 1) / 2 + 1, n_tokens = n_states / 2;
  if (mel.dim(0) > 2 * config_.n_window)
    throw Error(ErrorCode::internal, "audio tower: a piece of " + mel.shape().str());
  Tensor out = cx.arena.f32({n_tokens, config_.output_dim});  // [n_tokens, output_dim]
  if (n_tokens == 0) return out;
  Arena::Scope scope(cx.arena);
  const Tensor inputs[] = {mel};
  const auto results =
      recorded_(cx, inputs, 0, [&](ops::Context& inner, std::span<const Tensor> in) {
        return Recorded::Tensors{rows(inner, in[0])};
      });
  ops::copy_(cx, out, results[0]);
  return out;
}

Tensor AudioTower::rows(ops::Context& cx, const Tensor& mel) const {
  const int64_t n_states = (mel.dim(0) - 1) / 2 + 1;
  const bool is_whole = mel.dim(0) == 2 * config_.n_window;
  Tensor x = conv1_(cx, mel, is_whole);  // [frames, d_model]
  ops::gelu_(cx, x);
  x = conv2_(cx, x, is_whole);  // [n_states, d_model]
  ops::gelu_(cx, x);
  ops::add_(cx, x, positional_embedding_.rows(0, n_states));
  for (const EncoderLayer& layer : layers_) layer(cx, x);
  return proj_(cx, ln_post_(cx, ops::avg_pool_pairs(cx, x), proj_.operand()));
}

}  // namespace omni::qwen2_5_omni
