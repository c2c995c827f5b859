// What a text model remembers of a sequence, made by the model and understood by nobody else. One
// thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/arena.h"
#include "interface/rows.h"

namespace omni {

// A copy of a state on the host: its pages as they are, and which rows of them are there.
struct SavedState {
  struct LaneRows {
    Tensor pages;  // [n, elements of a page]; not defined where there is none
    int32_t first = 0, end = 0;
    std::array<int64_t, 3> offset{};  // stored position of a row − its position
  };
  std::vector<LaneRows> lanes;
  std::vector<Lane> lane_of;  // of each row
};

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
  virtual SavedState save(Arena& arena) const = 0;
  // In place of nothing. Throws corrupt_file for what is no such state, out_of_memory; then there
  // is still nothing.
  virtual void load(Arena& arena, const SavedState& saved) = 0;
};

}  // namespace omni
