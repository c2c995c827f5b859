// Who may speak, and when the text of what is spoken has its time, without a voice.
#include "session/utterances.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

class SilentSpeech final : public Speech {
 public:
  int sample_rate() const override { return 24000; }
  std::vector<float> read(size_t) override { return {}; }
  Nanoseconds buffered() const override { return 0; }
  bool can_flow() const override { return true; }
  void when_duration_is_known(std::function<void(Nanoseconds)>) override {}
  void on_change(std::function<void()>) override {}
  void stop() override {}
  void interrupt() override {}
  bool is_interrupted() const override { return false; }
  void hold() override {}
  void resume(Nanoseconds) override {}
  bool is_held() const override { return false; }
  bool is_runaway() const override { return false; }
  Nanoseconds n_read() const override { return read_until; }

  Nanoseconds read_until = 0;
};

constexpr Nanoseconds kSilence = 2 * kSecond;
using May = Utterances::May;

TEST(Utterances, OneAfterTheOther) {
  Utterances u(kSilence);
  EXPECT_EQ(u.may_speak(true, false), May::speak);
  u.begin(1, std::make_shared<SilentSpeech>());
  EXPECT_EQ(u.may_speak(false, false), May::wait) << "a file: each to its end";
  EXPECT_EQ(u.may_speak(false, true), May::wait);
  EXPECT_EQ(u.may_speak(true, false), May::stay_silent) << "live: the clock does not queue up";
  EXPECT_EQ(u.may_speak(true, true), May::speak) << "live: somebody's question does";
  u.end(1, SpeechEnd::finished, 0, kSecond);
  EXPECT_EQ(u.may_speak(false, false), May::speak);
}

TEST(Utterances, TextLeavesWhenItsTimeIsKnown) {
  const Utterances::Timed expected{"Hello.", {5 * kSecond, kSecond}};
  for (const std::string order : {"tsd", "std", "dts", "tds", "sdt", "dst"}) {
    Utterances u(kSilence);
    u.begin(7, std::make_shared<SilentSpeech>());
    std::vector<Utterances::Timed> sent;
    for (const char c : order) {
      const auto timed = c == 't'   ? u.set_text(7, "Hello.")
                         : c == 's' ? u.set_start(7, 5 * kSecond)
                                    : u.set_duration(7, kSecond);
      if (timed) sent.push_back(*timed);
      EXPECT_EQ(sent.empty(), c != order.back()) << order;
    }
    EXPECT_FALSE(u.end(7, SpeechEnd::finished, 5 * kSecond, kSecond)) << "once";
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].text, expected.text);
    EXPECT_EQ(sent[0].span, expected.span);
    EXPECT_FALSE(u.is_speaking());
  }
}

TEST(Utterances, WhatWasNeverHeardIsStillText) {
  Utterances u(kSilence);
  u.begin(1, std::make_shared<SilentSpeech>());
  EXPECT_FALSE(u.end(1, SpeechEnd::interrupted, 3 * kSecond, 0)) << "it is still being written";
  EXPECT_FALSE(u.is_speaking());
  const auto timed = u.set_text(1, "Hello.");
  ASSERT_TRUE(timed);
  EXPECT_EQ(timed->span, (TimeSpan{3 * kSecond, kSilence}));
  EXPECT_EQ(u.n_interrupted(), 1u);
  EXPECT_EQ(u.n_spoken(), 0u);
}

TEST(Utterances, OfOthersNothingIsKept) {
  Utterances u(kSilence);
  EXPECT_FALSE(u.set_start(9, 0));
  EXPECT_FALSE(u.end(9, SpeechEnd::finished, 0, 0));
  EXPECT_EQ(u.n_spoken(), 0u);
  u.begin(1, std::make_shared<SilentSpeech>());
  u.begin(2, std::make_shared<SilentSpeech>());
  EXPECT_EQ(u.speeches(0).size(), 2u);
  EXPECT_EQ(u.speeches(2).size(), 1u);
  EXPECT_EQ(u.clear().size(), 2u);
  EXPECT_FALSE(u.end(1, SpeechEnd::finished, 0, 0)) << "after a flush";
}

TEST(Utterances, WhatIsHeldGoesOnWithItsWord) {
  Utterances u(kSilence);
  EXPECT_TRUE(u.hold().empty());
  EXPECT_FALSE(u.is_held()) << "nothing was";
  const auto first = std::make_shared<SilentSpeech>(), second = std::make_shared<SilentSpeech>();
  u.begin(1, first);
  u.begin(2, second);
  first->read_until = kSecond * 35 / 10;
  u.set_text(1, "one two three");  // of 11 letters
  u.set_duration(1, 11 * kSecond);
  EXPECT_EQ(u.hold().size(), 2u);
  EXPECT_TRUE(u.is_held());
  auto resumed = u.resume();
  EXPECT_FALSE(u.is_held());
  ASSERT_EQ(resumed.size(), 2u);
  EXPECT_EQ(resumed[0].speech, first);
  EXPECT_EQ(resumed[0].from, 3 * kSecond);
  EXPECT_EQ(resumed[1].from, 0) << "it has not begun";
  EXPECT_TRUE(u.resume().empty()) << "once";
  EXPECT_EQ(u.n_resumed(), 1u);
  // what was read just behind a word's end may not have left
  first->read_until = kSecond * 301 / 100;
  u.hold();
  EXPECT_EQ(u.resume()[0].from, kSecond * 296 / 100);
  u.hold();
  u.cut(0);
  EXPECT_FALSE(u.is_held());
  EXPECT_TRUE(u.resume().empty()) << "it was a turn";
  u.hold();
  u.clear();
  EXPECT_FALSE(u.is_held());
}

}  // namespace
}  // namespace omni
