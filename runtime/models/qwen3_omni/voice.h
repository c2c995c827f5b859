// The voice of Qwen3-Omni: Talker, code predictor and Code2Wav.
#pragma once

#include "interface/voice.h"
#include "qwen3_omni/code2wav.h"
#include "qwen3_omni/talker.h"

namespace omni::qwen3_omni {

class TalkerVoice final : public Voice {
 public:
  // `file`: the whole checkpoint.
  TalkerVoice(const Weights& file, const SpeechConfig& config, const LoadProgress& progress);

  const Device* device() const override { return device_; }
  std::vector<std::string> speakers() const override;
  std::string default_speaker() const override;
  int sample_rate() const override { return 24000; }
  int row_width() const override { return config_.talker.thinker_hidden_size; }
  int codes_per_frame() const override { return config_.talker.num_code_groups; }
  int samples_per_code() const override { return code2wav_.samples_per_frame(); }
  // (Qwen3OmniMoeForConditionalGeneration.generate;
  // Qwen3OmniMoeTalkerForConditionalGeneration.prepare_inputs_for_generation)
  CodeSampling sampling() const override { return {0.9, 1.0, 50, 1.05}; }
  CodeSampling residual_sampling() const override { return {1.0, 0.8, 50, 1}; }
  // Names are looked up without regard to capitals.
  std::unique_ptr<CodeStream> new_codes(VoicePrompt prompt,
                                        const std::string& speaker) const override;
  std::unique_ptr<WaveStream> new_wave(ops::Context& cx, const std::string& speaker,
                                       FrameNoise noise,
                                       const FlowSettings& settings) const override;

  const Code2Wav& code2wav() const { return code2wav_; }

 private:
  class Codes;
  class Wave;
  int32_t speaker(const std::string& name) const;

  const Device* device_;
  SpeechConfig config_;
  Tensor thinker_embed_;  // the table of the Thinker, in the file's type
  Talker talker_;
  Code2Wav code2wav_;
};

}  // namespace omni::qwen3_omni
