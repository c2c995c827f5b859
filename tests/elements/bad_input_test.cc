// What is wrong outside ends in one GStreamer error that says what and where.
#include "elements/harness.h"

namespace omni_test {
namespace {

class BadInput : public GstTest {};

Outcome with_model(
    const std::string& path,
    const std::string& source =
        "videotestsrc num-buffers=30 ! video/x-raw,width=64,height=48,framerate=30/1") {
  return run("omnimodel name=m model-path=" + path + " " + source +
                 " ! omnivideotokenizer ! m.video_0 m.text_0 ! fakesink",
             kMost);
}

TEST_F(BadInput, NoSuchFolder) {
  const Outcome o = with_model("/nonexistent/model");
  EXPECT_NE(o.error.find("/nonexistent/model"), std::string::npos) << o.error;
  EXPECT_EQ(o.error_domain, GST_RESOURCE_ERROR);
  EXPECT_EQ(o.error_code, GST_RESOURCE_ERROR_NOT_FOUND);
}

TEST_F(BadInput, AFolderThatIsNoCheckpoint) {
  const Outcome o = with_model(OMNI_SOURCE_DIR "/docs");
  EXPECT_NE(o.error.find("config.json"), std::string::npos) << o.error;
}

TEST_F(BadInput, NoModelAnywhere) {
  const Outcome o =
      run("omnimodel name=m videotestsrc num-buffers=30 ! omnivideotokenizer ! m.video_0 m.text_0 "
          "! fakesink",
          kMost);
  EXPECT_NE(o.error.find("model-path"), std::string::npos) << o.error;
  EXPECT_EQ(o.error_domain, GST_LIBRARY_ERROR);
  EXPECT_EQ(o.error_code, GST_LIBRARY_ERROR_SETTINGS);
}

TEST_F(BadInput, ADeviceThatIsNotHere) {
  const Outcome o = run("omnibin name=o device=cuda model-path=" NANO
                        " videotestsrc num-buffers=30 ! o.sink_video o.src_text ! fakesink",
                        kMost);
  EXPECT_NE(o.error.find("CUDA"), std::string::npos) << o.error;
}

TEST_F(BadInput, PicturesOfAbsurdSize) {
  EXPECT_TRUE(
      with_model(NANO,
                 "videotestsrc num-buffers=3 ! video/x-raw,width=16384,height=100,framerate=1/1")
          .eos);
  const Outcome thin = with_model(
      NANO, "videotestsrc num-buffers=3 ! video/x-raw,width=16384,height=16,framerate=1/1");
  EXPECT_NE(thin.error.find("aspect ratio"), std::string::npos) << thin.error;
  Harness h("omnivideotokenizer");
  h.offer_caps("video/x-raw,format=RGB,width=0,height=0,framerate=1/1");
  EXPECT_EQ(gst_harness_push(h, gst_buffer_new()), GST_FLOW_NOT_NEGOTIATED);
}

TEST_F(BadInput, AQuestionLongerThanTheContext) {
  const std::string file = std::string(OMNI_BINARY_DIR) + "/long_question.txt";
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "ball ";
  std::ofstream(file) << text;
  const Outcome o =
      run("omnimodel name=m model-path=" NANO " filesrc blocksize=200000 location=" + file +
              " ! text/x-raw,format=utf8 ! m.prompt_0 m.text_0 ! fakesink",
          kMost);
  EXPECT_NE(o.error.find("max-tokens"), std::string::npos) << o.error;
  EXPECT_EQ(o.error_domain, GST_LIBRARY_ERROR);
}

TEST_F(BadInput, PropertiesOutOfRangeAreRefusedByGObject) {
  EXPECT_NE(run("omnibin trigger=nonsense", GST_SECOND).error, "");
}

}  // namespace
}  // namespace omni_test
