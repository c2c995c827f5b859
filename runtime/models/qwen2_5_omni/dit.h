// The flow-matching transformer of Token2Wav: codes and a voice → mel spectrogram, by integrating its velocity from noise. (Qwen2_5OmniToken2WavDiTModel)
#pragma once

#include <span>
#include <vector>

#include "layers/layers.h"
#include "qwen2_5_omni/config.h"
#include "qwen2_5_omni/speaker_encoder.h"

namespace omni::qwen2_5_omni {

struct Voice {
  int32_t bos_token;  // of the Thinker's table
  Tensor cond;        // [enc_emb_dim]
  Tensor ref_mel;     // [frames, mel_dim]
};

struct FlowSettings {
  int points = 10;       // of the time grid; 4 evaluations of the velocity between two of them
  float guidance = 0.5f;
  float sway = -1;
};

class Dit {
 public:
  Dit(const Weights& w, const DitConfig& config, const LoadProgress& progress);
  int frames_per_code() const { return config_.repeats; }
  int mel_dim() const { return config_.mel_dim; }

  // One evaluation of the velocity at x [codes · repeats, mel_dim] and `time`; without condition: nobody says nothing. Of its own memory; the tests' view of a step.
  Tensor velocity(ops::Context& cx, const Tensor& x, std::span<const int32_t> codes, const Voice& voice, float time, bool conditioned) const;
  // noise [codes · repeats, mel_dim] → mel of the same shape (log amplitudes), of its own memory. Throws invalid_argument for a code outside the table.
  Tensor sample(ops::Context& cx, std::span<const int32_t> codes, const Voice& voice, const Tensor& noise, const FlowSettings& settings) const;

 private:
  struct Layer {
    Linear modulation;  // attn_norm.linear
    Linear qkv, out, ff_in, ff_out;
    int look_ahead, look_backward;  // blocks
  };
  // Shift, scale and gate of every layer at one time, and scale and shift of the last norm.
  struct Modulation {
    std::vector<Tensor> layers;  // [6 · hidden]
    Tensor last;                 // [2 · hidden]
  };
  Modulation modulation(ops::Context& cx, float time) const;
  // What does not change while x flows: speaker, codes, bias. [frames, hidden]
  Tensor condition(ops::Context& cx, std::span<const int32_t> codes, const Voice& voice, bool conditioned) const;
  RotaryTable rotary(ops::Context& cx, int64_t frames) const;
  Tensor velocity(ops::Context& cx, const Tensor& x, const Tensor& condition, const Modulation& m, const RotaryTable& rotary) const;

  DitConfig config_;
  Linear time_mlp0_, time_mlp2_;
  Tensor codec_embed_;
  Linear proj_mel_, proj_rest_;  // the two halves of input_embed.proj
  SpeakerEncoder spk_encoder_;
  std::vector<Layer> layers_;
  Linear norm_out_, proj_out_;
};

}  // namespace omni::qwen2_5_omni
