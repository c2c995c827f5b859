#include "interface/paged_state.h"

#include <algorithm>
#include <cstring>

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

// Of a page, rows [first, end) that lie in it: what else it holds may be another sequence's.
void PagedState::save_rows(Arena& arena, std::byte* to, const void* page, int64_t first,
                           int64_t end) const {
  const ops::KvLayout& layout = pages_.layout();
  first = std::max<int64_t>(0, first);
  end = std::min(end, ops::kPageRows);
  if (first >= end) return;
  const size_t row = size_t(layout.row()) * size_of(layout.dtype),
               part = size_t(ops::kPageRows) * row, bytes = size_t(end - first) * row;
  for (size_t i = 0; i < 2 * size_t(layout.n_layers); ++i) {
    const size_t at = i * part + size_t(first) * row;
    const auto* from = static_cast<const std::byte*>(page) + at;
    if (arena.device())
      arena.queue().download(to + at, from, bytes);
    else
      std::memcpy(to + at, from, bytes);
  }
}

SavedState PagedState::save(Arena& arena) const {
  SavedState saved;
  const size_t bytes = pages_.layout().page_bytes();
  const DType type = pages_.layout().dtype;
  for (const LanePages& l : lanes_) {
    SavedState::LaneRows rows{.pages = {}, .first = l.first, .end = l.end, .offset = l.offset};
    if (l.end > 0) {
      const auto n = int64_t((l.end + ops::kPageRows - 1) / ops::kPageRows);
      rows.pages = Tensor::zeros(type, {n, int64_t(bytes / size_of(type))});
      for (int64_t i = 0; i < n; ++i)
        save_rows(arena, static_cast<std::byte*>(rows.pages.raw()) + size_t(i) * bytes,
                  l.pages[size_t(i)], l.first - i * ops::kPageRows, l.end - i * ops::kPageRows);
    }
    saved.lanes.push_back(std::move(rows));
  }
  const auto lanes = lane_of_.span();
  saved.lane_of.assign(lanes.begin(), lanes.end());
  return saved;
}

void PagedState::require_fitting(const SavedState& saved) const {
  const auto require = [](bool holds) {
    if (!holds) throw Error(ErrorCode::corrupt_file, "rows of a saved session that fit no state");
  };
  const ops::KvLayout& layout = pages_.layout();
  require(saved.lanes.size() == lanes_.size());
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const SavedState::LaneRows& rows = saved.lanes[i];
    const auto n = std::count(saved.lane_of.begin(), saved.lane_of.end(), Lane(i));
    require(rows.first >= 0 && rows.first < ops::kPageRows && rows.end >= rows.first &&
            rows.end - rows.first == n && (n > 0 || rows.end == 0));
    if (n == 0) continue;
    const auto elements = int64_t(layout.page_bytes() / size_of(layout.dtype));
    require(rows.pages.defined() && !rows.pages.device() && rows.pages.dtype() == layout.dtype &&
            rows.pages.shape() ==
                Shape{(rows.end + ops::kPageRows - 1) / ops::kPageRows, elements});
    // far from where sums of positions end
    for (const int64_t x : rows.offset) require(x >= 0 && x < int64_t{1} << 48);
  }
  for (const Lane lane : saved.lane_of) require(size_t(lane) < lanes_.size());
}

void PagedState::load(Arena& arena, const SavedState& saved) {
  require_fitting(saved);
  const size_t bytes = pages_.layout().page_bytes();
  try {
    for (size_t i = 0; i < lanes_.size(); ++i) {
      const SavedState::LaneRows& rows = saved.lanes[i];
      if (rows.end > 0) reserve(arena, Lane(i), rows.end);
    }
  } catch (...) {
    truncate(0);
    throw;
  }
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const SavedState::LaneRows& rows = saved.lanes[i];
    LanePages& lane = lanes_[i];
    lane.first = rows.first;
    lane.end = rows.end;
    if (rows.end == 0) continue;
    lane.offset = rows.offset;
    for (size_t p = 0; p < lane.pages.size(); ++p) {
      const auto* from = static_cast<const std::byte*>(rows.pages.raw()) + p * bytes;
      if (arena.device())
        arena.queue().upload(lane.pages[p], from, bytes);
      else
        std::memcpy(lane.pages[p], from, bytes);
    }
  }
  lane_of_.append(saved.lane_of.begin(), saved.lane_of.end());
}

std::span<const ops::PagedBatch::Lane> PagedState::lanes() const {
  views_.clear();
  for (const LanePages& l : lanes_) views_.push_back({l.pages, l.first, l.end});
  return views_;
}

}  // namespace omni
