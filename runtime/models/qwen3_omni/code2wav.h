// Codes → wave at 24 kHz: the mean of a frame's embeddings, layers whose rows see a window of those
// before them, then convolutions that see nothing behind a row, but for a row that each step of
// upsampling in the decoder looks ahead. (Qwen3OmniMoeCode2Wav)
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "layers/layers.h"
#include "qwen3_omni/speech_config.h"

namespace omni::qwen3_omni {

// The last rows of a stream, on the host, ahead of which the next ones lie.
class Past {
 public:
  Past() = default;
  // Keeps `reach` rows, which at first are zeros, or none.
  Past(int64_t reach, int64_t width, bool has_zeros)
      : reach_(reach), width_(width), values_(has_zeros ? size_t(reach * width) : 0) {}
  // What is kept, then x [n, width]; and keeps the last rows of it.
  Tensor and_then(ops::Context& cx, const Tensor& x);

 private:
  int64_t reach_ = 0, width_ = 0;
  std::vector<float> values_;
};

class Code2Wav {
 public:
  Code2Wav(const Weights& w, const Code2WavConfig& config);
  int samples_per_frame() const;

  // Of one utterance: frames of codes in, samples in ±1 out, the same however they are cut. The
  // last samples of the last frame wait for a frame that does not come: there are 555 less than
  // frames · 1920 as published.
  class Stream {
   public:
    explicit Stream(const Code2Wav& model);
    // codes [n, num_quantizers], group after group
    std::vector<float> push(ops::Context& cx, std::span<const int32_t> codes);
    // The states behind the layers alone, [n, hidden_size], which push() goes on from.
    Tensor states(ops::Context& cx, std::span<const int32_t> codes);

   private:
    Tensor upsampled(ops::Context& cx, Tensor x);
    Tensor decoded(ops::Context& cx, const Tensor& x);

    const Code2Wav& model_;
    int64_t position_ = 0;
    std::vector<Past> keys_, values_, upsample_, decoder_;
  };

 private:
  struct Layer {
    RmsNorm input_layernorm, post_attention_layernorm;
    Linear qkv_proj, o_proj;
    SwiGluMlp mlp;
    Tensor attn_scale, mlp_scale;  // [hidden]
  };
  struct TransConv {
    std::shared_ptr<const ops::PackedMatrix> weight;
    Tensor bias;
    int kernel, stride;
  };
  struct ConvNext {
    TransConv up;
    Tensor taps;         // [7, hidden], of one channel each
    Tensor dwconv_bias;  // [1, hidden]
    LayerNorm norm;
    Linear pwconv1, pwconv2;
    Tensor gamma;  // [hidden]
  };
  struct Snake {
    Tensor alpha, beta_reciprocal;  // [channels]
  };
  struct Unit {
    Snake act1, act2;
    Conv1d conv1, conv2;
  };
  struct Block {
    Snake snake;
    TransConv up;
    std::vector<Unit> units;
  };
  static TransConv load_up(const Weights& w, int64_t c_in, int64_t c_out, int kernel, int stride);
  static Snake load_snake(const Weights& w, int64_t channels);
  static Conv1d load_conv(const Weights& w, int64_t c_in, int64_t c_out, int kernel, int dilation);
  void load_layers(const Weights& w);
  void load_upsample(const Weights& w);
  void load_decoder(const Weights& w);
  // [2, n, head_dim / 2], from position `first` on
  Tensor rotary(int64_t first, int64_t n) const;

  const Device* device_;
  Code2WavConfig config_;
  Tensor code_embedding_;  // [groups · codebook, hidden]
  std::vector<Layer> layers_;
  RmsNorm norm_;
  std::vector<ConvNext> upsample_;
  Conv1d first_conv_, last_conv_;
  std::vector<Block> blocks_;
  Snake last_snake_;
};

}  // namespace omni::qwen3_omni
