// Which questions are asked when, without a model.
#include "session/turns.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

constexpr Nanoseconds kChunk = 2 * kSecond;

SessionSettings with(Trigger trigger) {
  SessionSettings s;
  s.trigger = trigger;
  s.interval = 6 * kSecond;
  s.prompt = "Describe.";
  s.spatial_prompt = "Detect.";
  return s;
}

// Spans of the questions that n whole chunks and the end bring.
std::vector<TimeSpan> asked(const SessionSettings& s, int n, Nanoseconds start = 0) {
  Turns turns(kChunk);
  std::vector<TimeSpan> out;
  const auto take = [&](const Turns::Due& due) {
    for (const Turn& t : due.turns) out.push_back(t.span);
  };
  for (int i = 0; i < n; ++i) take(turns.chunk_entered({start + i * kChunk, kChunk}, s));
  take(turns.media_ended(s));
  take(turns.media_ended(s));
  return out;
}

const auto kNeverWaits = [](const Turns::Waiting&) { return false; };

TEST(Turns, ACaptionForEveryChunk) {
  EXPECT_EQ(asked(with(Trigger::chunk), 2), (std::vector<TimeSpan>{{0, kChunk}, {kChunk, kChunk}}));
}

TEST(Turns, TheIntervalAsksNowAndThenAndForTheRest) {
  EXPECT_EQ(asked(with(Trigger::interval), 8),
            (std::vector<TimeSpan>{
                {0, 6 * kSecond}, {6 * kSecond, 6 * kSecond}, {12 * kSecond, 4 * kSecond}}));
  EXPECT_EQ(asked(with(Trigger::interval), 3), (std::vector<TimeSpan>{{0, 6 * kSecond}}))
      << "nothing is left over";
}

TEST(Turns, TheEndAsksOnceForAll) {
  EXPECT_EQ(asked(with(Trigger::eos), 3, 10 * kSecond),
            (std::vector<TimeSpan>{{10 * kSecond, 6 * kSecond}}));
  EXPECT_TRUE(asked(with(Trigger::eos), 0).empty()) << "there was nothing to see";
}

TEST(Turns, AfterAResetTheEndIsOwedAgain) {
  Turns turns(kChunk);
  for (int i = 0; i < 2; ++i) {
    turns.chunk_entered({10 * kSecond, kChunk}, with(Trigger::eos));
    const auto due = turns.media_ended(with(Trigger::eos));
    ASSERT_EQ(due.turns.size(), 1u) << i;
    EXPECT_EQ(due.turns[0].span, (TimeSpan{10 * kSecond, kChunk}));
    turns.forget_media();
    EXPECT_EQ(turns.media_end(), 0);
  }
}

TEST(Turns, OtherTriggersAskNothingAndSayThatTimeGoesOn) {
  for (const Trigger trigger : {Trigger::prompt, Trigger::manual}) {
    EXPECT_TRUE(asked(with(trigger), 3).empty());
    Turns turns(kChunk);
    turns.chunk_entered({0, kChunk}, with(trigger));
    const auto due = turns.chunk_entered({kChunk, kChunk}, with(trigger));
    EXPECT_EQ(due.silent_until, kChunk) << "a question may still be about this chunk";
  }
}

TEST(Turns, WhileTextWaitsObjectsDoNot) {
  for (const Trigger trigger : {Trigger::interval, Trigger::eos}) {
    Turns turns(kChunk);
    turns.chunk_entered({0, kChunk}, with(trigger));
    const auto due = turns.chunk_entered({kChunk, kChunk}, with(trigger));
    EXPECT_TRUE(due.turns.empty());
    EXPECT_EQ(due.silent_until, kChunk);
    EXPECT_TRUE(due.text_waits);
  }
}

TEST(Turns, ThePaddingOfAnEncoderIsNotWorthACaption) {
  Turns turns(kChunk);
  EXPECT_EQ(turns.chunk_entered({0, kSecond / 5}, with(Trigger::chunk)).turns.size(), 1u);
  const auto due = turns.chunk_entered({kChunk, kSecond / 5 - 1}, with(Trigger::chunk));
  EXPECT_TRUE(due.turns.empty());
  EXPECT_EQ(due.silent_until, kChunk + kSecond / 5 - 1);
}

TEST(Turns, WhoWantsWhatIsAskedIt) {
  const auto audiences = [](bool text, bool objects) {
    SessionSettings s = with(Trigger::chunk);
    s.wants_text = text;
    s.wants_objects = objects;
    std::vector<std::string> out;
    for (const Turn& t : Turns(kChunk).chunk_entered({0, kChunk}, s).turns)
      out.push_back(t.question.text);
    return out;
  };
  EXPECT_EQ(audiences(true, false), (std::vector<std::string>{"Describe."}));
  EXPECT_EQ(audiences(false, true), (std::vector<std::string>{"Detect."}));
  EXPECT_EQ(audiences(true, true), (std::vector<std::string>{"Describe.", "Detect."}));
  EXPECT_EQ(audiences(false, false), (std::vector<std::string>{"Describe."})) << "as a message";
}

TEST(Turns, AQuestionWaitsForItsMedia) {
  Turns turns(kChunk);
  const TurnId later = turns.add({"At 3 s?"}, 3 * kSecond, 0), now = turns.add({"Now?"}, 0, 0);
  auto turn = turns.take_due(false, kNeverWaits);
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->id, now) << "one that waits holds no other up";
  EXPECT_FALSE(turns.take_due(false, kNeverWaits));
  turns.chunk_entered({0, kChunk}, with(Trigger::manual));
  EXPECT_FALSE(turns.take_due(false, kNeverWaits));
  turns.chunk_entered({kChunk, kChunk}, with(Trigger::manual));
  turn = turns.take_due(false, kNeverWaits);
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->id, later);
  EXPECT_EQ(turn->span, (TimeSpan{3 * kSecond, kChunk})) << "not before its own time";
  turns.add({"Now?"}, 0, 0);
  EXPECT_EQ(turns.take_due(false, kNeverWaits)->span, (TimeSpan{kChunk, kChunk}))
      << "about the last chunk";
  turns.add({"At 9 s?"}, 9 * kSecond, 0);
  EXPECT_TRUE(turns.take_due(true, kNeverWaits)) << "live, or at the end, it does not wait";
}

TEST(Turns, AQuestionIsAboutAllThatWasPutBeforeIt) {
  Turns turns(kChunk);
  turns.add({"And?"}, 0, 7);
  EXPECT_FALSE(turns.take_due(false, [](const Turns::Waiting& w) { return w.after >= 7; }));
  EXPECT_TRUE(turns.take_due(false, [](const Turns::Waiting& w) { return w.after > 7; }));
}

TEST(Turns, QuestionsAreBoundedAndTheOldestIsRefused) {
  Turns turns(kChunk);
  while (!turns.is_full()) turns.add({"?"}, 0, 0);
  EXPECT_EQ(turns.refuse_oldest().id, 1u);
  EXPECT_FALSE(turns.is_full());
  EXPECT_EQ(turns.take_due(true, kNeverWaits)->id, 2u);
}

TEST(Turns, WhatIsOverdueIsNotAskedWhereNewerMediaAreThere) {
  SessionSettings s = with(Trigger::chunk);
  s.promise = 3 * kSecond;
  const Turn turn = Turns(kChunk).chunk_entered({10 * kSecond, kChunk}, s).turns.at(0);
  const auto live_at = [](Nanoseconds now) { return ClockReading{true, now}; };
  EXPECT_FALSE(is_overdue(turn, s, live_at(13 * kSecond), true));
  EXPECT_TRUE(is_overdue(turn, s, live_at(13 * kSecond + 1), true));
  EXPECT_FALSE(is_overdue(turn, s, live_at(99 * kSecond), false)) << "better late than never";
  EXPECT_FALSE(is_overdue(turn, s, {false, 99 * kSecond}, true)) << "a file has time";
  EXPECT_FALSE(is_overdue(turn, s, {true, std::nullopt}, true)) << "no clock yet";
  Turn users = turn;
  users.standing = false;
  EXPECT_FALSE(is_overdue(users, s, live_at(99 * kSecond), true)) << "somebody waits for it";
  s.promise.reset();
  EXPECT_FALSE(is_overdue(turn, s, live_at(99 * kSecond), true)) << "nothing was promised";
}

}  // namespace
}  // namespace omni
