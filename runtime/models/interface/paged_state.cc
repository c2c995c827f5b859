#include "interface/paged_state.h"

namespace omni {

void PagedState::reserve(Arena& arena, Lane lane, int64_t n) {
  LanePages& l = lanes_.at(size_t(lane));
  try {
    while (int64_t(l.pages.size()) * ops::kPageRows < l.end + n)
      l.pages.push_back(pages_.take(arena));
  } catch (...) {
    give_back_unused(l);
    throw;
  }
}

void PagedState::advance(Lane lane, int64_t n) {
  lane_of_.append(size_t(n), lane);
  lanes_[size_t(lane)].end += int32_t(n);
}

void PagedState::give_back_unused(LanePages& lane) {
  const auto needed = size_t((lane.end + ops::kPageRows - 1) / ops::kPageRows);
  while (lane.pages.size() > needed) {
    pages_.give(lane.pages.back());
    lane.pages.pop_back();
  }
}

void PagedState::begin_anew(LanePages& lane) {
  lane.first = lane.end = 0;
  lane.offset = {};
  give_back_unused(lane);
}

void PagedState::truncate(int64_t length) {
  for (size_t row = lane_of_.size(); int64_t(row) > length; --row)
    --lanes_[size_t(lane_of_[row - 1])].end;
  lane_of_.truncate(size_t(length));
  for (LanePages& l : lanes_) {
    if (l.first == l.end) begin_anew(l);
    give_back_unused(l);
  }
}

void PagedState::slide(int64_t begin, int64_t end, const LaneShift& shift) {
  std::array<int32_t, kLanes> gone{};
  for (int64_t row = begin; row < end; ++row) ++gone[size_t(lane_of_[size_t(row)])];
  for (int64_t row = 0; row < begin; ++row)
    if (gone[size_t(lane_of_[size_t(row)])])
      throw Error(ErrorCode::unsupported, "rows " + std::to_string(begin) + " to " +
                                              std::to_string(end) +
                                              " cannot leave: older ones of their lane stay");
  for (size_t i = 0; i < lanes_.size(); ++i) {
    forget_oldest(lanes_[i], gone[i]);
    for (size_t axis = 0; axis < 3; ++axis) lanes_[i].offset[axis] += shift[i][axis];
    if (lanes_[i].first == lanes_[i].end) begin_anew(lanes_[i]);
  }
  lane_of_.erase(size_t(begin), size_t(end));
}

void PagedState::forget_oldest(LanePages& lane, int32_t n) {
  lane.first += n;
  const auto pages = lane.first / int32_t(ops::kPageRows);
  for (int32_t i = 0; i < pages; ++i) pages_.give(lane.pages[size_t(i)]);
  lane.pages.erase(lane.pages.begin(), lane.pages.begin() + pages);
  lane.first -= pages * int32_t(ops::kPageRows);
  lane.end -= pages * int32_t(ops::kPageRows);
}

std::span<const ops::PagedBatch::Lane> PagedState::lanes() const {
  views_.clear();
  for (const LanePages& l : lanes_) views_.push_back({l.pages, l.first, l.end});
  return views_;
}

}  // namespace omni
