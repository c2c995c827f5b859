// A voice that is none: a code for each row of the reply, ten codes a second, and a sample of 1 for
// each tenth of a code.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "interface/voice.h"

namespace omni {

struct FakeVoice final : Voice {
  static constexpr int kRate = 100, kSamplesACode = 10;
  bool finds_its_end = true;

  struct Codes final : CodeStream {
    explicit Codes(bool finds_its_end) : ends(finds_its_end) {}
    std::optional<int32_t> next(ops::Context&, const KeptRows& row, const PickCode&) override {
      if (!row.values.defined() && ends) return std::nullopt;
      return 1;
    }
    bool ends;
  };
  struct Wave final : WaveStream {
    std::vector<float> push(ops::Context&, std::span<const int32_t> codes) override {
      return std::vector<float>(codes.size() * kSamplesACode, 1.f);
    }
    std::vector<float> finish(ops::Context&) override { return {}; }
  };

  const Device* device() const override { return nullptr; }
  std::vector<std::string> speakers() const override { return {"anna"}; }
  std::string default_speaker() const override { return "anna"; }
  int sample_rate() const override { return kRate; }
  int samples_per_code() const override { return kSamplesACode; }
  CodeSampling sampling() const override { return {0, 1, 1, 1}; }
  int row_width() const override { return 1; }
  std::unique_ptr<CodeStream> new_codes(VoicePrompt, const std::string&) const override {
    return std::make_unique<Codes>(finds_its_end);
  }
  std::unique_ptr<WaveStream> new_wave(ops::Context&, const std::string&, FrameNoise,
                                       const FlowSettings&) const override {
    return std::make_unique<Wave>();
  }
};

}  // namespace omni
