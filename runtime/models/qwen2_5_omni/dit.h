// The flow-matching transformer of Token2Wav: codes and a voice → mel spectrogram, by integrating
// its velocity from noise. (Qwen2_5OmniToken2WavDiTModel)
#pragma once

#include <span>
#include <vector>

#include "interface/voice.h"
#include "layers/layers.h"
#include "qwen2_5_omni/config.h"
#include "qwen2_5_omni/speaker_encoder.h"

namespace omni::qwen2_5_omni {

// Of spk_dict.pt.
struct Speaker {
  int32_t bos_token;  // of the Thinker's table
  Tensor cond;        // [enc_emb_dim]
  Tensor ref_mel;     // [frames, mel_dim]
};

class Dit {
 public:
  Dit(const Weights& w, const DitConfig& config, const LoadProgress& progress);
  int frames_per_code() const { return config_.repeats; }
  int n_codes() const { return config_.num_embeds + 1; }  // rows of its table
  int mel_dim() const { return config_.mel_dim; }

  // One evaluation of the velocity at x [codes · repeats, mel_dim] and `time`; without condition:
  // nobody says nothing. Of its own memory on the host, as x; the tests' view of a step.
  Tensor velocity(ops::Context& cx, const Tensor& x, std::span<const int32_t> codes,
                  const Speaker& speaker, float time, bool conditioned) const;

  // The mel of one utterance, block after block. A block of the flow sees the block before it and
  // the block behind it, at every evaluation of the velocity: what the last finished block was at
  // each of them is kept, and kAhead blocks are computed and thrown away. Each of those that is
  // left out costs some 30 dB of the likeness to the whole.
  class Stream {
   public:
    Stream(const Dit& dit, ops::Context& cx, const Speaker& speaker, FrameNoise noise,
           const FlowSettings& settings);
    // at once: bounds memory and the wait for the first of them
    static constexpr int64_t kMostBlocks = 10;
    // → the frames that are now certain, [n, mel_dim], of its own memory on the host. Throws
    // invalid_argument for a code outside the table.
    Tensor push(ops::Context& cx, std::span<const int32_t> codes, bool last,
                int64_t most_blocks = kMostBlocks);

   private:
    static constexpr int kAhead = 3;  // for each layer that looks ahead

    Tensor chunk(ops::Context& cx, int64_t n, int64_t n_kept);

    const Dit& dit_;
    FrameNoise noise_;
    FlowSettings settings_;
    // rows of the condition that do not change, with somebody and with nobody
    Tensor speaker_[2];
    std::vector<int32_t> codes_;  // from frame done_ on
    int64_t done_ = 0;            // frames
    // keys‖values of the last finished block, [block, 2 · inner] for each evaluation of a branch
    // and layer that looks back
    std::vector<Tensor> past_;
  };

 private:
  struct Layer {
    Linear modulation;  // attn_norm.linear
    Linear qkv, out, ff_in, ff_out;
    int look_ahead, look_backward;  // blocks
  };
  // Shift, 1 + scale and gate of every layer at one time, and 1 + scale and shift of the last norm.
  struct Modulation {
    std::vector<Tensor> layers;  // [6 · hidden]
    Tensor last;                 // [2 · hidden]
  };
  Modulation modulation(ops::Context& cx, float time) const;
  // The speaker's part of the condition, on the host: [enc_dim + enc_emb_dim].
  Tensor speaker_embedding(ops::Context& cx, const Speaker& speaker, bool conditioned) const;
  // What does not change while x flows: speaker and codes. [frames, hidden]
  Tensor condition(ops::Context& cx, std::span<const int32_t> codes, const Tensor& speaker,
                   bool conditioned) const;
  RotaryTable rotary(ops::Context& cx, int64_t first, int64_t frames) const;
  // Keys and values of the block before the first and, to be kept, of rows [keep, keep + block):
  // one tensor [block, 2 · inner] a layer that looks back.
  struct Neighbours {
    const Tensor* before = nullptr;
    Tensor* kept = nullptr;
    int64_t keep = 0;
  };
  Tensor velocity(ops::Context& cx, const Tensor& x, const Tensor& condition, const Modulation& m,
                  const RotaryTable& rotary, const Neighbours& neighbours) const;
  int n_looking_back() const;
  int n_looking_ahead() const;

  DitConfig config_;
  Linear time_mlp0_, time_mlp2_;
  Tensor codec_embed_;           // on the host
  Linear proj_mel_, proj_rest_;  // the two halves of input_embed.proj
  SpeakerEncoder spk_encoder_;   // on the host: once an utterance
  std::vector<Layer> layers_;
  Linear norm_out_, proj_out_;
};

}  // namespace omni::qwen2_5_omni
