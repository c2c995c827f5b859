// What a text model remembers of a sequence, made by the model and understood by nobody else. One
// thread at a time.
#pragma once

#include <cstdint>

#include "core/arena.h"
#include "interface/rows.h"

namespace omni {

class SequenceState {
 public:
  virtual ~SequenceState() = default;
  virtual int64_t length() const = 0;
  // Makes room for n more rows of a lane. Throws out_of_memory, and then nothing has changed.
  virtual void reserve(Arena& arena, Lane lane, int64_t n) = 0;
  // Forgets rows from `length` on.
  virtual void truncate(int64_t length) = 0;
  // Forgets rows [begin, end), the oldest of their lanes, and moves all others of each lane. Costs
  // what goes, not what stays. Throws unsupported where the state cannot, or older rows of those
  // lanes would stay.
  virtual void slide(int64_t begin, int64_t end, const LaneShift& shift) = 0;
};

}  // namespace omni
