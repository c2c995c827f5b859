// The flow-matching transformer of Token2Wav: codes and a voice → mel spectrogram, by integrating
// its velocity from noise. (Qwen2_5OmniToken2WavDiTModel)
#pragma once

#include <span>
#include <vector>

#include "interface/voice.h"
#include "layers/layers.h"
#include "layers/recorded.h"
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
  // each of them is kept, and some blocks (FlowSettings::look_ahead, for each layer that looks
  // ahead) are computed and thrown away.
  class Stream {
   public:
    Stream(const Dit& dit, ops::Context& cx, const Speaker& speaker, FrameNoise noise,
           const FlowSettings& settings);
    // How many codes make so many frames certain, while others follow.
    int64_t codes_for(int64_t n_frames) const;
    // at once: bounds memory and the wait for the first of them
    static constexpr int64_t kMostBlocks = 10;
    // Always with the same arena. → the frames that are now certain, [n, mel_dim], of its own
    // memory on the host. Throws invalid_argument for a code outside the table.
    Tensor push(ops::Context& cx, std::span<const int32_t> codes, bool last,
                int64_t most_blocks = kMostBlocks);

   private:
    static constexpr size_t kTimes = 32;

    // Frames [done_, done_ + n) of the flow, of which the first n_kept are given out.
    struct Chunk {
      int64_t n, n_kept;
      bool goes_on;      // others follow
      Tensor condition;  // [branches · n, hidden]
      RotaryTable rotary;
    };
    Tensor chunk(ops::Context& cx, int64_t n, int64_t n_kept, bool goes_on);
    // slope [n, mel_dim] ← that of the flow at x and a time, with guidance. `evaluation`: its
    // number in a chunk.
    void slope(ops::Context& cx, const Chunk& chunk, const Tensor& x, size_t time,
               size_t evaluation, Tensor& slope);
    Tensor modulation(ops::Context& cx, size_t time);
    // frames that are computed and thrown away behind those that are certain
    int64_t n_ahead() const {
      return settings_.look_ahead * dit_.n_looking_ahead() * dit_.config_.block_size;
    }

    const Dit& dit_;
    FrameNoise noise_;
    FlowSettings settings_;
    // rows of the condition that do not change: with somebody and, where there is guidance, with
    // nobody
    std::vector<Tensor> speakers_;
    std::vector<int32_t> codes_;  // from frame done_ on
    int64_t done_ = 0;            // frames
    std::vector<float> times_;    // three of a step, and the last one's end
    Tensor modulations_;          // of some of them, from first_time_ on
    size_t first_time_ = 0;
    std::vector<Tensor> past_;  // Neighbourhood::before of the next chunk's evaluations
  };

 private:
  struct Layer {
    Linear modulation;  // attn_norm.linear
    Linear qkv, out, ff_in, ff_out;
    int look_ahead, look_backward;  // blocks
  };
  // Of several times: [times, 6 · hidden for every layer: shift, 1 + scale and gate of either half;
  // 1 + scale and shift of the last norm].
  Tensor modulations(ops::Context& cx, std::span<const float> times) const;
  int64_t modulation_width() const { return config_.hidden_size * int64_t(6 * layers_.size() + 2); }
  // The speaker's part of the condition, on the host: [enc_dim + enc_emb_dim].
  Tensor speaker_embedding(ops::Context& cx, const Speaker& speaker, bool conditioned) const;
  // What does not change while x flows: speaker and codes, without which a branch has nobody say
  // nothing. A branch for each speaker, of which the first has the codes. [branches · frames,
  // hidden]
  Tensor condition(ops::Context& cx, std::span<const int32_t> codes,
                   std::span<const Tensor> speakers, bool conditioned) const;
  // [branches · frames, head_dim / 2] each
  RotaryTable rotary(ops::Context& cx, int64_t first, int64_t frames, size_t branches) const;
  // What the frames of a chunk see of others: keys and values of the block before the first one,
  // and, where frames [keep, keep + block) are to be kept for the next chunk, theirs: of each layer
  // that looks back and each branch, [layers · branches · block, 2 · inner].
  struct Neighbourhood {
    Tensor before;
    int64_t keep = -1;
  };
  struct Evaluated {
    Tensor velocity;  // [branches · n, mel_dim]
    Tensor kept;      // as Neighbourhood::before
  };
  // Of the branches, at x [n, mel_dim]. Valid as what Recorded gives.
  Evaluated velocity(ops::Context& cx, const Tensor& x, const Tensor& condition,
                     const Tensor& modulation, const RotaryTable& rotary,
                     const Neighbourhood& neighbourhood) const;
  // The same: inputs are those of velocity() in their order.
  Recorded::Tensors evaluate(ops::Context& cx, std::span<const Tensor> inputs, int64_t keep) const;
  // The keys that each block of n frames sees in each branch: [n_before + n] rows a branch.
  std::vector<ops::AttentionRange> ranges(const Layer& layer, int64_t n, int64_t branches,
                                          int64_t n_before) const;
  int n_looking_back() const;
  int n_looking_ahead() const;

  DitConfig config_;
  Linear time_mlp0_, time_mlp2_;
  Tensor codec_embed_;           // on the host
  Linear proj_mel_, proj_rest_;  // the two halves of input_embed.proj
  SpeakerEncoder spk_encoder_;   // on the host: once an utterance
  std::vector<Layer> layers_;
  Linear norm_out_, proj_out_;
  Recorded recorded_;
};

}  // namespace omni::qwen2_5_omni
