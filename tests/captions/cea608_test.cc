// CEA-608 by what others' decoders make of it: libzvbi's screen frame by frame, and FFmpeg's, which
// knows the extended characters.
#include <gtest/gtest.h>
#include <libzvbi.h>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
}

#include <algorithm>
#include <optional>
#include <random>

#include "captions/caption_text.h"
#include "captions/words.h"
#include "omni/captions.h"

namespace omni {
namespace {

// What stands on the screen of a television set.
class Screen {
 public:
  explicit Screen(int channel) : channel_(channel), decoder_(vbi_decoder_new()) {}
  ~Screen() { vbi_decoder_delete(decoder_); }

  void feed(std::array<uint8_t, 2> pair) {
    vbi_sliced line{};
    const bool second = channel_ > 2;
    line.id = second ? VBI_SLICED_CAPTION_525_F2 : VBI_SLICED_CAPTION_525_F1;
    line.line = second ? 284 : 21;
    line.data[0] = pair[0], line.data[1] = pair[1];
    time_ += 1001.0 / 30000;
    vbi_decode(decoder_, &line, 1, time_);
  }

  // The rows with text, from top to bottom, without the space around them; where the last of them
  // stands is in `row` and `column`.
  int row = 0, column = 0;
  std::vector<std::string> rows() {
    vbi_page page;
    if (!vbi_fetch_cc_page(decoder_, &page, channel_, TRUE)) return {};
    std::vector<std::string> out;
    for (int r = 0; r < page.rows; ++r) {
      std::vector<int32_t> points;
      for (int c = 0; c < page.columns; ++c)
        points.push_back(int32_t(page.text[r * page.columns + c].unicode));
      std::string text;
      for (const std::string& w : words_of(to_utf8(points))) text += (text.empty() ? "" : " ") + w;
      if (text.empty()) continue;
      out.push_back(text);
      row = r + 1, column = 0;
      // libzvbi's pages have a column of margin
      while (points[size_t(column + 1)] == ' ') ++column;
    }
    vbi_unref_page(&page);
    return out;
  }

 private:
  const int channel_;
  vbi_decoder* decoder_;
  double time_ = 0;
};

// FFmpeg's decoder of field 1: the texts that were on screen, as it tells of them.
class Ffmpeg {
 public:
  Ffmpeg()
      : context_(avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_EIA_608))),
        packet_(av_packet_alloc()) {
    av_opt_set_int(context_->priv_data, "real_time", 1, 0);
    context_->pkt_timebase = {1, 1000};
    avcodec_open2(context_, nullptr, nullptr);
  }
  ~Ffmpeg() {
    av_packet_free(&packet_);
    avcodec_free_context(&context_);
  }

  // The text on screen after this pair, if it changed.
  std::optional<std::string> feed(std::array<uint8_t, 2> pair) {
    uint8_t triple[3 + AV_INPUT_BUFFER_PADDING_SIZE] = {0xfc, pair[0], pair[1]};
    packet_->data = triple, packet_->size = 3, packet_->pts = packet_->dts = n_++ * 1001 / 30;
    AVSubtitle sub{};
    int got = 0;
    avcodec_decode_subtitle2(context_, &sub, &got, packet_);
    if (!got) return {};
    std::string text;
    for (unsigned i = 0; i < sub.num_rects; ++i) text += plain(sub.rects[i]->ass);
    avsubtitle_free(&sub);
    return text;
  }

 private:
  // "0,0,Default,,0,0,0,,{\\an7}{\\pos(1,2)}one\\Ntwo" → "one\ntwo"
  static std::string plain(std::string ass) {
    for (int commas = 0; commas < 8; ++commas) ass.erase(0, ass.find(',') + 1);
    std::string out;
    for (size_t i = 0; i < ass.size(); ++i) {
      if (ass[i] == '{' && ass[i + 1] == '\\')
        i = ass.find('}', i);
      else if (ass[i] == '\\' && ass[i + 1] == 'N')
        out += '\n', ++i;
      else if (ass[i] == '\\' && i + 1 < ass.size() &&
               std::string("{}\\").find(ass[i + 1]) != std::string::npos)
        out += ass[++i];
      else
        out += ass[i];
    }
    return out;
  }

  AVCodecContext* context_;
  AVPacket* packet_;
  int64_t n_ = 0;
};

// There is one apostrophe; decoders differ in its shape.
std::string as_shown(const std::string& text) {
  std::vector<int32_t> points = code_points(text);
  std::replace(points.begin(), points.end(), int32_t(U'’'), int32_t('\''));
  return to_utf8(points);
}

std::string joined(const std::vector<std::string>& rows, const char* between = "\n") {
  std::string out;
  for (const std::string& r : rows) out += (out.empty() ? "" : between) + r;
  return out;
}

std::vector<std::string> letters_of(const std::string& text) {
  std::vector<std::string> out;
  for (const int32_t c : code_points(text))
    if (c != ' ') out.push_back(to_utf8({c}));
  return out;
}
// The basic and the special characters.
const std::vector<std::string>& letters() {
  static const std::vector<std::string> all = letters_of(
      "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"
      "OPQRSTUVWXYZ0123456789.,;:?!%&()+-/<=>@$#\"'áéíóúç÷Ññ®°½¿™¢£♪àèâêîôû");
  return all;
}
const std::vector<std::string>& extended_letters() {
  static const std::vector<std::string> all =
      letters_of("ÁÉÓÚÜü¡*©℠“”ÀÂÇÈÊËëÎÏïÔÙùÛ«»ÃãÍÌìÒòÕõ^_|~ÄäÖöß¥¤ÅåØø┌┐└┘");
  return all;
}
std::string random_word(std::mt19937& r, bool extended = false) {
  // libzvbi shows a special character that stands alone only with what follows
  std::string w(1, char('a' + r() % 26));
  for (size_t n = r() % 9; n > 0; --n) {
    const std::vector<std::string>& from =
        extended && r() % 4 == 0 ? extended_letters() : letters();
    w += from[r() % from.size()];
  }
  return w;
}

std::string random_line(std::mt19937& r, bool extended = false) {
  std::string line;
  const int most = 4 + int(r() % 29);
  for (;;) {
    const std::string longer = join(line, random_word(r, extended));
    if (columns_of(longer) > most) break;
    line = longer;
  }
  return line.empty() ? "a" : line;
}

TEST(Cea608, EveryCharacterIsShown) {
  for (const std::string& letter : letters()) {
    const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on});
    Screen screen(1);
    const std::string text = std::string("x").append(letter).append("y");
    encoder->push(text, 60, 90, true);
    for (int64_t n = 0; n < 70; ++n) screen.feed(encoder->frame(n));
    EXPECT_EQ(joined(screen.rows()), as_shown(text));
  }
}

TEST(Cea608, ExtendedCharactersAreShownByADecoderThatKnowsThemAndStoodInForByOneThatDoesNot) {
  for (const std::string& letter : extended_letters()) {
    const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on});
    Ffmpeg ffmpeg;
    Screen screen(1);
    const std::string text = std::string("x").append(letter).append("y");
    encoder->push(text, 60, 90, true);
    std::string shown;
    for (int64_t n = 0; n < 70; ++n) {
      const std::array<uint8_t, 2> pair = encoder->frame(n);
      screen.feed(pair);
      if (const auto now = ffmpeg.feed(pair)) shown = *now;
    }
    EXPECT_EQ(shown, text);
    EXPECT_EQ(columns_of(joined(screen.rows())), 3);
  }
}

TEST(Cea608, FfmpegReadsAThousandPopOnCaptions) {
  std::mt19937 r(3);
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on});
  Ffmpeg ffmpeg;
  std::vector<std::string> sent, shown;
  int64_t n = 0, begin = 100;
  for (int i = 0; i < 1000; ++i) {
    std::string text = random_line(r, true);
    if (r() % 2) text.append("\n").append(random_line(r, true));
    sent.push_back(text);
    encoder->push(text, begin, begin + 140, true);
    begin += 150;
    for (; n < begin; ++n)
      if (const auto now = ffmpeg.feed(encoder->frame(n)); now && !now->empty())
        shown.push_back(*now);
  }
  ASSERT_EQ(shown.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(as_shown(shown[i]), as_shown(sent[i])) << i;
}

TEST(Cea608, PopOnCaptionsStandFromTheirFirstToTheirLastFrame) {
  for (const int channel : {1, 2, 3, 4})
    for (const bool centred : {false, true}) {
      std::mt19937 r(uint32_t(channel * 2 + centred));
      const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on,
                                                .channel = channel,
                                                .row = channel == 2 ? 4 : 15,
                                                .centred = centred});
      Screen screen(channel);
      std::string before;
      int64_t n = 0, begin = 100;
      for (int i = 0; i < 250; ++i) {
        std::string text = random_line(r);
        if (r() % 2) text.append("\n").append(random_line(r));
        const int64_t end = begin + 110 + int64_t(r() % 100);
        const bool next_at_once = r() % 3 == 0;
        encoder->push(text, begin, end, true);
        for (; n < begin; ++n) screen.feed(encoder->frame(n));
        if (text != before) {
          EXPECT_NE(joined(screen.rows()), as_shown(text)) << "not before its time";
        }
        before = text;
        screen.feed(encoder->frame(n++));
        EXPECT_EQ(joined(screen.rows()), as_shown(text))
            << "channel " << channel << ", caption " << i;
        EXPECT_EQ(encoder->lag(), 0);
        for (; n < begin + 5; ++n) screen.feed(encoder->frame(n));
        begin = next_at_once ? end : end + 130;
        if (!next_at_once) {
          for (; n < end; ++n) screen.feed(encoder->frame(n));
          EXPECT_EQ(joined(screen.rows()), as_shown(text));
          for (; n < end + 3; ++n) screen.feed(encoder->frame(n));
          EXPECT_EQ(joined(screen.rows()), "") << "wiped in its time";
        }
      }
    }
}

// To wipe the screen takes two frames: it is not done for less.
TEST(Cea608, ACaptionThatFollowsCloselyIsInTime) {
  for (const int64_t gap : {0, 1, 2, 3, 4}) {
    const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on});
    Screen screen(1);
    encoder->push("One", 100, 160, true);
    encoder->push("Two", 160 + gap, 220, true);
    int64_t n = 0;
    for (; n < 160 + gap; ++n) screen.feed(encoder->frame(n));
    EXPECT_EQ(joined(screen.rows()), gap < 3 ? "One" : "") << gap;
    screen.feed(encoder->frame(n));
    EXPECT_EQ(joined(screen.rows()), "Two") << gap;
    EXPECT_EQ(encoder->lag(), 0);
  }
}

TEST(Cea608, MoreLinesThanThereIsRoomForShareTheTime) {
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on});
  Screen screen(1);
  encoder->push("1\n2\n3\n4\n5\n6", 300, 500, true);
  int64_t n = 0;
  const auto at = [&](int64_t frame) {
    for (; n <= frame; ++n) screen.feed(encoder->frame(n));
    return joined(screen.rows(), " ");
  };
  EXPECT_EQ(at(299), "");
  EXPECT_EQ(at(300), "1 2 3");
  EXPECT_EQ(at(399), "1 2 3");
  EXPECT_EQ(at(400), "4 5 6");
  EXPECT_EQ(at(499), "4 5 6");
  EXPECT_EQ(at(503), "");
}

TEST(Cea608, WhatIsLateIsSaidAsLongAsItIs) {
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::roll_up_2});
  int64_t n = 0, lag = 0;
  const auto send_until = [&](int64_t frame) {
    for (lag = 0; n < frame; ++n) encoder->frame(n), lag = std::max(lag, encoder->lag());
  };
  encoder->push("one", 200, 230, true);
  encoder->push("two", 100, 130, false);  // time does not go back
  send_until(300);
  EXPECT_LT(lag, 20);
  for (int i = 0; i < 50; ++i) encoder->push("much text", 300, 310, false);
  send_until(1000);
  EXPECT_GT(lag, 100);
  encoder->push("later", 1100, 1130, true);
  send_until(1200);
  EXPECT_LT(encoder->lag(), 20);
}

TEST(Cea608, RollUpWordsAreAllShownInTheirOrder) {
  for (const Cea608Mode mode :
       {Cea608Mode::roll_up_2, Cea608Mode::roll_up_3, Cea608Mode::roll_up_4})
    for (const int channel : {1, 3}) {
      std::mt19937 r(uint32_t(channel) + 10 * uint32_t(mode));
      const auto encoder =
          make_cea608_encoder({.mode = mode, .channel = channel, .keep_frames = 100000});
      Screen screen(channel);
      std::string sent, before;
      int64_t n = 0;
      size_t most_rows = 0;
      for (int i = 0; i < 1000; ++i) {
        const std::string word = as_shown(random_word(r));
        sent = join(sent, word);
        encoder->push(word, n, n + 30, false);
        for (const int64_t until = n + 45; n < until; ++n) screen.feed(encoder->frame(n));
        // Of field 2 libzvbi shows the last word, or a part of it, when the next begins.
        const std::vector<std::string> rows = screen.rows();
        const std::string shown = joined(rows, " ");
        const size_t at = sent.rfind(shown);
        ASSERT_TRUE(at != std::string::npos &&
                    at + shown.size() >= (channel > 2 ? before : sent).size() &&
                    (before.empty() || !shown.empty()))
            << "word " << i << ": " << shown << " is not the end of …"
            << sent.substr(sent.size() - std::min<size_t>(sent.size(), 150));
        before = sent;
        most_rows = std::max(most_rows, rows.size());
      }
      EXPECT_EQ(most_rows, mode == Cea608Mode::roll_up_2   ? 2u
                           : mode == Cea608Mode::roll_up_3 ? 3u
                                                           : 4u);
    }
}

TEST(Cea608, LinesBeginRowsOfTheirOwnInRollUp) {
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::roll_up_3, .keep_frames = 60});
  Screen screen(1);
  encoder->push("First\nSecond line", 0, 60, true);
  encoder->push("Third", 60, 90, true);
  encoder->push("word", 90, 91, false);
  int64_t n = 0;
  for (; n < 130; ++n) screen.feed(encoder->frame(n));
  EXPECT_EQ(joined(screen.rows()), "First\nSecond line\nThird word");
  for (; n < 220; ++n) screen.feed(encoder->frame(n));
  EXPECT_EQ(joined(screen.rows()), "") << "gone after a while without text";
  EXPECT_EQ(encoder->due(), INT64_MAX);
}

TEST(Cea608, PaintedCaptionsAppearAsTheyAreSent) {
  std::mt19937 r(5);
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::paint_on});
  Screen screen(1);
  int64_t n = 0, begin = 30;
  for (int i = 0; i < 1000; ++i) {
    std::string text = random_line(r);
    if (r() % 2) text.append("\n").append(random_line(r));
    encoder->push(text, begin, begin + 130, true);
    for (; n < begin + 128; ++n) screen.feed(encoder->frame(n));
    EXPECT_EQ(joined(screen.rows()), as_shown(text)) << "caption " << i;
    begin += 260;
    for (; n < begin; ++n) screen.feed(encoder->frame(n));
    EXPECT_EQ(joined(screen.rows()), "");
  }
}

TEST(Cea608, PaintedWordsFillTheRowsAndBeginAgain) {
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::paint_on});
  Screen screen(1);
  int64_t n = 0, time = 0;
  for (int i = 0; i < 60; ++i) {
    const std::string word = "word" + std::to_string(i);
    encoder->push(word, time, time + 15, false);
    for (time += 15; n < time; ++n) screen.feed(encoder->frame(n));
    const std::vector<std::string> rows = screen.rows();
    ASSERT_LE(rows.size(), 2u);
    EXPECT_TRUE(joined(rows, " ").ends_with(word)) << joined(rows, "|");
  }
}

TEST(Cea608, TooMuchTextIsLateAndWhole) {
  for (const Cea608Mode mode : {Cea608Mode::pop_on, Cea608Mode::paint_on}) {
    const auto encoder = make_cea608_encoder({.mode = mode});
    Screen screen(1);
    std::vector<std::string> sent, shown;
    for (int i = 0; i < 200; ++i) {  // four times what two bytes a frame carry
      sent.push_back(std::to_string(i).append(" ").append(24, char('a' + i % 26)));
      encoder->push(sent.back(), i * 8, i * 8 + 8, true);
    }
    int64_t lag = 0;
    for (int64_t n = 0; encoder->due() < INT64_MAX && n < 100000; ++n) {
      screen.feed(encoder->frame(n));
      lag = std::max(lag, encoder->lag());
      const std::string now = joined(screen.rows());
      if (std::find(sent.begin(), sent.end(), now) != sent.end() &&
          (shown.empty() || shown.back() != now))
        shown.push_back(now);
    }
    EXPECT_EQ(shown, sent) << "mode " << int(mode);
    EXPECT_GT(lag, 1000) << "and it says so";
  }
}

TEST(Cea608, WhatItHasNotIsCountedAndTheRestStays) {
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on});
  Screen screen(1);
  encoder->push("Łódź ě 日 wait…", 100, 200, true);
  for (int64_t n = 0; n < 120; ++n) screen.feed(encoder->frame(n));
  EXPECT_EQ(joined(screen.rows()), "Lódz e ? wait...");
  EXPECT_EQ(encoder->n_unmapped(), 1);
  encoder->push("\xff\xfe broken \x01 text", 210, 300, true);
  for (int64_t n = 120; n < 230; ++n) screen.feed(encoder->frame(n));
  EXPECT_EQ(joined(screen.rows()), "broken text");
}

TEST(Cea608, LettersThatItHasNotBecomeTheNearest) {
  const std::pair<std::string, std::string> cases[] = {{"œuvre Œuvre", "oeuvre OEuvre"},
                                                       {"5 €", "5 EUR"},
                                                       {"zł Łódź đ Þ æ ı ŋ", "zl Lódz d TH ae i n"},
                                                       {"ﬁn № x²", "fin No x2"},
                                                       {"ș ğ ĳ ſ", "s g ij s"},
                                                       {"Ω я 日 👨\u200d👩", "? ? ? ??"}};
  for (const auto& [text, shown] : cases) {
    const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on});
    Screen screen(1);
    encoder->push(text, 100, 200, true);
    for (int64_t n = 0; n < 120; ++n) screen.feed(encoder->frame(n));
    EXPECT_EQ(joined(screen.rows()), shown);
    EXPECT_EQ(encoder->n_unmapped(), std::count(shown.begin(), shown.end(), '?'));
  }
}

TEST(Cea608, RowsAreAsLongAsTheLettersThatAreShown) {
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::pop_on});
  Screen screen(1);
  encoder->push("€ € € € € € € € € €", 100, 200, true);
  for (int64_t n = 0; n < 120; ++n) screen.feed(encoder->frame(n));
  EXPECT_EQ(joined(screen.rows()), "EUR EUR EUR EUR EUR\nEUR EUR EUR EUR EUR");
}

TEST(Cea608, CaptionsStandInTheirRowAndColumn) {
  for (int row = 1; row <= 15; ++row)
    for (const size_t length : {1, 17, 30, 32}) {
      const auto encoder =
          make_cea608_encoder({.mode = Cea608Mode::pop_on, .row = row, .centred = true});
      Screen screen(1);
      encoder->push(std::string(length, 'x'), 60, 90, true);
      for (int64_t n = 0; n < 70; ++n) screen.feed(encoder->frame(n));
      EXPECT_EQ(joined(screen.rows()), std::string(length, 'x'));
      EXPECT_EQ(screen.row, row);
      EXPECT_EQ(screen.column, int(32 - length) / 2);
    }
}

TEST(Cea608, PairsHaveOddParityAndControlCodesComeTwice) {
  const auto encoder = make_cea608_encoder({.mode = Cea608Mode::roll_up_2});
  encoder->push("Hello ♪♪", 0, 10, false);
  std::vector<std::array<uint8_t, 2>> pairs;
  for (int64_t n = 0; n < 40; ++n) pairs.push_back(encoder->frame(n));
  for (const auto& p : pairs)
    for (const uint8_t b : p) EXPECT_EQ(__builtin_popcount(b) % 2, 1);
  for (size_t i = 0; i + 1 < pairs.size(); ++i) {
    const int c = pairs[i][0] & 0x7f;
    if (c < 0x10 || c >= 0x20) continue;
    EXPECT_EQ(pairs[i], pairs[i + 1]) << i;
    ++i;
  }
}

TEST(Cea608, BadOptionsAreErrors) {
  EXPECT_THROW(make_cea608_encoder({.channel = 5}), Error);
  EXPECT_THROW(make_cea608_encoder({.mode = Cea608Mode::roll_up_4, .row = 3}), Error);
  EXPECT_THROW(make_cea608_encoder({.row = 16}), Error);
}

}  // namespace
}  // namespace omni
