// When somebody speaks and when they have finished, in a stream of sound: Silero VAD, which is
// built in, and a silence that is long enough; how long that is a model of turns may say.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
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

// Whether who has just fallen silent has finished (smart-turn). Shared by all who opened it.
class TurnModel;
// The folder that `tools/fetch-model smart-turn` makes, or its name, as model-path finds it. Throws
// not_found, corrupt_file or unsupported.
OMNI_API std::shared_ptr<const TurnModel> open_turn_model(const std::string& path_or_name);

constexpr Nanoseconds kShortestVoice = kSecond / 4;  // what is shorter is no speech

// A turn ends with `silence` without a voice. A VoiceBegan is told once speech has lasted for
// `told_after`, which is no less than kShortestVoice, and goes on; of one that is over before there
// is the TurnEnded alone. With a model, it is asked when a pause has lasted for 2/5 of `silence`:
// the turn ends there if it is over, otherwise with 3 times `silence`. Throws invalid_argument if
// the silence is not positive.
OMNI_API std::unique_ptr<TurnDetector> make_turn_detector(
    Nanoseconds silence, std::shared_ptr<const TurnModel> model = nullptr,
    Nanoseconds told_after = kShortestVoice);

}  // namespace omni
