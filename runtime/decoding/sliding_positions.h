// The positions of a sequence's rows. They move lane by lane when the window slides, at no cost for
// rows that stay: a lane's offset moves for them.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "core/sliding_vector.h"
#include "interface/sequence_state.h"

namespace omni {

class SlidingPositions {
 public:
  int64_t size() const { return int64_t(rows_.size()); }
  void append(Lane lane, std::span<const Position> positions) {
    for (const Position& p : positions) {
      Row row{lane, offset_[size_t(lane)]};
      for (size_t axis = 0; axis < 3; ++axis) row.stored[axis] += p[axis];
      rows_.append(1, row);
    }
  }
  void truncate(int64_t n) { rows_.truncate(size_t(n)); }
  void slide(int64_t begin, int64_t end, const LaneShift& shift) {
    rows_.erase(size_t(begin), size_t(end));
    for (size_t lane = 0; lane < shift.size(); ++lane)
      for (size_t axis = 0; axis < 3; ++axis) offset_[lane][axis] += shift[lane][axis];
  }
  Position operator[](int64_t row) const {
    const Row& r = rows_[size_t(row)];
    Position p;
    for (size_t axis = 0; axis < 3; ++axis)
      p[axis] = int32_t(r.stored[axis] - offset_[size_t(r.lane)][axis]);
    return p;
  }
  std::vector<Position> all() const {
    std::vector<Position> out;
    for (int64_t row = 0; row < size(); ++row) out.push_back((*this)[row]);
    return out;
  }

 private:
  using Stored = std::array<int64_t, 3>;
  struct Row {
    Lane lane;
    Stored stored;  // position + the offset of its lane
  };

  SlidingVector<Row> rows_;
  std::array<Stored, kLanes> offset_{};
};

}  // namespace omni
