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

// `bounds` [n + 1], ascending: begins of n words and the end of the last. Those in between are
// moved until each word lasts `least`, or its share where there is less.
void spread(std::span<int64_t> bounds, int64_t least);

}  // namespace omni
