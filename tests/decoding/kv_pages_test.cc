// Pages that come and go, lanes of rows on them, and the vectors that slide with them.
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <set>

#include "core/sliding_vector.h"
#include "decoding/sliding_positions.h"
#include "interface/paged_state.h"

namespace omni {
namespace {

constexpr ops::KvLayout kLayout{DType::f32, 2, 2, 64};  // pages of 128 KiB: 8 a slab

TEST(SlidingVector, IsAVectorThatLosesItsFront) {
  std::mt19937 random(1);
  SlidingVector<int> a;
  std::vector<int> b;
  size_t most = 0;
  for (int step = 0; step < 20000; ++step) {
    const auto n = random() % 20;
    if (random() % 3) {
      std::vector<int> more(n);
      for (int& x : more) x = int(random());
      a.append(more.begin(), more.end());
      b.insert(b.end(), more.begin(), more.end());
    } else if (random() % 4 == 0) {
      const size_t length = b.size() - std::min<size_t>(n, b.size());
      a.truncate(length);
      b.resize(length);
    } else if (b.size() > 200) {
      const size_t begin = random() % 5, end = begin + b.size() / 2 - random() % 50;
      a.erase(begin, end);
      b.erase(b.begin() + std::ptrdiff_t(begin), b.begin() + std::ptrdiff_t(end));
    }
    most = std::max(most, b.size());
    ASSERT_EQ(std::vector<int>(a.span().begin(), a.span().end()), b) << step;
  }
  EXPECT_GT(most, 100u);
}

TEST(KvPages, AreTakenAndGivenBack) {
  Arena arena;
  KvPages pages(kLayout);
  std::mt19937 random(1);
  std::set<void*> taken;
  const size_t bytes = kLayout.page_bytes();
  for (int step = 0; step < 2000; ++step) {
    if (random() % 2 || taken.empty()) {
      auto* page = static_cast<char*>(pages.take(arena));
      const auto after = taken.lower_bound(page);
      if (after != taken.end()) {
        ASSERT_LE(page + bytes, *after);
      }
      if (after != taken.begin()) {
        ASSERT_GE(page, static_cast<char*>(*std::prev(after)) + bytes);
      }
      taken.insert(page);
    } else {
      const auto one = std::next(taken.begin(), int(random() % taken.size()));
      pages.give(*one);
      taken.erase(one);
    }
    ASSERT_EQ(pages.n_taken(), int64_t(taken.size()));
    ASSERT_GE(pages.bytes(), taken.size() * bytes);
  }
  for (void* page : taken) pages.give(page);
  EXPECT_EQ(pages.n_taken(), 0);
  EXPECT_EQ(pages.bytes(), 8 * bytes) << "memory goes back, but for a slab";
  pages.give(pages.take(arena));
  EXPECT_EQ(pages.bytes(), 8 * bytes) << "which serves again";
}

TEST(KvPages, HaveABound) {
  Arena arena;
  KvPages pages(kLayout, 20 * kLayout.page_bytes());
  std::vector<void*> taken;
  try {
    for (;;) taken.push_back(pages.take(arena));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::out_of_memory);
  }
  EXPECT_EQ(taken.size(), 16u) << "whole slabs";
  pages.give(taken.back());
  EXPECT_EQ(pages.take(arena), taken.back());
  for (void* page : taken) pages.give(page);
}

// Against a list of rows: random rows come, go from the end, and slide out of the front.
TEST(PagedState, LanesHoldTheRowsOfTheSequence) {
  Arena arena;
  KvPages pages(kLayout);
  PagedState state(pages, kLanes);
  SlidingPositions positions;
  struct Row {
    Lane lane;
    Position position;
  };
  std::vector<Row> rows;
  std::mt19937 random(3);
  const auto add = [&](Lane lane, int64_t n) {
    state.reserve(arena, lane, n);
    state.advance(lane, n);
    std::vector<Position> more(size_t(n), Position{int32_t(random() % 1000), 7, 9});
    positions.append(lane, more);
    for (const Position& p : more) rows.push_back({lane, p});
  };
  constexpr int64_t kHead = 70;
  add(Lane::text, kHead);
  for (int step = 0; step < 3000; ++step) {
    const auto length = int64_t(rows.size());
    if (random() % 3 || length < kHead + 100) {
      add(random() % 2 ? Lane::vision : Lane::audio, 1 + int64_t(random() % 100));
    } else if (random() % 3 == 0) {
      const int64_t kept = length - int64_t(random() % 100);
      state.truncate(kept);
      positions.truncate(kept);
      rows.resize(size_t(kept));
    } else {
      const int64_t end = kHead + int64_t(random() % uint64_t(length - kHead));
      const LaneShift shift{Position{}, {5, 0, 0}, {3, 3, 3}};
      state.slide(kHead, end, shift);
      positions.slide(kHead, end, shift);
      rows.erase(rows.begin() + kHead, rows.begin() + end);
      for (Row& r : rows)
        for (size_t axis = 0; axis < 3; ++axis) r.position[axis] -= shift[size_t(r.lane)][axis];
    }
    ASSERT_EQ(state.length(), int64_t(rows.size()));
    int64_t needed = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      const auto n = std::count_if(rows.begin(), rows.end(),
                                   [&](const Row& r) { return int(r.lane) == lane; });
      const ops::PagedBatch::Lane& there = state.lanes()[size_t(lane)];
      ASSERT_EQ(there.end - there.first, n);
      ASSERT_LT(there.first, ops::kPageRows) << "pages without a row go back";
      ASSERT_EQ(int64_t(there.pages.size()), (there.end + ops::kPageRows - 1) / ops::kPageRows);
      needed += int64_t(there.pages.size());
    }
    ASSERT_EQ(pages.n_taken(), needed);
    const auto row = size_t(random() % rows.size());
    ASSERT_EQ(positions[int64_t(row)], rows[row].position);
  }
  state.truncate(0);
  EXPECT_EQ(pages.n_taken(), 0);
}

TEST(PagedState, OnlyTheOldestOfALaneSlideAway) {
  Arena arena;
  KvPages pages(kLayout);
  PagedState state(pages, kLanes);
  for (const Lane lane : {Lane::audio, Lane::vision, Lane::audio}) {
    state.reserve(arena, lane, 10);
    state.advance(lane, 10);
  }
  try {
    state.slide(10, 30, {});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::unsupported);
  }
  EXPECT_EQ(state.length(), 30);
  state.slide(10, 20, {});
  EXPECT_EQ(state.length(), 20);
}

TEST(PagedState, WithoutRoomNothingChanges) {
  Arena arena;
  KvPages pages(kLayout, 8 * kLayout.page_bytes());
  PagedState state(pages, kLanes);
  state.reserve(arena, Lane::text, 3 * ops::kPageRows);
  state.advance(Lane::text, 3 * ops::kPageRows);
  EXPECT_THROW(state.reserve(arena, Lane::audio, 6 * ops::kPageRows), Error);
  EXPECT_EQ(pages.n_taken(), 3);
  state.reserve(arena, Lane::audio, 5 * ops::kPageRows);
  EXPECT_EQ(pages.n_taken(), 8);
}

}  // namespace
}  // namespace omni
