// Tracks that bring nothing: how long everything else has stood still because of them, and which of
// those that were given up nobody has been told of. Decisions only: no lock, and a clock that is an
// argument.
#pragma once

#include <optional>

#include "interface/prompter.h"
#include "omni/session.h"

namespace omni {

class Silence {
 public:
  // What is left of `patience`, where everything has stood still at `now` (of any clock that only
  // goes on) since the first such call after moves().
  Nanoseconds stands_still(Nanoseconds now, Nanoseconds patience);
  void moves() { still_since_.reset(); }

  // These are not waited for any more, from `time` of the media on.
  void give_up(Tracks tracks, Nanoseconds time);
  // All but these have gone on.
  void set_silent(Tracks tracks);
  // Those that nobody has been told of, and that were silent for 10 s at `time` of the media (none:
  // however long). Once.
  Tracks to_be_told(std::optional<Nanoseconds> time);

 private:
  struct Silent {
    Nanoseconds since;
    bool told = false;
  };
  static bool is_to_be_told(std::optional<Silent>& silent, std::optional<Nanoseconds> time);

  std::optional<Nanoseconds> still_since_;
  std::optional<Silent> video_, audio_;
};

}  // namespace omni
