// The voice of Qwen2.5-Omni: Talker, speakers and Token2Wav.
#pragma once

#include <map>

#include "interface/voice.h"
#include "qwen2_5_omni/bigvgan.h"
#include "qwen2_5_omni/dit.h"
#include "qwen2_5_omni/talker.h"

namespace omni::qwen2_5_omni {

class TalkerVoice final : public Voice {
 public:
  // `file`: the whole checkpoint.
  TalkerVoice(const ModelOptions& options, const Weights& file, const SpeechConfig& config,
              const LoadProgress& progress);

  const Device* device() const override { return device_; }
  std::vector<std::string> speakers() const override;
  std::string default_speaker() const override {
    return speakers_.count("Chelsie") ? "Chelsie" : speakers_.begin()->first;
  }
  int sample_rate() const override { return 24000; }
  int row_width() const override { return talker_.config().text.embedding_size; }
  int samples_per_code() const override {
    return dit_.frames_per_code() * bigvgan_.samples_per_frame();
  }
  // (Qwen2_5OmniForConditionalGeneration.generate)
  CodeSampling sampling() const override { return {0.9, 0.8, 40, 1.05}; }
  std::unique_ptr<CodeStream> new_codes(VoicePrompt prompt,
                                        const std::string& speaker) const override;
  std::unique_ptr<WaveStream> new_wave(ops::Context& cx, const std::string& speaker,
                                       FrameNoise noise,
                                       const FlowSettings& settings) const override;
  Tensor mel(ops::Context& cx, std::span<const int32_t> codes, const std::string& speaker,
             const FrameNoise& noise, const FlowSettings& settings) const override;
  std::vector<float> wave(ops::Context& cx, const Tensor& mel) const override {
    return bigvgan_.forward(cx, mel);
  }

 private:
  class Codes;
  class Wave;
  const Speaker& speaker(const std::string& name) const;

  const Device* device_;
  std::map<std::string, Speaker> speakers_;
  Tensor thinker_embed_;  // the table of the Thinker, in the file's type
  Talker talker_;
  Dit dit_;
  BigVgan bigvgan_;
};

}  // namespace omni::qwen2_5_omni
