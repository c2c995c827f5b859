// What makes a Qwen2.5-Omni speak: Talker, voices and Token2Wav behind the interface of models/model.h.
#pragma once

#include <map>

#include "models/registry.h"

#include "qwen2_5_omni/bigvgan.h"
#include "qwen2_5_omni/dit.h"
#include "qwen2_5_omni/talker.h"

namespace omni::qwen2_5_omni {

class Speech final : public SpeechModel {
 public:
  // `file`: the whole checkpoint; `embed`: rows of the Thinker's table.
  Speech(const ModelOptions& options, const Weights& file, const SpeechConfig& config, const LoadProgress& progress);

  std::vector<std::string> voices() const override;
  int sample_rate() const override { return 24000; }
  std::vector<int32_t> codes(ops::Context& cx, const SpokenText& text, const std::string& voice, const CodecSampling& sampling) const override;
  Tensor mel(ops::Context& cx, std::span<const int32_t> codes, const std::string& voice, const Tensor& noise, int points, float guidance) const override;
  std::vector<float> wave(ops::Context& cx, const Tensor& mel) const override { return bigvgan_.forward(cx, mel); }

 private:
  const Voice& voice(const std::string& name) const;

  std::map<std::string, Voice> voices_;
  Tensor thinker_embed_;  // the table of the Thinker, as in the file
  Talker talker_;
  Dit dit_;
  BigVgan bigvgan_;
};

}  // namespace omni::qwen2_5_omni
