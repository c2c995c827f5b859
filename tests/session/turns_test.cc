// Which questions are asked when, without a model.
#include "session/turns.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

constexpr Nanoseconds kChunk = 2 * kSecond;
constexpr Tracks kBoth{true, true};

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
  for (int i = 0; i < n; ++i) take(turns.chunk_entered({start + i * kChunk, kChunk}, kBoth, s));
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
    turns.chunk_entered({10 * kSecond, kChunk}, kBoth, with(Trigger::eos));
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
    turns.chunk_entered({0, kChunk}, kBoth, with(trigger));
    const auto due = turns.chunk_entered({kChunk, kChunk}, kBoth, with(trigger));
    EXPECT_EQ(due.silent_until, kChunk) << "a question may still be about this chunk";
  }
}

TEST(Turns, WhileTextWaitsObjectsDoNot) {
  for (const Trigger trigger : {Trigger::interval, Trigger::eos}) {
    Turns turns(kChunk);
    turns.chunk_entered({0, kChunk}, kBoth, with(trigger));
    const auto due = turns.chunk_entered({kChunk, kChunk}, kBoth, with(trigger));
    EXPECT_TRUE(due.turns.empty());
    EXPECT_EQ(due.silent_until, kChunk);
    EXPECT_TRUE(due.text_waits);
  }
}

TEST(Turns, ThePaddingOfAnEncoderIsNotWorthACaption) {
  Turns turns(kChunk);
  EXPECT_EQ(turns.chunk_entered({0, kSecond / 5}, kBoth, with(Trigger::chunk)).turns.size(), 1u);
  const auto due = turns.chunk_entered({kChunk, kSecond / 5 - 1}, kBoth, with(Trigger::chunk));
  EXPECT_TRUE(due.turns.empty());
  EXPECT_EQ(due.silent_until, kChunk + kSecond / 5 - 1);
}

TEST(Turns, WhoWantsWhatIsAskedIt) {
  const auto audiences = [](bool text, bool objects) {
    SessionSettings s = with(Trigger::chunk);
    s.wants_text = text;
    s.wants_objects = objects;
    std::vector<std::string> out;
    for (const Turn& t : Turns(kChunk).chunk_entered({0, kChunk}, kBoth, s).turns)
      out.push_back(t.question.text);
    return out;
  };
  EXPECT_EQ(audiences(true, false), (std::vector<std::string>{"Describe."}));
  EXPECT_EQ(audiences(false, true), (std::vector<std::string>{"Detect."}));
  EXPECT_EQ(audiences(true, true), (std::vector<std::string>{"Describe.", "Detect."}));
  EXPECT_EQ(audiences(false, false), (std::vector<std::string>{"Describe."})) << "as a message";
}

TEST(Turns, AboutNothingNothingIsAsked) {
  constexpr Tracks kAudio{false, true}, kNone;
  SessionSettings s = with(Trigger::chunk);
  s.wants_objects = true;
  Turns turns(kChunk);
  const auto nothing = turns.chunk_entered({0, kChunk}, kNone, s);
  EXPECT_TRUE(nothing.turns.empty());
  EXPECT_EQ(nothing.silent_until, kChunk) << "time goes on all the same";
  EXPECT_FALSE(nothing.text_waits);
  const auto sound = turns.chunk_entered({kChunk, kChunk}, kAudio, s);
  ASSERT_EQ(sound.turns.size(), 1u);
  EXPECT_EQ(sound.turns[0].question.text, "Describe.");
  EXPECT_EQ(sound.no_objects_until, 2 * kChunk);
  EXPECT_FALSE(sound.silent_until);
  s.wants_text = false;
  EXPECT_EQ(turns.chunk_entered({2 * kChunk, kChunk}, kAudio, s).silent_until, 3 * kChunk);
  EXPECT_FALSE(turns.chunk_entered({3 * kChunk, kChunk}, kBoth, s).silent_until);
}

TEST(Turns, AnIntervalIsAboutAllThatCameInIt) {
  constexpr Tracks kNone, kVideo{true, false};
  SessionSettings s = with(Trigger::interval);
  s.wants_objects = true;
  Turns turns(kChunk);
  turns.chunk_entered({0, kChunk}, kVideo, s);
  turns.chunk_entered({kChunk, kChunk}, kNone, s);
  EXPECT_EQ(turns.chunk_entered({2 * kChunk, kChunk}, kNone, s).turns.size(), 2u);
  for (int i = 3; i < 5; ++i) turns.chunk_entered({i * kChunk, kChunk}, kNone, s);
  const auto empty = turns.chunk_entered({5 * kChunk, kChunk}, kNone, s);
  EXPECT_TRUE(empty.turns.empty());
  EXPECT_EQ(empty.silent_until, 6 * kChunk);
  turns.chunk_entered({6 * kChunk, kChunk}, kVideo, s);
  const auto rest = turns.media_ended(s);
  ASSERT_EQ(rest.turns.size(), 2u);
  EXPECT_EQ(rest.turns[0].span, (TimeSpan{6 * kChunk, kChunk}));
}

TEST(Turns, AQuestionWaitsForItsMedia) {
  Turns turns(kChunk);
  const TurnId later = turns.add({"At 3 s?"}, 3 * kSecond, 0), now = turns.add({"Now?"}, 0, 0);
  auto turn = turns.take_due(false, kNeverWaits);
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->id, now) << "one that waits holds no other up";
  EXPECT_FALSE(turns.take_due(false, kNeverWaits));
  turns.chunk_entered({0, kChunk}, kBoth, with(Trigger::manual));
  EXPECT_FALSE(turns.take_due(false, kNeverWaits));
  turns.chunk_entered({kChunk, kChunk}, kBoth, with(Trigger::manual));
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
  const Turn turn = Turns(kChunk).chunk_entered({10 * kSecond, kChunk}, kBoth, s).turns.at(0);
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

TurnEnded turn(double start, double end, double time) {
  const auto ns = [](double s) { return Nanoseconds(s * 1e9); };
  return {{ns(start), ns(end) - ns(start)}, ns(time)};
}

std::vector<TimeSpan> spans(const Turns::Due& due) {
  std::vector<TimeSpan> out;
  for (const Turn& t : due.turns) out.push_back(t.span);
  return out;
}

TEST(Turns, ATurnIsAskedAboutWithTheChunkThatEndsWithIt) {
  const SessionSettings s = with(Trigger::turn);
  Turns turns(kChunk);
  turns.turn_ended(turn(1, 2.2, 2.7));
  auto due = turns.chunk_entered({0, kChunk}, kBoth, s);
  EXPECT_TRUE(due.turns.empty());
  EXPECT_EQ(due.silent_until, 0) << "an answer may be about this chunk";
  due = turns.chunk_entered({kChunk, Nanoseconds(0.7e9)}, kBoth, s);
  EXPECT_EQ(spans(due), (std::vector<TimeSpan>{{kSecond, Nanoseconds(1.7e9)}}));
  EXPECT_EQ(due.turns[0].question.text, "Describe.");
  EXPECT_TRUE(due.turns[0].standing);
  EXPECT_TRUE(turns.chunk_entered({Nanoseconds(2.7e9), kChunk}, kBoth, s).turns.empty()) << "once";
}

TEST(Turns, ALongTurnIsOfItsLastChunk) {
  const SessionSettings s = with(Trigger::turn);
  Turns turns(kChunk);
  for (int i = 0; i < 5; ++i) turns.chunk_entered({i * kChunk, kChunk}, kBoth, s);
  turns.turn_ended(turn(1, 9.5, 10));
  EXPECT_EQ(spans(turns.take_ended(s)), (std::vector<TimeSpan>{{8 * kSecond, kChunk}}));
  EXPECT_TRUE(turns.take_ended(s).turns.empty());
}

TEST(Turns, WhatEndsWithTheMediaIsStillAskedAbout) {
  const SessionSettings s = with(Trigger::turn);
  Turns turns(kChunk);
  turns.chunk_entered({0, Nanoseconds(1.2e9)}, kBoth, s);
  turns.turn_ended(turn(0.5, 1.6, 1.6));
  EXPECT_TRUE(turns.take_ended(s).turns.empty()) << "its sound has not entered";
  EXPECT_EQ(turns.media_ended(s).turns.size(), 1u);
  EXPECT_TRUE(turns.media_ended(s).turns.empty());
}

TEST(Turns, EndsThatNobodyAsksAboutAreBounded) {
  const SessionSettings s = with(Trigger::turn);
  Turns turns(kChunk);
  for (int i = 0; i < 1000; ++i) turns.turn_ended(turn(i, i + 0.5, i + 1));
  int asked = 0;
  for (int i = 0; i < 1000; ++i)
    asked += int(turns.chunk_entered({i * kSecond, kSecond}, kBoth, s).turns.size());
  EXPECT_EQ(asked, int(Turns::kMostQuestions));
  turns.turn_ended(turn(0, 1, 2));
  turns.forget_ended();
  EXPECT_TRUE(turns.take_ended(s).turns.empty());
}

}  // namespace
}  // namespace omni
