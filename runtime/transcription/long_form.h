// What stands of the text of a window with time stamps, and where the next window begins: Whisper's
// rule for recordings that are longer than a window. (transformers, generation_whisper.py,
// _retrieve_segment; OpenAI whisper/transcribe.py; Whisper, section 3.8)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace omni {

struct LongFormSegment {
  size_t begin, end;  // its tokens, time stamps included
  int64_t from, to;   // states of the window
};

struct LongFormStep {
  std::vector<LongFormSegment> segments;  // what stands, in order
  int64_t seek;  // mel frames from the begin of the window to that of the next; ≥ 1
};

// `tokens`: what was written for the `n_frames` ≥ 1 mel frames of sound of a window, without the
// end of text. Time stamps are the ids from `first_timestamp` on, one a state of
// `frames_per_state`. Segments end where two time stamps meet. What is written behind the last such
// place is dropped, and the next window begins there: its sound is written again, with what
// follows. Where a single time stamp ends the text, nobody speaks behind it: all of it stands and
// the next window begins where this one ends, as it does where no two time stamps meet.
LongFormStep retrieve_segments(std::span<const int32_t> tokens, int32_t first_timestamp,
                               int64_t n_frames, int frames_per_state);

}  // namespace omni
