// What waits for a session's thread: bounded, in the order of time.
#include "session/inbox.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

Segment segment(Modality m, double start, double duration = 1) {
  Segment s;
  s.modality = m;
  s.n_tokens = 1;
  s.start = Nanoseconds(start * 1e9);
  s.duration = Nanoseconds(duration * 1e9);
  return s;
}

Admission put(Inbox& inbox, Segment s, bool live = false) { return inbox.put(s, live); }

Inbox with_both_tracks(size_t most = 4) {
  Inbox inbox(most, 8 * kSecond);
  inbox.set_tracks(true, true);
  return inbox;
}

TEST(Inbox, InTheOrderOfTime) {
  Inbox inbox = with_both_tracks();
  put(inbox, segment(Modality::audio, 0, 2));
  put(inbox, segment(Modality::audio, 2, 2));
  put(inbox, segment(Modality::video, 1));
  EXPECT_EQ(inbox.take(false)->start, 0);
  EXPECT_EQ(inbox.take(false)->start, kSecond);
  EXPECT_EQ(inbox.take(false)->start, 2 * kSecond);
  EXPECT_FALSE(inbox.take(false));
}

TEST(Inbox, AFileWaitsALiveStreamLosesTheOldest) {
  Inbox inbox = with_both_tracks(2);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(put(inbox, segment(Modality::video, i)).accepted);
  Segment third = segment(Modality::video, 2);
  third.embeddings = {1, 2, 3};
  EXPECT_FALSE(inbox.put(third, false).accepted);
  EXPECT_EQ(third.embeddings.size(), 3u) << "what is refused stays as it was";
  const Admission admission = inbox.put(third, true);
  EXPECT_TRUE(admission.accepted);
  EXPECT_EQ(admission.dropped, (TimeSpan{0, kSecond}));
  EXPECT_EQ(inbox.n_dropped(), 1u);
  EXPECT_EQ(inbox.n_waiting(), 2u);
  EXPECT_TRUE(put(inbox, segment(Modality::audio, 0)).accepted) << "the other track has room";
  EXPECT_EQ(inbox.take(true)->modality, Modality::audio);
  EXPECT_EQ(inbox.take(true)->start, kSecond);
}

TEST(Inbox, OneTrackDoesNotRunAheadOfTheOther) {
  Inbox inbox = with_both_tracks(100);
  for (int i = 0; i < 20; ++i) put(inbox, segment(Modality::video, i));
  int n = 0;
  while (inbox.take(false)) ++n;
  EXPECT_EQ(n, 9) << "up to 8 s ahead of a track that has not begun";
  EXPECT_TRUE(inbox.take(true)) << "live, it does";
  inbox.end(Modality::audio);
  EXPECT_TRUE(inbox.take(false)) << "nor does it wait for one that has ended";
}

TEST(Inbox, ATrackEndsWhenItsLastSegmentIsTaken) {
  Inbox inbox = with_both_tracks();
  inbox.end(Modality::audio);
  put(inbox, segment(Modality::video, 0));
  inbox.end(Modality::video);
  EXPECT_TRUE(inbox.has_ended(Modality::audio));
  EXPECT_FALSE(inbox.has_ended());
  inbox.take(false);
  EXPECT_TRUE(inbox.has_ended());
  inbox.begin(Modality::video);
  EXPECT_FALSE(inbox.has_ended());
}

constexpr Tracks kVideo{true, false}, kAudio{false, true};

TEST(Inbox, HeldUpByATrackThatBringsNothing) {
  Inbox inbox = with_both_tracks(3);
  for (int i = 0; i < 12; ++i) {
    EXPECT_FALSE(inbox.is_held_up_by(kAudio)) << i << " there is room";
    EXPECT_TRUE(put(inbox, segment(Modality::video, i)).accepted);
    if (i < 9) inbox.take(false);
  }
  EXPECT_FALSE(put(inbox, segment(Modality::video, 12)).accepted) << "bounded";
  EXPECT_FALSE(inbox.take(false));
  EXPECT_TRUE(inbox.is_held_up_by(kAudio));
  EXPECT_FALSE(inbox.is_held_up_by(kVideo));
  EXPECT_TRUE(inbox.has_begun(kVideo));
  EXPECT_FALSE(inbox.has_begun(kAudio));
  EXPECT_FALSE(inbox.has_begun({true, true}));
  inbox.begin(Modality::audio);
  EXPECT_TRUE(inbox.has_begun(kAudio));
  inbox.set_silent(kAudio);
  EXPECT_TRUE(inbox.take(false)) << "it is not waited for";
  EXPECT_FALSE(inbox.is_held_up_by(kAudio));
  inbox.end(Modality::video);
  EXPECT_TRUE(inbox.is_held_up_by(kAudio)) << "nothing but its end can come";
  while (inbox.take(false)) {
  }
  EXPECT_TRUE(inbox.has_ended()) << "nor is its end";
  inbox.set_silent({});
  EXPECT_FALSE(inbox.has_ended());
  inbox.clear();
  EXPECT_TRUE(inbox.has_begun(kAudio)) << "a flush does not end a stream";
}

TEST(Inbox, TimeWithoutAnythingTakesTheRoomOfOneSegment) {
  Inbox inbox = with_both_tracks(2);
  Segment nothing = segment(Modality::audio, 0);
  nothing.n_tokens = 0;
  for (int i = 0; i < 100; ++i) {
    nothing.start = i * kSecond / 10;
    nothing.duration = kSecond / 10;
    EXPECT_TRUE(put(inbox, nothing).accepted);
  }
  EXPECT_TRUE(put(inbox, segment(Modality::audio, 10)).accepted);
  EXPECT_EQ(inbox.n_waiting(), 2u);
  const auto first = inbox.take(false);
  EXPECT_EQ(first->start, 0);
  EXPECT_EQ(first->duration, 10 * kSecond);
}

TEST(Inbox, WhatWasPutBefore) {
  Inbox inbox = with_both_tracks();
  put(inbox, segment(Modality::video, 0));
  const uint64_t question = inbox.n_put();
  put(inbox, segment(Modality::video, 1));
  EXPECT_TRUE(inbox.has_of_first(question, false));
  inbox.take(false);
  EXPECT_FALSE(inbox.has_of_first(question, false));
  EXPECT_TRUE(inbox.has_of_first(inbox.n_put(), false));
  inbox.clear();
  EXPECT_FALSE(inbox.has_of_first(inbox.n_put(), false));
  EXPECT_TRUE(inbox.has_tracks()) << "they come again";
}

}  // namespace
}  // namespace omni
