// From logits to a token: repetition penalty, temperature, top-k, top-p, in the order of transformers' generate().
#pragma once

#include <random>
#include <span>
#include <vector>

#include "omni/session.h"

namespace omni {

class Sampler {
 public:
  explicit Sampler(uint64_t seed) : random_(seed) {}

  // `history`: all ids so far, prompt included; only the penalty looks at it. `logits` is used up.
  int32_t pick(std::span<float> logits, std::span<const int32_t> history, const SamplingOptions& options);

  // The tokens that may be drawn and their probabilities, likeliest first. Exposed for tests.
  static std::vector<std::pair<float, int32_t>> distribution(std::span<float> logits, std::span<const int32_t> history, const SamplingOptions& options);

 private:
  std::mt19937_64 random_;
};

}  // namespace omni
