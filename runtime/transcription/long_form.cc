#include "transcription/long_form.h"

#include <algorithm>

namespace omni {

LongFormStep retrieve_segments(std::span<const int32_t> tokens, int32_t first_timestamp,
                               int64_t n_frames, int frames_per_state) {
  const size_t n = tokens.size();
  const auto is_time = [&](size_t i) { return tokens[i] >= first_timestamp; };
  const auto state = [&](size_t i) { return std::max<int64_t>(0, tokens[i] - first_timestamp); };
  LongFormStep step{{}, n_frames};
  size_t begin = 0;
  for (size_t i = 1; i < n; ++i)
    if (is_time(i - 1) && is_time(i)) {
      step.segments.push_back({begin, i, state(begin), state(i - 1)});
      begin = i;
    }
  const bool single_timestamp_ending = n >= 2 && is_time(n - 1) && !is_time(n - 2);
  if (step.segments.empty()) {
    int64_t to = n_frames / frames_per_state;
    for (size_t i = 0; i < n; ++i)
      if (is_time(i) && state(i) > 0) to = state(i);
    step.segments.push_back({0, n, 0, to});
  } else if (single_timestamp_ending) {
    step.segments.push_back({begin, n, state(begin), state(n - 1)});
  } else if (step.segments.back().to > 0) {
    step.seek = std::min(n_frames, step.segments.back().to * frames_per_state);
  }
  return step;
}

}  // namespace omni
