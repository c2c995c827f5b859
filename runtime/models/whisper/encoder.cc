// A window of log-mel frames → states that the decoder attends to. (modeling_whisper.py,
// WhisperEncoder)
#include "whisper/encoder.h"

namespace omni::whisper {

namespace {
constexpr float kEps = 1e-5f;
}

Encoder::Encoder(const Weights& w, const Config& c)
    : config_(c),
      conv1_(w.scope("conv1"), c.num_mel_bins, c.d_model, {.kernel = 3}, Bias::each),
      conv2_(w.scope("conv2"), c.d_model, c.d_model, {.kernel = 3, .stride = 2}, Bias::each),
      embed_positions_(w.load_f32("embed_positions.weight", {c.max_source_positions, c.d_model})),
      layer_norm_(w.scope("layer_norm"), c.d_model, kEps) {
  for (int i = 0; i < c.encoder_layers; ++i)
    layers_.emplace_back(w.scope("layers").scope(i), c.d_model, c.encoder_attention_heads,
                         c.encoder_ffn_dim);
}

Tensor Encoder::forward(ops::Context& cx, const Tensor& mel) const {
  const int64_t d = config_.d_model, n = (mel.dim(0) + 1) / 2;
  if (n > config_.max_source_positions)
    throw Error(ErrorCode::internal,
                "whisper: " + mel.shape().str() + " mel frames are more than a window");
  Tensor x = cx.arena.f32({n, d});  // [n, d_model]
  {
    Arena::Scope scope(cx.arena);
    Tensor frames = conv1_(cx, mel);  // [frames, d_model]
    ops::gelu_(cx, frames);
    Tensor states = conv2_(cx, frames);  // [n, d_model]
    ops::gelu_(cx, states);
    ops::copy_(cx, x, states);
  }
  ops::add_(cx, x, embed_positions_.rows(0, n));
  for (const EncoderLayer& layer : layers_) layer(cx, x);
  return layer_norm_(cx, x);
}

}  // namespace omni::whisper
