// Whether who has just fallen silent has finished speaking: smart-turn v3.2 (Daily, BSD-2,
// github.com/pipecat-ai/smart-turn): Whisper's encoder over the last seconds, a mean of its states
// by attention, three linear layers. `tools/fetch-model smart-turn` brings the folder. Mirrors
// pipecat/audio/turn/smart_turn/local_smart_turn_v3.py and _whisper_features.py. Always on the
// host.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "layers/layers.h"
#include "omni/turn_detector.h"
#include "whisper/encoder.h"

namespace omni {

class TurnModel {
 public:
  static constexpr int kSampleRate = 16000;

  // Throws not_found, corrupt_file or unsupported.
  explicit TurnModel(const std::filesystem::path& folder);
  // Of config.json, as check_keys() does.
  static std::vector<std::string> check_config_keys(const std::filesystem::path& folder);

  int64_t window() const { return window_; }  // samples that are heard at most: 8 s
  // The probability that a turn is over, of its samples (−1 … 1) up to now; of more than window()
  // the last ones. Any number of streams at once.
  float operator()(ops::Context& cx, std::span<const float> samples) const;

 private:
  struct Config;
  TurnModel(const Config& c, const Weights& w);
  // log-mel frames of a whole window: [2 · max_source_positions, num_mel_bins]
  Tensor features(ops::Context& cx, std::span<const float> samples) const;
  // The mean of the states [n, d_model], weighted: [1, d_model]
  Tensor pooled(ops::Context& cx, const Tensor& states) const;

  int n_mels_;
  int64_t window_;
  whisper::Encoder encoder_;
  Linear pool_attention_0_, pool_attention_2_;
  Linear classifier_0_, classifier_4_, classifier_6_;
  LayerNorm classifier_1_;
};

}  // namespace omni
