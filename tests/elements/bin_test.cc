#include "elements/harness.h"

namespace omni_test {
namespace {

const auto* const g_environment = testing::AddGlobalTestEnvironment(new GstEnvironment);

class Bin : public GstTest {};

TEST_F(Bin, TheFirstExampleOfTheReadmeCaptions) {
  const Outcome o = run("omnibin name=o model-path=" NANO
                        " videotestsrc is-live=true pattern=ball ! o.sink_video audiotestsrc "
                        "is-live=true ! o.sink_audio o.src_text ! fakesink dump=false",
                        kMost, {}, {}, 1);
  EXPECT_EQ(o.error, "");
  ASSERT_EQ(o.answers.size(), 1u);
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

// Half of what television sends is interlaced, or says frame by frame whether it is.
TEST_F(Bin, InterlacedVideoIsDeinterlacedOnTheWayToTheModel) {
  for (const char* format : {"I420", "v210"})
    for (const char* mode : {"interleaved", "mixed"}) {
      const std::string caps = std::string("video/x-raw,format=") + format +
                               ",width=160,height=120,framerate=30/1,interlace-mode=" + mode;
      SCOPED_TRACE(caps);
      const Outcome o =
          run("videotestsrc num-buffers=120 ! " + caps +
              " ! omnibin name=o model-path=" NANO " o.src_text ! fakesink o.src_video ! " + caps +
              " ! fakesink");
      EXPECT_TRUE(o.eos) << o.error;
      EXPECT_EQ(o.answers.size(), 4u) << "text and places of two chunks";
    }
}

// A lone omnibin offers what its tokenizers take, whatever memory or layout that is.
TEST_F(Bin, OffersWhatItsTokenizersTake) {
  GstElement* b = gst_element_factory_make("omnibin", nullptr);
  for (const auto& [name, factory] :
       {std::pair{"sink_video", "omnivideotokenizer"}, {"sink_audio", "omniaudiotokenizer"}}) {
    GstElement* tokenizer = gst_element_factory_make(factory, nullptr);
    GstPad *pad = gst_element_request_pad_simple(b, name),
           *sink = gst_element_get_static_pad(tokenizer, "sink");
    GstCaps *offered = gst_pad_query_caps(pad, nullptr),
            *taken = gst_pad_get_pad_template_caps(sink),
            *templ = gst_pad_get_pad_template_caps(pad);
    EXPECT_TRUE(gst_caps_is_subset(taken, templ)) << name;
    EXPECT_TRUE(gst_caps_is_subset(taken, offered)) << name;
    for (GstCaps* c : {offered, taken, templ}) gst_caps_unref(c);
    gst_object_unref(sink);
    gst_object_unref(pad);
    gst_object_unref(tokenizer);
  }
  gst_object_unref(b);
}

TEST_F(Bin, EndsWhereNothingIsDownstream) {
  const Outcome o =
      run("videotestsrc num-buffers=120 ! video/x-raw,framerate=30/1 ! omnibin model-path=" NANO);
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.answers.size(), 2u);
}

// A file without sound, asked for both.
TEST_F(Bin, AStreamThatNeverComesIsToldOfAndNotWaitedFor) {
  const Outcome o =
      run("videotestsrc num-buffers=120 ! video/x-raw,framerate=30/1 ! o.sink_video omnibin "
          "name=o model-path=" NANO " o.src_text ! fakesink",
          kMost, [](GstElement* pipeline) {
            GstElement* b = gst_bin_get_by_name(GST_BIN(pipeline), "o");
            gst_object_unref(gst_element_request_pad_simple(b, "sink_audio"));
            gst_object_unref(b);
          });
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.answers.size(), 2u);
  EXPECT_EQ(o.warnings,
            std::vector<std::string>{"sink_audio was asked for, and no stream came to it"});
}

// With the pad of the model behind it.
TEST_F(Bin, APadThatIsReleasedGoesAndComesAgain) {
  GstElement *b = gst_element_factory_make("omnibin", nullptr),
             *model = gst_bin_get_by_name(GST_BIN(b), "model");
  for (int i = 0; i < 2; ++i) {
    GstPad* pad = gst_element_request_pad_simple(b, "src_text");
    ASSERT_TRUE(pad);
    EXPECT_EQ(model->numsrcpads, 1);
    gst_element_release_request_pad(b, pad);
    gst_object_unref(pad);
    EXPECT_EQ(b->numpads, 0);
    EXPECT_EQ(model->numsrcpads, 0);
  }
  gst_object_unref(model);
  gst_object_unref(b);
}

}  // namespace
}  // namespace omni_test
