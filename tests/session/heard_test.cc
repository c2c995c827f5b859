// What of a spoken answer was heard when it was cut.
#include "session/heard.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

constexpr const char* kText = "The red ball, he said, \"moves\" left.";  // 25 letters

TEST(Heard, WordsThatHadEnded) {
  const auto after = [](double letters) {
    return heard_words(kText, Nanoseconds(letters * double(kSecond)), 25 * kSecond);
  };
  EXPECT_EQ(after(0), "");
  EXPECT_EQ(after(2.9), "");
  EXPECT_EQ(after(3), "The");
  EXPECT_EQ(after(3 - 0.01), "The") << "as good as said";
  EXPECT_EQ(after(9.9), "The red");
  EXPECT_EQ(after(10), "The red ball,") << "marks go with the word ahead of them";
  EXPECT_EQ(after(20.5), "The red ball, he said,") << "and an opening quote with the one behind it";
  EXPECT_EQ(after(21), "The red ball, he said, \"moves\"");
  EXPECT_EQ(after(25), kText);
  EXPECT_EQ(after(100), kText);
}

TEST(Heard, OfSoundThatIsStillBeingMadeByThePaceOfSpeech) {
  EXPECT_EQ(heard_words("one two three", kSecond * 6 / 15, std::nullopt), "one two");
  EXPECT_EQ(heard_words("one two three", kSecond * 5 / 15, std::nullopt), "one");
}

TEST(Heard, TextsWithoutWordsOrSpaces) {
  EXPECT_EQ(heard_words("", kSecond, kSecond), "");
  EXPECT_EQ(heard_words("...", kSecond, kSecond), "");
  EXPECT_EQ(heard_words("\"", 0, std::nullopt), "");
  const std::string japanese = "赤いボールです";
  const std::string half = heard_words(japanese, kSecond / 2, kSecond);
  EXPECT_FALSE(half.empty());
  EXPECT_LT(half.size(), japanese.size());
  EXPECT_TRUE(japanese.starts_with(half));
  EXPECT_EQ(heard_words(japanese, kSecond, kSecond), japanese);
}

TEST(Heard, WhereTheWordBegan) {
  const auto at = [](double letters) {
    return double(beginning_of_word(kText, Nanoseconds(letters * double(kSecond)), 25 * kSecond)) /
           double(kSecond);
  };
  EXPECT_EQ(at(0), 0);
  EXPECT_EQ(at(2.9), 0);
  EXPECT_EQ(at(3), 3);
  EXPECT_EQ(at(5.9), 3);
  EXPECT_EQ(at(9.9), 6);
  EXPECT_EQ(at(25), 25);
  EXPECT_EQ(at(30), 25) << "all of it was said";
  EXPECT_EQ(beginning_of_word(std::nullopt, 2 * kSecond, std::nullopt), 2 * kSecond * 8 / 10)
      << "the text is still being written";
  EXPECT_EQ(beginning_of_word(std::nullopt, kSecond / 10, std::nullopt), 0);
  EXPECT_EQ(beginning_of_word("...", kSecond / 10, kSecond), 0);
}

TEST(Heard, OfAnAnswerWithCallsTheStepsKeepWhatWasHeard) {
  const auto cut = [](const std::string& heard) {
    std::vector<ToolStep> steps(2);
    steps[0].text = "Let me see.\n";
    steps[1].text = "And more.\n";
    const std::string rest = keep_heard(heard, steps);
    return std::vector<std::string>{steps[0].text, steps[1].text, rest};
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(cut(""), (Texts{"", "", ""}));
  EXPECT_EQ(cut("Let me"), (Texts{"Let me", "", ""}));
  EXPECT_EQ(cut("Let me see.\nAnd"), (Texts{"Let me see.\n", "And", ""}));
  EXPECT_EQ(cut("Let me see.\nAnd more.\nIt is"), (Texts{"Let me see.\n", "And more.\n", "It is"}));
}

}  // namespace
}  // namespace omni
