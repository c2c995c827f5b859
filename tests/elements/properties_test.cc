// Properties that change after an element was made: each change is passed on to what stands behind
// it.
#include "elements/harness.h"

namespace omni_test {
namespace {

class Properties : public GstTest, public testing::WithParamInterface<const char*> {};

// The pipeline is told to ask for it anew.
TEST_P(Properties, LatencyIsAskedForAnewWhenItChanges) {
  GstElement* e = gst_element_factory_make(GetParam(), nullptr);
  GstBus* bus = gst_bus_new();
  gst_element_set_bus(e, bus);
  g_object_set(e, "latency", 321u, nullptr);
  GstMessage* m = gst_bus_pop_filtered(bus, GST_MESSAGE_LATENCY);
  EXPECT_TRUE(m);
  if (m) gst_message_unref(m);
  gst_element_set_bus(e, nullptr);
  gst_object_unref(bus);
  gst_object_unref(e);
}

INSTANTIATE_TEST_SUITE_P(Elements, Properties,
                         testing::Values("omnivideotokenizer", "omniaudiotokenizer", "omnimodel",
                                         "omnicombiner", "omnioverlay", "omnitranscriber"),
                         [](const auto& test) { return std::string(test.param); });

class ModelProperties : public GstTest {
 protected:
  static constexpr int kFramesOfAChunk = 4;  // at two a second

  ModelProperties() {
    pipeline_ = gst_parse_launch(
        "appsrc name=in format=time caps=video/x-raw,format=RGB,width=64,height=48,framerate=2/1 ! "
        "omnivideotokenizer ! m.video_0 omnimodel name=m prompt=First? max-tokens=4 "
        "model-path=" FIXTURE_A " m.text_0 ! fakesink async=false",
        nullptr);
    in_ = gst_bin_get_by_name(GST_BIN(pipeline_), "in");
    model_ = gst_bin_get_by_name(GST_BIN(pipeline_), "m");
    bus_ = gst_element_get_bus(pipeline_);
    gst_element_set_state(pipeline_, GST_STATE_PLAYING);
  }
  ~ModelProperties() override {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    gst_object_unref(bus_);
    gst_object_unref(model_);
    gst_object_unref(in_);
    gst_object_unref(pipeline_);
  }

  // What is asked about the next chunk.
  std::string question() {
    for (int i = 0; i < kFramesOfAChunk; ++i) {
      GstBuffer* frame = gst_buffer_new_allocate(nullptr, 64 * 48 * 3, nullptr);
      gst_buffer_memset(frame, 0, 100, 64 * 48 * 3);
      GST_BUFFER_PTS(frame) = guint64(n_frames_++) * GST_SECOND / 2;
      GST_BUFFER_DURATION(frame) = GST_SECOND / 2;
      GstFlowReturn flow = GST_FLOW_OK;
      g_signal_emit_by_name(in_, "push-buffer", frame, &flow);
      gst_buffer_unref(frame);
    }
    std::string asked = "nothing";
    while (GstMessage* m = gst_bus_timed_pop_filtered(
               bus_, 60 * GST_SECOND, GstMessageType(GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR))) {
      const bool is_answer = gst_message_has_name(m, "omni/answer");
      if (is_answer) asked = gst_structure_get_string(gst_message_get_structure(m), "question");
      const bool is_end = is_answer || GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR;
      gst_message_unref(m);
      if (is_end) break;
    }
    return asked;
  }

  GstElement *pipeline_, *in_, *model_;
  GstBus* bus_;
  int n_frames_ = 0;
};

TEST_F(ModelProperties, AChangedPromptIsTheNextQuestion) {
  EXPECT_EQ(question(), "First?");
  g_object_set(model_, "prompt", "Second?", nullptr);
  EXPECT_EQ(question(), "Second?");
  g_object_set(model_, "prompt", "Third?", nullptr);
  EXPECT_EQ(question(), "Third?");
}

}  // namespace
}  // namespace omni_test
