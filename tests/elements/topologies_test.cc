// Ways to connect the elements in which a thread could come to wait for itself: one thread that
// feeds the model and what waits for the model, pads that come late, streams that follow one
// another. All must come to their end, with every frame that went in.
#include <atomic>

#include "elements/harness.h"

namespace omni_test {
namespace {

class Topologies : public GstTest {};

// Runs a line whose last element is called `end`; counts its frames.
void expect_frames(const std::string& launch, int n,
                   const std::function<void(GstElement*)>& setup = {}) {
  SCOPED_TRACE(launch);
  std::atomic<int> frames{0};
  const Outcome o = run(launch, kMost, [&](GstElement* pipeline) {
    GstElement* end = gst_bin_get_by_name(GST_BIN(pipeline), "end");
    g_object_set(end, "signal-handoffs", TRUE, nullptr);
    g_signal_connect(end, "handoff",
                     G_CALLBACK(+[](GstElement*, GstBuffer*, GstPad*, gpointer count) {
                       ++*static_cast<std::atomic<int>*>(count);
                     }),
                     &frames);
    gst_object_unref(end);
    if (setup) setup(pipeline);
  });
  EXPECT_TRUE(o.eos) << o.error << (o.timed_out ? " it hangs" : "");
  EXPECT_EQ(frames, n);
}

std::string video(int n, const char* more = "") {
  return std::string("videotestsrc pattern=ball num-buffers=") + std::to_string(n) +
         " ! video/x-raw,width=160,height=120,framerate=30/1" + more;
}

const std::string kModel =
    " omnivideotokenizer name=v model-path=" NANO " ! omnimodel name=m model-path=" NANO
    " json-schema=boxes m.spatial_0 ! c.spatial omnicombiner name=c ! fakesink name=end ";

TEST_F(Topologies, ATeeWithoutQueuesInEitherOrder) {
  const std::string tee = video(240) + " ! tee name=t ";
  expect_frames(tee + "t. ! v.sink t. ! c.sink" + kModel, 240);
  expect_frames(tee + "t. ! c.sink t. ! v.sink" + kModel, 240);
}

TEST_F(Topologies, ATeeWithAQueueOnOneSide) {
  const std::string tee = video(240) + " ! tee name=t ";
  expect_frames(tee + "t. ! queue ! v.sink t. ! c.sink" + kModel, 240);
  expect_frames(tee + "t. ! v.sink t. ! queue ! c.sink" + kModel, 240);
}

TEST_F(Topologies, StreamsThatFollowOneAnother) {
  expect_frames("concat name=k ! o.sink_video " + video(100, " ! k. ") + video(100, " ! k. ") +
                    "omnibin name=o json-schema=boxes model-path=" NANO
                    " o.src_video ! fakesink name=end",
                200);
}

TEST_F(Topologies, QuestionsThatAreAskedSeldom) {
  for (const char* trigger : {"trigger=interval interval=6000", "trigger=eos", "trigger=manual"})
    expect_frames(video(420) + " ! omnibin name=o json-schema=boxes model-path=" NANO " " +
                      trigger + " o.src_video ! fakesink name=end",
                  420);
}

TEST_F(Topologies, OneThreadForVideoAndSound) {
  const std::string file = testing::TempDir() + "omni_topologies.avi";
  const Outcome made = run(video(180, ",format=I420 ! avimux name=x ! filesink location=") + file +
                           " audiotestsrc num-buffers=300 ! audio/x-raw,rate=44100 ! x.");
  if (!made.eos) GTEST_SKIP() << made.error;
  for (const char* sinks : {"d.video_0 ! o.sink_video d.audio_0 ! o.sink_audio ",
                            "d.audio_0 ! o.sink_audio d.video_0 ! o.sink_video "})
    expect_frames("filesrc location=" + file + " ! avidemux name=d " + sinks +
                      "omnibin name=o json-schema=boxes model-path=" NANO
                      " o.src_video ! fakesink name=end o.src_text ! fakesink",
                  180);
  std::remove(file.c_str());
}

// As of a decoder whose file is slow to open: the model has long been loaded.
TEST_F(Topologies, PadsThatComeLate) {
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch("omnibin name=o json-schema=boxes model-path=" NANO
                                          " o.src_video ! fakesink name=end",
                                          &error);
  ASSERT_EQ(error, nullptr) << error->message;
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus* bus = gst_element_get_bus(pipeline);
  GstElement* bin = gst_bin_get_by_name(GST_BIN(pipeline), "o");
  GstElement* model = gst_bin_get_by_name(GST_BIN(bin), "model");
  const auto next = [&](GstMessageType types) {
    return gst_bus_timed_pop_filtered(bus, kMost,
                                      GstMessageType(types | GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
  };
  for (bool loaded = false; !loaded;) {
    GstMessage* m = next(GST_MESSAGE_LATENCY);
    ASSERT_TRUE(m && GST_MESSAGE_TYPE(m) == GST_MESSAGE_LATENCY);
    loaded = GST_MESSAGE_SRC(m) == GST_OBJECT(model);
    gst_message_unref(m);
  }
  gst_object_unref(model);
  g_usleep(20000);  // the worker has looked for work and found none
  GstElement* source =
      gst_parse_bin_from_description((video(240) + " ! identity").c_str(), TRUE, &error);
  ASSERT_EQ(error, nullptr) << error->message;
  gst_bin_add(GST_BIN(pipeline), source);
  EXPECT_TRUE(gst_element_link_pads(source, "src", bin, "sink_video"));
  gst_element_sync_state_with_parent(source);
  GstMessage* m = next(GST_MESSAGE_EOS);
  EXPECT_TRUE(m && GST_MESSAGE_TYPE(m) == GST_MESSAGE_EOS) << (m ? "an error" : "it hangs");
  if (m) gst_message_unref(m);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(bin);
  gst_object_unref(bus);
  gst_object_unref(pipeline);
}

}  // namespace
}  // namespace omni_test
