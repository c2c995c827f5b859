#include "session/timeline.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

Segment segment(Modality m, double start, double duration) {
  Segment s;
  s.modality = m;
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

}  // namespace
}  // namespace omni
