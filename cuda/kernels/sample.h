// From logits to tokens, for many sequences at once: what is not allowed is left out, what was seen
// before penalised, the likeliest top_k kept, of these the likeliest that together reach top_p, and
// one of them drawn. (transformers' generate(): RepetitionPenalty, Temperature, TopK and TopP, in
// that order; the host's decoding/sampler.cc.)
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kMostChoices = 1024;

struct SampledToken {
  int id;
  float probability;  // of softmax(logits), before anything is left out; NaN where one is no number
};

struct alignas(16) SampleOptions {
  float temperature, top_p, penalty, draw;  // temperature > 0; draw: [0, 1)
  int top_k;          // 1 … kMostChoices; 1: the likeliest, of equals the first
  int row;            // of the logits
  int allowed, seen;  // where a bit a token begins in `bits`; −1: all are allowed, none was seen
};

// Bytes that sample() needs for n sequences, aligned to 16.
size_t sample_room(int vocabulary, int n);

// logits: [rows, vocabulary]; options, result: [n]. All on the device, and nothing but the
// pointers, the vocabulary and n is fixed by a recording. cudaErrorInvalidValue for what it cannot
// do.
cudaError_t sample(const float* logits, int vocabulary, const SampleOptions* options,
                   const uint32_t* bits, int n, void* room, SampledToken* result,
                   cudaStream_t stream);

}  // namespace omni::cuda
