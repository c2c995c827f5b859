#include "ops/paged_batch.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

namespace omni::ops {

namespace {

void require(bool ok, const char* what, int64_t a, int64_t b) {
  if (!ok)
    throw Error(ErrorCode::internal, std::string("paged batch: ") + what + ": " +
                                         std::to_string(a) + " and " + std::to_string(b));
}

}  // namespace

PagedBatch::PagedBatch(int n_lanes) : n_lanes_(n_lanes) {
  require(n_lanes >= 1 && n_lanes <= kMostLanes, "lanes and the most there can be", n_lanes,
          kMostLanes);
}

void PagedBatch::clear() {
  positions_.clear(), slots_.clear(), seen_.clear(), singles_.clear(), spans_.clear(),
      tiles_.clear(), tables_.clear();
  there_ = {}, shape_ = {};
}

void PagedBatch::add(std::span<const Lane> lanes, std::span<const uint8_t> lane_of) {
  require(int(lanes.size()) == n_lanes_, "lanes of a sequence and of the batch",
          int64_t(lanes.size()), n_lanes_);
  if (lane_of.empty()) return;
  Seen now[kMostLanes];
  for (int l = 0; l < n_lanes_; ++l) {
    const Lane& lane = lanes[size_t(l)];
    require(lane.first >= 0 && lane.first <= lane.end, "first and end of a lane", lane.first,
            lane.end);
    require(lane.end <= int64_t(lane.pages.size()) * kPageRows, "rows of a lane and its pages",
            lane.end, int64_t(lane.pages.size()));
    now[l] = {int32_t(tables_.size()), lane.first, lane.end};
    tables_.insert(tables_.end(), lane.pages.begin(), lane.pages.end());
  }
  const auto begin = int32_t(slots_.size());
  for (const uint8_t l : lane_of) {
    require(l < n_lanes_, "lane of a token and lanes", l, n_lanes_);
    const Lane& lane = lanes[l];
    const int64_t row = now[l].end++, page = row / kPageRows;
    require(page < int64_t(lane.pages.size()), "page of a token and pages of its lane", page,
            int64_t(lane.pages.size()));
    slots_.push_back({lane.pages[size_t(page)], row % kPageRows});
    seen_.insert(seen_.end(), now, now + n_lanes_);
  }
  spans_.push_back({begin, int32_t(slots_.size())});
}

std::span<RotaryPosition> PagedBatch::add_positions(int64_t n) {
  const size_t before = positions_.size();
  positions_.resize(before + size_t(n));
  return std::span(positions_).subspan(before);
}

void PagedBatch::cut_into_tiles() {
  singles_.clear(), tiles_.clear();
  for (const Span& s : spans_)
    if (s.end - s.begin == 1)
      singles_.push_back(s.begin);
    else
      for (int32_t begin = s.begin; begin < s.end; begin += kTileQueries)
        tiles_.push_back({begin, std::min(s.end, begin + kTileQueries)});
  int64_t most_stretches = 0;
  for (const int32_t token : singles_) {
    int64_t n = 0;
    for (int l = 0; l < n_lanes_; ++l)
      n += (seen(token, l).end - seen(token, l).first + kStretchKeys - 1) / kStretchKeys;
    most_stretches = std::max(most_stretches, n);
  }
  // rounded up: the same work serves for a while
  shape_ = {n_tokens(),
            int64_t(singles_.size()),
            int64_t(tiles_.size()),
            most_stretches ? int64_t(std::bit_ceil(uint64_t(most_stretches))) : 0,
            nullptr,
            0};
}

void PagedBatch::upload(Context& cx) {
  cut_into_tiles();
  if (!cx.arena.device()) {
    there_ = {positions_.data(), slots_.data(),  seen_.data(), singles_.data(),
              tiles_.data(),     tables_.data(), nullptr};
    return;
  }
  counters_.assign(singles_.size() * kCounters, 0);
  // The tables, which grow from step to step, last: a recording reads the others where they were.
  const std::span<const std::byte> parts[] = {
      std::as_bytes(std::span(positions_)), std::as_bytes(std::span(slots_)),
      std::as_bytes(std::span(seen_)),      std::as_bytes(std::span(singles_)),
      std::as_bytes(std::span(tiles_)),     std::as_bytes(std::span(counters_)),
      std::as_bytes(std::span(tables_))};
  constexpr size_t kAlign = 16;
  size_t at[std::size(parts) + 1] = {};
  for (size_t i = 0; i < std::size(parts); ++i)
    at[i + 1] = at[i] + (parts[i].size() + kAlign - 1) / kAlign * kAlign;
  packed_.resize(at[std::size(parts)]);
  for (size_t i = 0; i < std::size(parts); ++i)
    if (!parts[i].empty()) std::memcpy(packed_.data() + at[i], parts[i].data(), parts[i].size());
  if (!room_.defined() || room_.nbytes() < packed_.size())
    room_ = cx.arena.lasting(DType::u8, {int64_t(std::bit_ceil(packed_.size()))});
  cx.arena.queue().upload(room_.raw(), packed_.data(), packed_.size());
  auto* there = static_cast<std::byte*>(room_.raw());
  const auto part = [&]<class T>(size_t i, const T*& to) {
    to = reinterpret_cast<const T*>(there + at[i]);
  };
  part(0, there_.positions), part(1, there_.slots), part(2, there_.seen), part(3, there_.singles),
      part(4, there_.tiles);
  there_.counters = reinterpret_cast<int32_t*>(there + at[5]);
  there_.tables = reinterpret_cast<void* const*>(there + at[6]);
  shape_.there = there, shape_.tables = int64_t(at[6]);
}

}  // namespace omni::ops
