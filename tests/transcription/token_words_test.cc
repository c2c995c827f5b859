#include "transcription/token_words.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

std::string words(const std::vector<std::string>& tokens) {
  std::string out;
  size_t n = 0;
  for (const TokenWord& w : words_of(tokens)) {
    EXPECT_EQ(w.first_token, n);
    n += w.n_tokens;
    out += (out.empty() ? "" : "|") + w.text;
  }
  EXPECT_EQ(n, tokens.size());
  return out;
}

TEST(TokenWords, BeginWithASpace) {
  EXPECT_EQ(words({" And", " so", ",", " my", " fell", "ow", " well", "-", "known"}),
            " And| so,| my| fellow| well-known");
  EXPECT_EQ(words({" 오", "늘", " 저녁"}), " 오늘| 저녁");
  EXPECT_EQ(words({"A", "", " B", ""}), "A| B");
  EXPECT_EQ(words({}), "");
}

TEST(TokenWords, OfScriptsWithoutSpacesBeginWhereALineMayEnd) {
  EXPECT_EQ(words({"今日は", "G", "St", "ream", "er", "の", "字", "幕", "。", "20", "26", "年"}),
            "今日は|GStreamer|の|字|幕。|2026|年");
  EXPECT_EQ(words({"用", "Open", "AI", "的", " Wh", "is", "per", "，", "15", "00", "元"}),
            "用|OpenAI|的| Whisper，|1500|元");
  EXPECT_EQ(words({"ส", "ว", "ั", "ส", "ด", "ี", "คร", "ั", "บ", " ", "ผม", "ช", "ื่", "อ"}),
            "สวัสดี|ครับ| ผม|ชื่อ");
  EXPECT_EQ(words({"မ", "င", "်", "္", "ဂ", "လ", "ာ", "ပ", "ါ"}), "မင်္ဂလာ|ပါ");
  EXPECT_EQ(words({" said", " 习", "近", "平"}), " said| 习|近|平") << "within English, too";
}

TEST(TokenWords, OfBytesThatAreNoWholeCharacterGoOn) {
  const std::string day = "日";
  EXPECT_EQ(words({"今", day.substr(0, 1), day.substr(1), "は"}), "今|日|は");
  EXPECT_EQ(words_of({"今", day.substr(0, 2)}).back().text.size(), 2u);
}

}  // namespace
}  // namespace omni
