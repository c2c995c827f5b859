// What is read out of an answer while it is written.
#include "session/answer_reader.h"

#include <gtest/gtest.h>

namespace omni {
namespace {

Answer seen_at(Nanoseconds time) {
  Answer a;
  a.picture = SeenPicture{{640, 480, 320, 240}, time};
  return a;
}

// The ball of an answer about the frame at `time`.
SpatialObject ball(double x, Nanoseconds time, Tracking tracking, Tracker& tracker) {
  AnswerReader reader(Coordinates::resized_pixels, false, true);
  const std::string text = "[{\"bbox_2d\":[" + std::to_string(x) + ",20," + std::to_string(x + 30) +
                           ",60],\"label\":\"ball\"}]";
  reader.push({.bytes = text, .text = text});
  EXPECT_FALSE(reader.finish(text)) << "nobody wants pieces";
  const auto result = reader.objects(seen_at(time), "Where?", {0, kSecond}, tracking, tracker);
  EXPECT_TRUE(result);
  EXPECT_EQ(result->objects.size(), 1u);
  EXPECT_EQ(result->frame_time, time);
  EXPECT_EQ(result->counts.objects, 1);
  return result->objects.at(0);
}

TEST(AnswerReader, ObjectsAreMatchedOrFollowed) {
  for (const Tracking tracking : {Tracking::none, Tracking::match, Tracking::predict}) {
    Tracker tracker;
    const SpatialObject first = ball(10, 0, tracking, tracker),
                        second = ball(15, kSecond / 2, tracking, tracker);
    EXPECT_EQ(first.box->x1, 20) << "in pixels of the source";
    EXPECT_EQ(first.track, tracking == Tracking::none ? 0 : 1);
    EXPECT_EQ(second.track, first.track);
    EXPECT_EQ(second.velocity.has_value(), tracking == Tracking::predict);
    if (second.velocity) {
      EXPECT_NEAR(second.velocity->x, 20, 1e-6);
    }
  }
}

TEST(AnswerReader, WithoutAPictureThereAreNone) {
  Tracker tracker;
  AnswerReader reader(Coordinates::resized_pixels, false, true);
  reader.push({.bytes = "[{\"bbox_2d\":[1,2,3,4],\"label\":\"ball\"}]", .text = ""});
  EXPECT_TRUE(reader.has_objects());
  EXPECT_FALSE(reader.objects({}, "Where?", {}, Tracking::match, tracker));
}

TEST(AnswerReader, APieceLeavesWhenItIsKnownNotToBeTheLast) {
  AnswerReader reader(Coordinates::resized_pixels, true, false);
  EXPECT_FALSE(reader.push({.bytes = "One", .text = "One"}));
  EXPECT_FALSE(reader.push({.bytes = "<|x|>", .text = "", .is_markup = true}));
  auto piece = reader.push({.bytes = " two", .text = " two"});
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->text, "One");
  EXPECT_FALSE(piece->is_last);
  piece = reader.finish("One two\xef\xbf\xbd");
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->text, " two\xef\xbf\xbd") << "with what was no whole character";
  EXPECT_TRUE(piece->is_last);
}

}  // namespace
}  // namespace omni
