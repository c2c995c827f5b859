// Captions in scripts other than Latin: what stands between two words, where a line ends, which
// characters stay.
#include <gtest/gtest.h>

#include <algorithm>

#include "captions/caption_text.h"
#include "omni/captions.h"
#include "omni/text.h"
#include "text/segmentation.h"

namespace omni {
namespace {

std::vector<Caption> captions_of(const std::vector<std::string>& texts,
                                 const CaptionLayout& layout = {}) {
  const auto f = make_caption_formatter(layout);
  std::vector<Caption> out;
  for (size_t i = 0; i < texts.size(); ++i)
    for (Caption& c : f->push(texts[i], Nanoseconds(i) * kSecond / 5, kSecond / 5))
      out.push_back(c);
  for (Caption& c : f->finish()) out.push_back(c);
  return out;
}

std::string lines_of(const std::string& text, int columns) {
  std::string out;
  for (const std::string& l : break_lines(text, columns)) out += (out.empty() ? "" : "|") + l;
  return out;
}

std::string one_line(const std::vector<std::string>& texts) {
  std::string out;
  for (const Caption& c : captions_of(texts, {.columns = 200}))
    out += (out.empty() ? "" : "|") + c.text;
  return out;
}

TEST(Scripts, SpacesOfATextStay) {
  for (const char* text : {"오늘 저녁 서울에는 비가 내리겠습니다.", "你好 世界，你好",
                           "ＡＢＣ ＤＥＦ", "👋 👋 hello", "สวัสดีครับ ผมชื่อสมชาย", "ok :) 日本 語"})
    EXPECT_EQ(one_line({text}), text);
}

TEST(Scripts, WordsOneByOneHaveASpaceBetweenThemWhereTheirScriptHas) {
  EXPECT_EQ(one_line({"오늘", "저녁", "비가"}), "오늘 저녁 비가");
  EXPECT_EQ(one_line({"👋", "👋"}), "👋 👋");
  EXPECT_EQ(one_line({"ＡＢＣ", "ＤＥＦ"}), "ＡＢＣ ＤＥＦ");
  EXPECT_EQ(one_line({"今日は", "GStreamer", "の", "字幕", "、", "2026", "年"}),
            "今日はGStreamerの字幕、2026年");
  EXPECT_EQ(one_line({"我们", "用", "OpenAI", " Whisper", "，", "GStreamer"}),
            "我们用OpenAI Whisper，GStreamer");
  EXPECT_EQ(one_line({"ส", "ว", "ั", "ส", "ด", "ี", " ผม"}), "สวัสดี ผม");
  EXPECT_EQ(one_line({"cafe", "\u0301", "क", "ि"}), "café कि") << "a mark goes with its letter";
  EXPECT_EQ(one_line({"你好 ", "世界"}), "你好 世界");
  EXPECT_EQ(one_line({"你好", " ", "世界"}), "你好 世界");
  EXPECT_EQ(one_line({"你好", "　世界"}), "你好 世界") << "an ideographic space";
}

TEST(Scripts, LinesEndWhereTheScriptLetsThem) {
  EXPECT_EQ(lines_of("สวัสดีครับผมชื่อสมชาย", 8), "สวัสดี|ครับผม|ชื่อสมชาย")
      << "between words, by a dictionary";
  EXPECT_EQ(lines_of("មនុស្សទាំងអស់", 7), "មនុស្ស|ទាំងអស់");
  EXPECT_EQ(lines_of("မင်္ဂလာပါ", 4), "မင်္ဂလာ|ပါ");
  EXPECT_EQ(lines_of("ສະບາຍດີຂອບໃຈ", 8), "ສະບາຍດີ|ຂອບໃຈ");
  EXPECT_EQ(lines_of("字幕はGStreamer", 12), "字幕は|GStreamer");
  EXPECT_EQ(lines_of("我们在2026年", 8), "我们在|2026年");
  EXPECT_EQ(lines_of("오늘저녁 서울에는 비가", 12), "오늘저녁|서울에는|비가")
      << "Korean at its spaces";
  EXPECT_EQ(lines_of("大雨警報を発表", 10), "大雨警報|を発表") << "rather than within a word";
  EXPECT_EQ(lines_of("100 000 people", 8), "100 000|people")
      << "a narrow space that holds together";
}

TEST(Scripts, ACaptionEndsWhereALineMay) {
  const std::vector<std::string> letters = {"ส", "ว", "ั", "ส", "ด", "ี",
                                            "ค", "ร", "ั", "บ", "ผ", "ม"};
  std::vector<std::string> texts;
  for (const Caption& c : captions_of(letters, {.columns = 6, .lines = 1})) texts.push_back(c.text);
  EXPECT_EQ(texts, (std::vector<std::string>{"สวัสดี", "ครับผม"}));
  texts.clear();
  for (const Caption& c :
       captions_of({"これは", "です", "、", "はい"}, {.columns = 10, .lines = 1}))
    texts.push_back(c.text);
  EXPECT_EQ(texts, (std::vector<std::string>{"これは", "です、はい"}));
}

TEST(Scripts, NoLineBeginsWithWhatBelongsToTheOneAhead) {
  const std::string text =
      "「東京では、今日の午後から強い雨が降り始めました。」ニュースです！キャッチ、そして（終わり）"
      "。";
  for (int columns = 6; columns < 40; ++columns)
    for (const std::string& line : break_lines(text, columns)) {
      for (const char* closing : {"、", "。", "」", "）", "！", "ー", "ャ", "ッ"})
        EXPECT_FALSE(line.starts_with(closing)) << columns << ": " << line;
      for (const char* opening : {"「", "（"})
        EXPECT_FALSE(line.ends_with(opening)) << columns << ": " << line;
      EXPECT_LE(columns_of(line), columns);
    }
}

TEST(Scripts, APauseAheadOfPunctuationDoesNotPartASentenceFromIt) {
  const std::vector<Caption> c = captions_of(
      {"「", "これは", "長い", "文", "です", "。", "」", "次"}, {.minimum_duration = 0});
  ASSERT_EQ(c.size(), 2u);
  EXPECT_EQ(c[0].text, "「これは長い文です。」");
}

TEST(Scripts, CharactersAreNeverTorn) {
  const std::string family = "👨‍👩‍👧‍👦", england = "🏴󠁧󠁢󠁥󠁮󠁧󠁿";
  std::string row;
  for (int i = 0; i < 20; ++i) row += family + england;
  for (const std::string& line : break_lines(row, 3))
    EXPECT_TRUE(line == family || line == england) << line;
  EXPECT_EQ(lines_of("日本", 1), "日|本") << "wider than a line";
  EXPECT_EQ(lines_of("([ \u0e35", 2), "([|\u0e35") << "a mark on a space";
  EXPECT_EQ(columns_of(family + england), 4);
  EXPECT_EQ(columns_of("สวัสดี"), 4) << "vowels above take none";
}

TEST(Scripts, FormatCharactersStayAndWhiteSpaceParts) {
  EXPECT_EQ(one_line({"می‌خواهم کتاب‌ها"}), "می‌خواهم کتاب‌ها");
  EXPECT_EQ(one_line({"\u200fa\u200e 🏴󠁧󠁢󠁥󠁮󠁧󠁿"}),
            "\u200fa\u200e 🏴󠁧󠁢󠁥󠁮󠁧󠁿");
  EXPECT_EQ(one_line({"Score:\t3\tto\t1"}), "Score: 3 to 1");
  EXPECT_EQ(one_line({"a\vb\fc\u0085d\u2028e\u2029f\rg\r\nh\u3000i\u2003j"}),
            "a b c d e f g h i j");
  EXPECT_EQ(one_line({"10\u00a0km 5\u202f%"}), "10\u00a0km 5\u202f%");
  EXPECT_EQ(one_line({"a\x01"
                      "b\x7f\ufeff\uffff\xff"}),
            "ab");
  EXPECT_EQ(to_utf8(code_points("a\r\nb\rc\vd\te")), "a\nb\nc\nd e");
}

TEST(Scripts, WhatIsTooLongForOneCaptionBecomesSeveral) {
  const std::string sentence =
      "東京では今日の午後から強い雨が降り始め、気象庁は大雨警報を発表しましたが、夕方までには弱まる"
      "見込みで、"
      "交通機関への影響は限定的だと専門家は話しています";
  for (const std::string& text :
       {sentence, std::string(300, 'x'), "short " + std::string(200, 'x') + " word"}) {
    std::string all;
    Nanoseconds end = 0;
    for (const Caption& c : captions_of({text})) {
      EXPECT_LE(std::count(c.text.begin(), c.text.end(), '\n'), 1) << c.text;
      EXPECT_GE(c.start, end);
      end = c.start + c.duration;
      std::copy_if(c.text.begin(), c.text.end(), std::back_inserter(all),
                   [](char x) { return x != '\n' && x != ' '; });
    }
    std::string whole;
    std::copy_if(text.begin(), text.end(), std::back_inserter(whole),
                 [](char x) { return x != ' '; });
    EXPECT_EQ(all, whole);
  }
}

TEST(Scripts, SentencesAndClausesEndInEveryScript) {
  for (const char* text :
       {"End.", "终。", "كيف؟", "समाप्त।", "ပြီး။", "「终。」", "(End.)", "End.\u201d ", "well…"})
    EXPECT_TRUE(ends_sentence(text)) << text;
  for (const char* text : {"End", "终、", "a,", "", "\"'"})
    EXPECT_FALSE(ends_sentence(text)) << text;
  for (const char* text : {"终、", "a,", "كيف،", "so —"}) EXPECT_TRUE(ends_clause(text)) << text;
}

TEST(Text, OneCueHasNoEmptyLineAndNoArrow) {
  EXPECT_EQ(one_cue("hi\n\n00:01:00.000 --> 00:02:00.000\n \t\r\n\rx"),
            "hi\n00:01:00.000 -- > 00:02:00.000\nx");
  EXPECT_EQ(one_cue("\n\n two  spaces\n\n"), " two  spaces\n");
  EXPECT_EQ(one_cue("---->-->").find("-->"), std::string::npos);
  EXPECT_EQ(one_line({"a --> b"}), "a -- > b");
}

}  // namespace
}  // namespace omni
