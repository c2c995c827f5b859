// The layout of captions by what a reader needs, and EBU-TT-D.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "captions/caption_text.h"
#include "captions/words.h"
#include "omni/captions.h"

namespace omni {
namespace {

std::string joined(const std::vector<std::string>& lines, const char* between) {
  std::string out;
  for (const std::string& l : lines) out += (out.empty() ? "" : between) + l;
  return out;
}

std::vector<Caption> format(const CaptionLayout& layout, const std::vector<std::string>& words,
                            Nanoseconds each, Nanoseconds gap = 0) {
  const auto f = make_caption_formatter(layout);
  std::vector<Caption> out;
  Nanoseconds t = 0;
  for (const std::string& w : words) {
    for (Caption& c : f->push(w, t, each)) out.push_back(c);
    t += each + gap;
  }
  for (Caption& c : f->finish()) out.push_back(c);
  return out;
}

const std::string kText =
    "And so, my fellow Americans, ask not what your country can do for you, ask what you can do "
    "for your country. This is the second sentence, which is longer than two lines can hold and "
    "has to be divided. Short. "
    "The last one ends here.";

TEST(Captions, NothingIsLostAndLinesAreShortEnough) {
  for (const int columns : {10, 32, 37, 42})
    for (const int lines : {1, 2, 3}) {
      const std::vector<Caption> captions =
          format({.columns = columns, .lines = lines}, words_of(kText), kSecond * 3 / 10);
      std::string all;
      Nanoseconds end = 0;
      for (const Caption& c : captions) {
        EXPECT_GE(c.start, end);
        EXPECT_GT(c.duration, 0);
        end = c.start + c.duration;
        int n = 0;
        for (size_t at = 0; at <= c.text.size(); ++n) {
          const size_t stop = std::min(c.text.find('\n', at), c.text.size());
          EXPECT_LE(columns_of(c.text.substr(at, stop - at)), columns);
          at = stop + 1;
        }
        EXPECT_LE(n, lines);
        for (const std::string& w : words_of(c.text)) all = join(all, w);
      }
      EXPECT_EQ(all, kText);
    }
}

TEST(Captions, BreaksStandWhereAReaderExpectsThem) {
  EXPECT_EQ(joined(break_lines("And so, my fellow Americans, ask not what your country", 37), "|"),
            "And so, my fellow Americans,|ask not what your country");
  EXPECT_EQ(joined(break_lines("We were quite ill, some of them never came in", 30), "|"),
            "We were quite ill,|some of them never came in")
      << "rather than evenly, behind `some`";
  EXPECT_EQ(joined(break_lines("short", 37), "|"), "short");
  EXPECT_EQ(break_lines("Donaudampfschifffahrtsgesellschaft", 10).size(), 4u);
  EXPECT_EQ(joined(break_lines("日本語の字幕です", 8), "|"), "日本語の|字幕です");
}

TEST(Captions, SentencesPausesSpeakersAndSoundsStandAlone) {
  std::vector<Caption> c =
      format({}, words_of("This is one sentence. This is another."), kSecond / 2);
  ASSERT_EQ(c.size(), 2u);
  EXPECT_EQ(c[0].text, "This is one sentence.");
  EXPECT_EQ(c[0].start + c[0].duration, 2 * kSecond) << "up to the next, without a gap";
  c = format({}, {"one", "two"}, kSecond / 2, 2 * kSecond);
  EXPECT_EQ(c.size(), 2u);

  const auto f = make_caption_formatter({});
  f->push("Hello", 0, kSecond / 2);
  f->change_speaker();
  std::vector<Caption> out = f->push("Good day.", kSecond, kSecond);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].text, "Hello");
  out = f->push("[music]", 2 * kSecond, kSecond);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].text, ">> Good day.");
  out = f->push("So", 3 * kSecond, kSecond / 2);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].text, "[MUSIC]");
}

// The words of a caption last until 2 s; the next begins `gap` later.
TEST(Captions, AGapThatWouldFlickerIsClosed) {
  constexpr Nanoseconds kMs = kSecond / 1000;
  for (const auto& [gap, end] :
       std::vector<std::pair<Nanoseconds, Nanoseconds>>{{0, 2000 * kMs},
                                                        {100 * kMs, 2100 * kMs},
                                                        {399 * kMs, 2399 * kMs},
                                                        {400 * kMs, 2000 * kMs}}) {
    const auto f = make_caption_formatter({});
    Nanoseconds t = 0;
    for (const std::string& w : words_of("This is one sentence."))
      EXPECT_TRUE(f->push(w, std::exchange(t, t + kSecond / 2), kSecond / 2).empty());
    const std::vector<Caption> c = f->push("Next.", 2 * kSecond + gap, kSecond / 2);
    ASSERT_EQ(c.size(), 1u);
    EXPECT_EQ(c[0].start + c[0].duration, end) << gap / kMs;
  }
}

TEST(Captions, PausesAndSentencesPartFromTheirLimitOn) {
  EXPECT_EQ(format({}, {"one", "two"}, kSecond / 2, kSecond).size(), 2u);
  EXPECT_EQ(format({}, {"one", "two"}, kSecond / 2, kSecond - 1).size(), 1u);
  EXPECT_EQ(format({}, {"Yes.", "Why?"}, kSecond).size(), 2u);
  EXPECT_EQ(format({}, {"Yes.", "Why?"}, kSecond - 1).size(), 1u) << "too short to stand alone";
}

TEST(Captions, TheEndForgetsWhoSpoke) {
  const auto f = make_caption_formatter({});
  f->change_speaker();
  f->finish();
  f->push("Hello.", 0, kSecond);
  const std::vector<Caption> c = f->finish();
  ASSERT_EQ(c.size(), 1u);
  EXPECT_EQ(c[0].text, "Hello.");
}

TEST(Captions, WhatComesAsOneTextSharesItsTimeByLength) {
  const std::vector<Caption> c = format({}, {"Ten long letters. Ten other letters."}, 10 * kSecond);
  ASSERT_EQ(c.size(), 2u);
  EXPECT_EQ(c[1].start, c[0].start + c[0].duration);
  EXPECT_NEAR(double(c[1].start) / double(kSecond), 5, 0.3);
}

TEST(Captions, NoneIsShownForLongerThanItMayBe) {
  const std::vector<Caption> c = format({.reading_speed = 1, .maximum_duration = 3 * kSecond},
                                        {"Twenty letters here!"}, kSecond);
  ASSERT_EQ(c.size(), 1u);
  EXPECT_EQ(c[0].duration, 3 * kSecond);
}

TEST(Captions, AreShownLongEnoughToBeRead) {
  const auto f = make_caption_formatter({.reading_speed = 10});
  f->push("Twenty letters here!", 0, kSecond / 2);
  EXPECT_TRUE(f->advance(kSecond).empty()) << "more of it may come";
  EXPECT_EQ(f->settled(), 0);
  std::vector<Caption> c = f->advance(2 * kSecond);
  ASSERT_EQ(c.size(), 1u);
  EXPECT_EQ(c[0].duration, 2 * kSecond) << "20 characters at 10 a second";
  EXPECT_EQ(f->too_fast(), 0);
  // Another follows at once: reading time is lent from it, half a second at most.
  f->push("Twenty letters here!", 4 * kSecond, kSecond / 2);
  c = f->push("More.", 4 * kSecond + kSecond * 9 / 10, kSecond / 2);
  for (Caption& more : f->push("Then.", 6 * kSecond, kSecond / 2)) c.push_back(more);
  for (Caption& more : f->finish()) c.push_back(more);
  for (const Caption& x : c) EXPECT_GE(x.duration, kSecond / 10);
}

TEST(Captions, DoNotFallBehindFastSpeech) {
  const auto f = make_caption_formatter({.reading_speed = 5});
  Nanoseconds spoken = 0;
  int64_t n = 0;
  for (int i = 0; i < 200; ++i)
    for (const Caption& c : f->push("word" + std::to_string(i) + (i % 5 == 4 ? "." : ""),
                                    i * kSecond / 4, kSecond / 4)) {
      EXPECT_LE(c.start - spoken, kSecond / 2);
      n += std::count(c.text.begin(), c.text.end(), ' ') +
           std::count(c.text.begin(), c.text.end(), '\n') + 1;
      spoken = n * kSecond / 4;
    }
  EXPECT_GT(f->too_fast(), 10) << "and it is counted";
}

TEST(Captions, NoneWaitsLongerThanItMayBeShown) {
  const auto f = make_caption_formatter({.maximum_duration = 3 * kSecond, .pause = 2 * kSecond});
  for (int i = 0; i < 100; ++i) {
    f->push("a", i * kSecond, kSecond / 10);
    f->advance(i * kSecond + kSecond / 2);
    EXPECT_GE(f->settled(), i * kSecond - 3 * kSecond);
  }
}

TEST(Captions, BadLayoutsAreErrors) {
  EXPECT_THROW(make_caption_formatter({.columns = 0}), Error);
  EXPECT_THROW(make_caption_formatter({.lines = 99}), Error);
  EXPECT_THROW(make_caption_formatter({.minimum_duration = 9 * kSecond}), Error);
}

TEST(EbuTtD, EscapesAndTimes) {
  EXPECT_NE(ebu_tt_d_head("en").find("xml:lang=\"en\""), std::string::npos);
  EXPECT_EQ(ebu_tt_d_paragraph({"a < b &\n\"c\"", 3723 * kSecond + 4 * kSecond / 1000, kSecond}, 7),
            "      <tt:p xml:id=\"c7\" region=\"bottom\" style=\"paragraph\" "
            "begin=\"01:02:03.004\" end=\"01:02:04.004\"><tt:span style=\"text\">a &lt; b "
            "&amp;<tt:br/>&quot;c&quot;</tt:span></tt:p>\n");
  EXPECT_EQ(ebu_tt_d_paragraph({"-->\r\nb", kSecond * 19996 / 10000, kSecond}, 8),
            "      <tt:p xml:id=\"c8\" region=\"bottom\" style=\"paragraph\" "
            "begin=\"00:00:02.000\" end=\"00:00:03.000\"><tt:span style=\"text\">--&gt;"
            "<tt:br/>b</tt:span></tt:p>\n")
      << "rounded, and a CR LF is one line end";
}

}  // namespace
}  // namespace omni
