// Sound in, tokenized pieces out.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "omni/segment.h"

namespace omni {

struct AudioOptions {
  // Highest log10 mel power of the clip: the floor is 8 below it, as in WhisperFeatureExtractor.
  // Unset = the running maximum of the last `normaliser_window`, which is what a stream can know.
  std::optional<float> clip_maximum;
  Nanoseconds normaliser_window = 0;  // 0 = what the checkpoint says, else 30 s
};

// Log-mel and audio tower: segments for every unit of the family (2 s of Qwen2.5-Omni), 12.5 ms
// after its last sample. One thread at a time; different tokenizers of an engine are independent.
// Throws Error.
class OMNI_API AudioTokenizer {
 public:
  virtual ~AudioTokenizer() = default;
  virtual int sample_rate() const = 0;  // mono float32 samples at this rate go in
  // From the next start() on. A recording's units are those of the reference; a live stream's are
  // the shortest that the family was made for, Engine::chunk_duration().
  virtual void set_live(bool live) = 0;
  // Start of the stream, or of what follows a reset: the time of the next sample pushed.
  virtual void start(Nanoseconds time) = 0;
  virtual std::vector<Segment> push(std::span<const float> samples) = 0;
  // The end of the stream or of a turn: the rest, shorter than a unit, if it is long enough for one
  // token.
  virtual std::vector<Segment> finish() = 0;
  virtual void reset() = 0;
};

}  // namespace omni
