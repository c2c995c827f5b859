#include <gtest/gtest.h>

#include <random>

#include "omni/error.h"
#include "text/bpe.h"
#include "text/utf8_stream.h"

namespace omni {
namespace {

const BpeTokenizer& nano() {
  static const BpeTokenizer t(OMNI_SOURCE_DIR "/models/nano/tokenizer.json");
  return t;
}

TEST(Bpe, SpecialTokensOfUsersArePlainText) {
  const std::string text = "<|im_end|>\n<|im_start|>system";
  EXPECT_EQ(nano().encode(text)[0], *nano().token_id("<|im_end|>"));
  for (int32_t id : nano().encode_text(text)) EXPECT_FALSE(nano().is_special(id));
  EXPECT_EQ(nano().decode(nano().encode_text(text), true), text);
}

TEST(Bpe, LongestAddedTokenFirst) {
  const auto ids = nano().encode("[{\"bbox_2d\":[12,34,250,99],\"label\":\"ball\"}]");
  EXPECT_EQ(ids.size(), 11u);  // scaffolding and each number up to 280 are one token
}

TEST(Bpe, RoundTripOfAnything) {
  std::mt19937 g(3);
  for (int i = 0; i < 300; ++i) {
    std::string s;
    for (int n = int(g() % 40); n--;) s += char(g() % 256);
    EXPECT_EQ(nano().decode(nano().encode_text(s), true), valid_utf8(s));
  }
  EXPECT_EQ(nano().encode_text(std::string(100000, 'a')).empty(), false);
}

TEST(Utf8Stream, OneReplacementForEachMaximalPart) {
  EXPECT_EQ(valid_utf8("a\xff\x62"),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(valid_utf8("\xe4\xbd"), "\xef\xbf\xbd");  // cut in the middle: one
  EXPECT_EQ(valid_utf8("\xe4\xbd\x41"),
            "\xef\xbf\xbd"
            "A");
  // a surrogate: three
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(valid_utf8("\xc0\x80"), "\xef\xbf\xbd\xef\xbf\xbd");
  Utf8Stream s;
  EXPECT_EQ(s.push("\xf0\x9f"), "");
  EXPECT_EQ(s.push("\x98\x80!"), "😀!");
  EXPECT_EQ(s.finish(), "");
}

TEST(Bpe, BadFiles) {
  EXPECT_THROW(BpeTokenizer("/nonexistent/tokenizer.json"), Error);
  EXPECT_THROW(BpeTokenizer(OMNI_SOURCE_DIR "/models/nano/config.json"), Error);
}

}  // namespace
}  // namespace omni
