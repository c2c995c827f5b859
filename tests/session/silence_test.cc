// Tracks that bring nothing, step by step; no clock but the argument.
#include "session/silence.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

constexpr Tracks kVideo{true, false}, kAudio{false, true}, kNone, kBoth{true, true};

TEST(Silence, PatienceBeginsWhereEverythingStandsStill) {
  Silence s;
  EXPECT_EQ(s.stands_still(100, 50), 50);
  EXPECT_EQ(s.stands_still(130, 50), 20);
  EXPECT_EQ(s.stands_still(150, 50), 0);
  s.moves();
  EXPECT_EQ(s.stands_still(1000, 50), 50);
  s.give_up(kAudio, 0);
  EXPECT_EQ(s.stands_still(2000, 50), 50) << "the next has its own";
}

TEST(Silence, IsToldOnceWhenItHasLasted) {
  Silence s;
  s.give_up(kAudio, 4 * kSecond);
  EXPECT_EQ(s.to_be_told(14 * kSecond - 1), kNone);
  EXPECT_EQ(s.to_be_told(14 * kSecond), kAudio);
  EXPECT_EQ(s.to_be_told(std::nullopt), kNone) << "once";
  s.give_up(kVideo, 20 * kSecond);
  EXPECT_EQ(s.to_be_told(std::nullopt), kVideo) << "however short";
}

TEST(Silence, OfWhatGoesOnInTimeNobodyIsTold) {
  Silence s;
  s.give_up(kBoth, 0);
  s.set_silent(kAudio);
  EXPECT_EQ(s.to_be_told(std::nullopt), kAudio);
  s.set_silent(kNone);
  s.give_up(kAudio, 60 * kSecond);
  EXPECT_EQ(s.to_be_told(60 * kSecond), kNone) << "a new silence lasts anew";
  EXPECT_EQ(s.to_be_told(70 * kSecond), kAudio);
}

}  // namespace
}  // namespace omni
