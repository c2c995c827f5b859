// From logits to a token: what is not allowed is left out, what was seen before penalised, the
// likeliest top_k kept, of these the likeliest that together reach top_p, and one of them drawn.
// (transformers' generate(): RepetitionPenalty, Temperature, TopK and TopP, in that order; the
// host's session/sampler.cc.)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kMostChoices = 1024;

struct SampledToken {
  int id;
  float probability;  // of softmax(logits), before anything is left out
};

struct SampleOptions {
  int vocabulary, n_seen;
  float penalty, temperature;  // temperature > 0
  int top_k;                   // 1 … kMostChoices; 1: the likeliest, of equals the first
  float top_p, draw;           // draw: [0, 1)
};

// logits: [vocabulary]; scores: room for as many; seen: [n_seen] ids, each once; allowed: a bit a
// token, or nullptr; result: one. All on the device. cudaErrorInvalidValue for what it cannot do.
cudaError_t sample(const float* logits, float* scores, const int* seen, const uint32_t* allowed,
                   SampledToken* result, const SampleOptions& options, cudaStream_t stream);

}  // namespace omni::cuda
