// When somebody speaks and when they have finished, in a stream of sound: Silero VAD, which is
// built in, and a silence that is long enough.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "omni/session.h"

namespace omni {

struct TurnMark {
  size_t at;  // samples of the push after which it is known
  std::variant<VoiceBegan, TurnEnded> what;
};

// One thread at a time. Samples are mono, 16 kHz, −1 … 1.
class OMNI_API TurnDetector {
 public:
  virtual ~TurnDetector() = default;
  // A new stream: the time of the next sample pushed.
  virtual void start(Nanoseconds time) = 0;
  virtual std::vector<TurnMark> push(std::span<const float> samples) = 0;
  // The stream ends here: the turn that goes on ends with it.
  virtual std::optional<TurnEnded> finish() = 0;
};

// A turn ends with `silence` without a voice. Speech is told of once it has lasted for 250 ms.
// Throws invalid_argument if the silence is not positive.
OMNI_API std::unique_ptr<TurnDetector> make_turn_detector(Nanoseconds silence);

}  // namespace omni
