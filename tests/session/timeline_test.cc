#include "session/timeline.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

Segment segment(Modality m, double start, double duration) {
  Segment s;
  s.modality = m;
  s.n_tokens = 1;
  s.start = Nanoseconds(start * 1e9);
  s.duration = Nanoseconds(duration * 1e9);
  return s;
}

std::vector<size_t> sizes(Timeline& t, bool wait = true) {
  std::vector<size_t> out;
  while (auto c = t.next(wait)) out.push_back(c->segments.size());
  return out;
}

TEST(Timeline, ChunksWaitForBothTracksAndPutVideoFirst) {
  Timeline t({true, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 2));
  EXPECT_FALSE(t.next(true));
  t.append(segment(Modality::video, 0, 1));
  EXPECT_FALSE(t.next(true));
  t.append(segment(Modality::video, 1, 1));
  const auto c = t.next(true);
  ASSERT_TRUE(c);
  ASSERT_EQ(c->segments.size(), 3u);
  EXPECT_EQ(c->segments[0].modality, Modality::video);
  EXPECT_EQ(c->segments[2].modality, Modality::audio);
  EXPECT_EQ(c->span.duration, 2 * kSecond);
}

TEST(Timeline, OneTrackEndsEarlier) {
  Timeline t({true, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 1.2));
  t.end(Modality::audio);
  for (int i = 0; i < 4; ++i) t.append(segment(Modality::video, i, 1));
  EXPECT_EQ(sizes(t), (std::vector<size_t>{3, 2}));
}

TEST(Timeline, AStalledTrackHoldsAFileUpButNotALiveStream) {
  Timeline file({true, true}, 2 * kSecond), live({true, true}, 2 * kSecond);
  for (Timeline* t : {&file, &live}) {
    t->append(segment(Modality::video, 0, 1));
    for (int i = 0; i < 5; ++i) t->append(segment(Modality::audio, 2 * i, 2));
  }
  EXPECT_TRUE(sizes(file, true).empty());
  EXPECT_EQ(sizes(live, false), (std::vector<size_t>{2, 1, 1, 1}));
  live.append(segment(Modality::video, 1, 1));
  EXPECT_EQ(live.n_late(), 1);
}

TEST(Timeline, LiveGoesOnWithoutATrackThatNeverComes) {
  Timeline file({true, true}, 2 * kSecond), live({true, true}, 2 * kSecond);
  std::vector<size_t> n;
  for (int i = 0; i < 4; ++i) {
    for (Timeline* t : {&file, &live}) t->append(segment(Modality::audio, 2 * i, 2));
    EXPECT_TRUE(sizes(file, true).empty());
    n.push_back(sizes(live, false).size());
  }
  EXPECT_EQ(n, (std::vector<size_t>{0, 1, 1, 1})) << "from a chunk ahead on";
}

TEST(Timeline, AChunkIsFullThatEndsALittleEarly) {
  for (const auto& [duration, full] :
       std::vector<std::pair<double, bool>>{{2, true}, {1.98, true}, {1.979, false}}) {
    Timeline t({false, true}, 2 * kSecond);
    t.append(segment(Modality::audio, 0, duration));
    EXPECT_EQ(t.next_is_complete(true), full) << duration;
  }
}

TEST(Timeline, ALongPauseSkipsEmptyChunks) {
  Timeline t({false, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 2));
  EXPECT_EQ(sizes(t).size(), 1u);
  t.append(segment(Modality::audio, 100, 2));
  const auto c = t.next(true);
  ASSERT_TRUE(c);
  EXPECT_EQ(c->span.start, 100 * kSecond);
}

TEST(Timeline, TimeStampsMayBeRounded) {
  Timeline t({true, true}, 2 * kSecond);
  for (int i = 0; i < 50; ++i) {
    t.append(segment(Modality::audio, 2 * i + 0.003, 2));
    t.append(segment(Modality::video, 2 * i - (i ? 0.004 : 0), 1));
    t.append(segment(Modality::video, 2 * i + 0.999, 1));
  }
  t.end(Modality::audio);
  t.end(Modality::video);
  EXPECT_EQ(sizes(t), std::vector<size_t>(50, 3));
}

// A stamp that is rounded below the beginning of the next chunk is not late, one that is further
// behind is.
TEST(Timeline, LateIsWhatIsMoreThanRounding) {
  for (const auto& [start, n_late] :
       std::vector<std::pair<double, int64_t>>{{2, 0}, {1.981, 0}, {1.98, 0}, {1.979, 1}, {0, 1}}) {
    Timeline t({true, false}, 2 * kSecond);
    for (const double at : {0., 1.}) t.append(segment(Modality::video, at, 1));
    EXPECT_EQ(sizes(t), std::vector<size_t>{2});
    t.append(segment(Modality::video, start, 1));
    EXPECT_EQ(t.n_late(), n_late) << start;
    t.append(segment(Modality::video, 3, 1));
    EXPECT_EQ(sizes(t), std::vector<size_t>{2 - size_t(n_late)}) << start;
  }
}

TEST(Timeline, TheLastChunkEndsWithItsLastSegment) {
  for (const auto& [duration, chunk] : std::vector<std::pair<double, double>>{
           {0.5, 0.5}, {1.5, 1.5}, {1.979, 1.979}, {1.98, 2}, {2, 2}}) {
    Timeline t({false, true}, 2 * kSecond);
    t.append(segment(Modality::audio, 0, 2));
    t.append(segment(Modality::audio, 2, duration));
    t.end(Modality::audio);
    EXPECT_EQ(t.next(true)->span, (TimeSpan{0, 2 * kSecond}));
    EXPECT_EQ(t.next(true)->span, (TimeSpan{2 * kSecond, Nanoseconds(chunk * 1e9)})) << duration;
  }
}

// Media enter as they come, in the order in which a complete chunk has them.
TEST(Timeline, EarlySegmentsKeepTheOrderOfTheChunk) {
  Timeline t({true, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 2));
  EXPECT_FALSE(t.early(true)) << "where chunks begin is not known yet";
  t.append(segment(Modality::video, 0, 1));
  auto e = t.early(true);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->segment.modality, Modality::video);
  EXPECT_EQ(e->chunk, (TimeSpan{0, 2 * kSecond}));
  EXPECT_FALSE(t.early(true)) << "audio comes behind all video of its chunk";
  EXPECT_FALSE(t.next(true));
  t.append(segment(Modality::video, 1, 1));
  t.append(segment(Modality::video, 2, 1));
  const auto c = t.next(true);
  ASSERT_TRUE(c);
  EXPECT_EQ(c->segments.size(), 2u) << "what had not entered";
  EXPECT_EQ(c->segments[0].start, kSecond);
  EXPECT_EQ(c->segments[1].modality, Modality::audio);
  e = t.early(true);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->chunk.start, 2 * kSecond);
  t.end(Modality::video);
  t.end(Modality::audio);
  const auto last = t.next(true);
  ASSERT_TRUE(last) << "though all of it had entered";
  EXPECT_TRUE(last->segments.empty());
  EXPECT_EQ(last->span, (TimeSpan{2 * kSecond, kSecond}));
  EXPECT_FALSE(t.next(true));
}

TEST(Timeline, AudioIsEarlyWhereTheVideoOfTheChunkIsComplete) {
  Timeline t({true, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 0.5));
  t.append(segment(Modality::video, 0, 2));
  EXPECT_EQ(t.early(true)->segment.modality, Modality::video);
  EXPECT_EQ(t.early(true)->segment.modality, Modality::audio);
  EXPECT_FALSE(t.early(true));
  t.append(segment(Modality::audio, 0.5, 0.5));
  EXPECT_TRUE(t.early(true));
  EXPECT_FALSE(t.next_is_complete(true));
  t.append(segment(Modality::audio, 1, 1));
  EXPECT_TRUE(t.next_is_complete(true));
  EXPECT_EQ(sizes(t), std::vector<size_t>{1});
}

// --- tracks that bring nothing

constexpr Tracks kAudio{false, true}, kVideo{true, false}, kBoth{true, true};

TEST(Timeline, AChunkKnowsWhatItHas) {
  Timeline t({true, true}, 2 * kSecond);
  Segment nothing = segment(Modality::video, 4, 2);
  nothing.n_tokens = 0;
  for (int i = 0; i < 3; ++i) t.append(segment(Modality::audio, 2 * i, 2));
  t.append(segment(Modality::video, 0, 2));
  EXPECT_EQ(t.early(true)->segment.modality, Modality::video);
  t.append(nothing);
  EXPECT_EQ(t.next(true)->tracks, kBoth) << "what entered early counts";
  EXPECT_EQ(t.next(true)->tracks, kAudio);
  const auto last = t.next(true);
  EXPECT_EQ(last->tracks, kAudio) << "time that has passed is no picture";
  EXPECT_EQ(last->segments.size(), 2u);
}

TEST(Timeline, SaysWhichTracksHoldItUp) {
  Timeline t({true, true}, 2 * kSecond);
  EXPECT_FALSE(t.held_up()) << "nothing has come";
  t.append(segment(Modality::video, 10, 1));
  ASSERT_TRUE(t.held_up());
  EXPECT_EQ(t.held_up()->by, kAudio);
  EXPECT_EQ(t.held_up()->begin, 10 * kSecond);
  t.append(segment(Modality::audio, 10, 1));
  EXPECT_FALSE(t.held_up()) << "both have begun: they are slow, not silent";
  t.append(segment(Modality::video, 11, 1));
  t.append(segment(Modality::audio, 11, 1));
  t.append(segment(Modality::audio, 12, 6));
  EXPECT_TRUE(t.next(true));
  ASSERT_TRUE(t.held_up());
  EXPECT_EQ(t.held_up()->by, kVideo);
  EXPECT_EQ(t.held_up()->begin, 12 * kSecond);
  t.end(Modality::video);
  EXPECT_FALSE(t.held_up()) << "nobody waits for what has ended";
}

TEST(Timeline, HeldUpBehindAPauseAndWithWhatEnteredEarly) {
  Timeline t({true, true}, 2 * kSecond);
  for (const Modality m : {Modality::video, Modality::audio}) t.append(segment(m, 0, 2));
  EXPECT_TRUE(t.next(true));
  t.append(segment(Modality::video, 101, 1));
  EXPECT_EQ(t.held_up()->begin, 100 * kSecond) << "where the chunk lies";
  Timeline early({true, true}, 2 * kSecond);
  for (const Modality m : {Modality::video, Modality::audio}) early.append(segment(m, 0, 2));
  EXPECT_TRUE(early.next(true));
  early.append(segment(Modality::video, 2, 2));
  EXPECT_TRUE(early.early(true));
  ASSERT_TRUE(early.held_up());
  EXPECT_EQ(early.held_up()->begin, 2 * kSecond);
  EXPECT_EQ(early.held_up()->by, kAudio);
}

TEST(Timeline, ASilentTrackIsNotWaitedForUntilItGoesOnInTime) {
  Timeline t({true, true}, 2 * kSecond);
  for (int i = 0; i < 4; ++i) t.append(segment(Modality::video, i, 1));
  EXPECT_TRUE(sizes(t).empty());
  t.set_silent(kAudio);
  EXPECT_FALSE(t.held_up());
  EXPECT_EQ(sizes(t), (std::vector<size_t>{2, 2}));
  t.append(segment(Modality::audio, 0, 2));
  EXPECT_EQ(t.n_late(), 1);
  EXPECT_EQ(t.silent(), kAudio) << "what comes too late is still not waited for";
  t.append(segment(Modality::video, 4, 2));
  EXPECT_EQ(sizes(t), (std::vector<size_t>{1}));
  t.append(segment(Modality::audio, 6, 1));
  EXPECT_EQ(t.silent(), Tracks{});
  t.append(segment(Modality::video, 6, 2));
  EXPECT_TRUE(sizes(t).empty()) << "the rest of its chunk is";
  t.append(segment(Modality::audio, 7, 1));
  EXPECT_EQ(sizes(t), (std::vector<size_t>{3}));
}

// What chunks there are does not depend on whether their segments entered early.
TEST(Timeline, EarlyChangesNoChunk) {
  for (const bool wait : {true, false}) {
    Timeline whole({true, true}, 2 * kSecond), early({true, true}, 2 * kSecond);
    std::vector<TimeSpan> a, b;
    const auto run = [&](Timeline& t, std::vector<TimeSpan>& spans, bool enters_early) {
      const auto take = [&] {
        while (const auto c = t.next(wait)) spans.push_back(c->span);
        while (enters_early && t.early(wait)) {
        }
      };
      for (int i = 0; i < 12; ++i) {
        if (i < 5 || i > 8) t.append(segment(Modality::video, i + (i > 8 ? 40 : 0), 1));
        take();
        if (i % 2 && (i < 3 || i > 8))
          t.append(segment(Modality::audio, i - 1 + (i > 8 ? 40 : 0), 2));
        take();
      }
      t.end(Modality::video);
      t.end(Modality::audio);
      take();
    };
    run(whole, a, false);
    run(early, b, true);
    EXPECT_EQ(a, b);
    EXPECT_GT(a.size(), 3u);
    EXPECT_EQ(whole.n_late(), early.n_late());
  }
}

// Spans of the chunks that are there, in seconds.
std::vector<std::pair<double, double>> spans(Timeline& t, bool wait = true) {
  std::vector<std::pair<double, double>> out;
  while (auto c = t.next(wait))
    out.emplace_back(double(c->span.start) / 1e9, double(c->span.end()) / 1e9);
  return out;
}

TEST(Timeline, ACutEndsAChunkAndBeginsTheNext) {
  Timeline t({false, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 2));
  t.append(segment(Modality::audio, 2, 0.7));
  t.cut(Nanoseconds(2.7e9));
  EXPECT_EQ(spans(t), (std::vector<std::pair<double, double>>{{0, 2}, {2, 2.7}}));
  t.append(segment(Modality::audio, 2.7, 2));
  t.append(segment(Modality::audio, 4.7, 2));
  EXPECT_EQ(spans(t), (std::vector<std::pair<double, double>>{{2.7, 4.7}, {4.7, 6.7}}));
}

TEST(Timeline, ACutWaitsForTheOtherTracksOfAFileOnly) {
  Timeline file({true, true}, 2 * kSecond), live({true, true}, 2 * kSecond);
  for (Timeline* t : {&file, &live}) {
    t->append(segment(Modality::video, 0, 1));
    t->append(segment(Modality::audio, 0, 1.5));
    t->cut(Nanoseconds(1.5e9));
  }
  EXPECT_TRUE(spans(file, true).empty());
  EXPECT_EQ(spans(live, false), (std::vector<std::pair<double, double>>{{0, 1.5}}));
  for (Timeline* t : {&file, &live}) {
    t->append(segment(Modality::video, 1, 1));
    t->append(segment(Modality::video, 2, 1));
    t->append(segment(Modality::video, 3, 1));
    t->append(segment(Modality::audio, 1.5, 2));
  }
  EXPECT_EQ(spans(file, true), (std::vector<std::pair<double, double>>{{0, 1.5}, {1.5, 3.5}}));
  EXPECT_EQ(sizes(live, false), std::vector<size_t>{4}) << "what came later is in the next";
  EXPECT_EQ(live.n_late(), 0);
  live.append(segment(Modality::video, 1.2, 1));
  EXPECT_EQ(live.n_late(), 1) << "not for ever";
}

TEST(Timeline, ACutInAChunkThatHasGoneOrJustBegunIsNone) {
  Timeline t({false, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 2));
  EXPECT_EQ(spans(t).size(), 1u);
  t.cut(Nanoseconds(1.5e9));
  t.cut(Nanoseconds(2.05e9));
  t.append(segment(Modality::audio, 2, 2));
  EXPECT_EQ(spans(t), (std::vector<std::pair<double, double>>{{2, 4}}));
}

TEST(Timeline, CutsBehindAPauseHold) {
  Timeline t({false, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 1));
  t.cut(kSecond);
  t.cut(11 * kSecond);
  t.append(segment(Modality::audio, 10, 1));
  t.append(segment(Modality::audio, 11, 2));
  EXPECT_EQ(spans(t), (std::vector<std::pair<double, double>>{{0, 1}, {9, 11}, {11, 13}}));
}

TEST(Timeline, WhatEarlyGaveEndsWithTheCut) {
  Timeline t({false, true}, 2 * kSecond);
  t.append(segment(Modality::audio, 0, 1));
  ASSERT_TRUE(t.early(true));
  t.append(segment(Modality::audio, 1, 0.5));
  t.cut(Nanoseconds(1.5e9));
  EXPECT_EQ(spans(t), (std::vector<std::pair<double, double>>{{0, 1.5}}));
}

}  // namespace
}  // namespace omni
