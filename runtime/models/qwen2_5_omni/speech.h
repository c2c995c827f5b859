// What makes a Qwen2.5-Omni speak: Talker, voices and Token2Wav behind the interface of
// models/speech_model.h.
#pragma once

#include <map>

#include "models/registry.h"
#include "qwen2_5_omni/bigvgan.h"
#include "qwen2_5_omni/dit.h"
#include "qwen2_5_omni/talker.h"

namespace omni::qwen2_5_omni {

class Speech final : public SpeechModel {
 public:
  // `file`: the whole checkpoint.
  Speech(const ModelOptions& options, const Weights& file, const SpeechConfig& config,
         const LoadProgress& progress);

  const Device* device() const override { return device_; }
  std::vector<std::string> voices() const override;
  std::string default_voice() const override {
    return voices_.count("Chelsie") ? "Chelsie" : voices_.begin()->first;
  }
  int sample_rate() const override { return 24000; }
  int samples_per_code() const override {
    return dit_.frames_per_code() * bigvgan_.samples_per_frame();
  }
  std::unique_ptr<CodeStream> talk(SpokenPrompt prompt, const std::string& voice) const override;
  std::unique_ptr<WaveStream> sound(ops::Context& cx, const std::string& voice, FrameNoise noise,
                                    const FlowSettings& settings) const override;
  Tensor mel(ops::Context& cx, std::span<const int32_t> codes, const std::string& voice,
             const FrameNoise& noise, const FlowSettings& settings) const override;
  std::vector<float> wave(ops::Context& cx, const Tensor& mel) const override {
    return bigvgan_.forward(cx, mel);
  }

 private:
  class Codes;
  class Wave;
  const Voice& voice(const std::string& name) const;

  const Device* device_;
  std::map<std::string, Voice> voices_;
  Tensor thinker_embed_;  // the table of the Thinker, in the file's type
  Talker talker_;
  Dit dit_;
  BigVgan bigvgan_;
};

}  // namespace omni::qwen2_5_omni
