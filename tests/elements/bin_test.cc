#include "elements/harness.h"

namespace omni_test {
namespace {

const auto* const g_environment = testing::AddGlobalTestEnvironment(new GstEnvironment);

class Bin : public GstTest {};

TEST_F(Bin, TheFirstExampleOfTheReadmeCaptions) {
  const Outcome o = run("omnibin name=o model-path=" NANO
                        " videotestsrc is-live=true pattern=ball ! o.sink_video audiotestsrc "
                        "is-live=true ! o.sink_audio o.src_text ! fakesink dump=false",
                        9 * GST_SECOND);
  EXPECT_EQ(o.error, "");
  ASSERT_GE(o.answers.size(), 1u);
  EXPECT_NE(o.answers.back().find("ball"), std::string::npos) << o.answers.back();
}

TEST_F(Bin, AnyPadAlone) {
  for (const char* source : {"videotestsrc num-buffers=90 ! o.sink_video",
                             "audiotestsrc num-buffers=200 ! o.sink_audio"}) {
    const Outcome o =
        run(std::string("omnibin name=o model-path=" NANO " ") + source + " o.src_text ! fakesink");
    EXPECT_TRUE(o.eos) << o.error;
    EXPECT_GE(o.answers.size(), 1u);
  }
}

TEST_F(Bin, ConvertsOddFormats) {
  const Outcome o = run("omnibin name=o model-path=" NANO
                        " videotestsrc num-buffers=70 ! "
                        "video/x-raw,format=Y444_10LE,width=320,height=180,framerate=30/1 ! "
                        "o.sink_video o.src_text ! fakesink");
  EXPECT_TRUE(o.eos) << o.error;
}

TEST_F(Bin, HasThePropertiesOfItsParts) {
  GstElement* b = gst_element_factory_make("omnibin", nullptr);
  g_object_set(b, "prompt", "Any fault?", "frame-rate", 4, 1, "max-tokens", 7, "temperature", 0.5,
               nullptr);
  GstElement* model = gst_bin_get_by_name(GST_BIN(b), "model");
  char* prompt = nullptr;
  guint tokens = 0;
  gint num = 0, den = 0;
  g_object_get(model, "prompt", &prompt, "max-tokens", &tokens, nullptr);
  g_object_get(b, "frame-rate", &num, &den, nullptr);
  EXPECT_STREQ(prompt, "Any fault?");
  EXPECT_EQ(tokens, 7u);
  g_free(prompt);
  gst_object_unref(model);
  GstStructure* stats = nullptr;
  g_object_get(b, "stats", &stats, nullptr);
  EXPECT_TRUE(gst_structure_has_name(stats, "omni-model-stats"));
  gst_structure_free(stats);
  gst_object_unref(b);
}

TEST_F(Bin, SeveralInOneProcess) {
  const Outcome o = run("omnibin name=a model-path=" NANO
                        " videotestsrc num-buffers=120 ! video/x-raw,framerate=30/1 ! a.sink_video "
                        "a.src_text ! fakesink "
                        "omnibin name=b model-path=" NANO
                        " videotestsrc num-buffers=120 pattern=ball ! video/x-raw,framerate=30/1 ! "
                        "b.sink_video b.src_text ! fakesink");
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.answers.size(), 4u);
}

// Video that goes through the bin leaves as it came, with what the model saw on it, in whatever
// order the pads were asked for.
TEST_F(Bin, VideoLeavesWithObjects) {
  const std::string
      video =
          "videotestsrc pattern=ball num-buffers=180 ! "
          "video/x-raw,width=640,height=360,format=NV12 ! o.sink_video ",
      sound = "audiotestsrc num-buffers=260 ! o.sink_audio ",
      out = "o.src_video ! video/x-raw,format=NV12,width=640 ! omnioverlay ! fakesink name=end ",
      more = "o.src_spatial ! fakesink o.src_text ! fakesink ";
  for (const std::string& order : {video + sound + out + more, out + more + sound + video}) {
    const Outcome o =
        run("omnibin name=o model-path=" NANO
            " json-schema=boxes expire-after=3000000000 spatial-prompt=\"Detect all objects.\" " +
            order);
    EXPECT_TRUE(o.eos) << o.error;
    EXPECT_EQ(o.answers.size(), 6u);
  }
}

}  // namespace
}  // namespace omni_test
