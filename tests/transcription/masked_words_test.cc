#include "transcription/masked_words.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

TEST(MaskedWords, LeavesTheFirstLetterAndThePunctuation) {
  const MaskedWords m({"darn", "Häck"});
  EXPECT_EQ(m.apply("darn"), "d***");
  EXPECT_EQ(m.apply("\"DARN!\""), "\"D***!\"");
  EXPECT_EQ(m.apply("darned"), "darned");
  EXPECT_EQ(m.apply("häck,"), "h***,");
  EXPECT_EQ(m.apply("..."), "...");
  EXPECT_EQ(m.apply(""), "");
  EXPECT_EQ(MaskedWords({}).apply("darn"), "darn");
}

}  // namespace
}  // namespace omni
