// From logits to a token: repetition penalty, temperature, top-k, top-p, in the order of
// transformers' generate().
#pragma once

#include <random>
#include <span>
#include <vector>

#include "omni/session.h"
#include "ops/ops.h"

namespace omni {

// Throws corrupt_file where a model found something that is no number: what it was given or its
// weights are damaged, and no token is likelier than another.
void require_finite(std::span<const float> logits);

class Sampler {
 public:
  explicit Sampler(uint64_t seed) : random_(seed) {}

  // `history`: all ids so far, prompt included; only the penalty looks at it. `logits` is used up.
  int32_t pick(std::span<float> logits, std::span<const int32_t> history,
               const SamplingOptions& options);

  // The same for ops::sample(), of tokens with their bit in `allowed` (empty: of all).
  ops::Sampling sampling(int64_t vocabulary, std::span<const int32_t> history,
                         const SamplingOptions& options, std::vector<uint32_t> allowed);
  // The same from wherever the logits [1, vocabulary] lie.
  int32_t choose(ops::Context& cx, const Tensor& logits, std::span<const int32_t> history,
                 const SamplingOptions& options, std::span<const uint32_t> allowed);
  // Whether it can; otherwise the logits have to come to the host.
  static bool on_device(const SamplingOptions& o) {
    return o.temperature <= 0 || (o.top_k > 0 && o.top_k <= ops::Sampling::kMostChoices);
  }

  // The tokens that may be drawn and their probabilities, likeliest first. Exposed for tests.
  static std::vector<std::pair<float, int32_t>> distribution(std::span<float> logits,
                                                             std::span<const int32_t> history,
                                                             const SamplingOptions& options);

  std::mt19937_64& random() { return random_; }  // to be saved and loaded

 private:
  double draw() { return std::uniform_real_distribution<double>(0, 1)(random_); }

  std::mt19937_64 random_;
};

}  // namespace omni
