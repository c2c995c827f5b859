// When each token was spoken, from where the decoder looked while it wrote it. (OpenAI
// whisper/timing.py; transformers, generation_whisper.py, _extract_token_timestamps)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace omni {

// attention [n_tokens][n_heads][n_states], of which the first `valid` states are sound → for each
// token the state at which it begins; a last value is where the last one ends.
std::vector<int64_t> token_states(std::span<const float> attention, int64_t n_tokens,
                                  int64_t n_heads, int64_t n_states, int64_t valid);

}  // namespace omni
