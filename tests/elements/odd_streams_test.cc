// What the torture harness found (tests/torture): streams and neighbours that break the rules, each
// once and in a fixed order.
#include <gst/audio/audio.h>

#include <atomic>
#include <climits>
#include <thread>
#include <utility>

#include "elements/harness.h"
#include "tokens/gstomnitokens.h"

namespace omni_test {
namespace {

constexpr char kAudio[] = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";
constexpr char kVideo[] = "video/x-raw,format=RGB,width=56,height=56,framerate=5/1";
constexpr char kTokens[] = "application/x-omni-tokens,modality=video,hidden=64,format=F32LE";

GstBuffer* zeros(gsize size, GstClockTime pts) {
  GstBuffer* b = gst_buffer_new_allocate(nullptr, size, nullptr);
  gst_buffer_memset(b, 0, 0, size);
  GST_BUFFER_PTS(b) = pts;
  GST_BUFFER_DURATION(b) = 200 * GST_MSECOND;
  return b;
}

void push_caps(GstPad* src, const char* text) {
  GstCaps* caps = gst_caps_from_string(text);
  gst_pad_push_event(src, gst_event_new_stream_start("test"));
  gst_pad_push_event(src, gst_event_new_caps(caps));
  gst_caps_unref(caps);
}

void push_segment(GstPad* src, GstFormat format, double rate = 1) {
  GstSegment segment;
  gst_segment_init(&segment, format);
  segment.rate = rate;
  gst_pad_push_event(src, gst_event_new_segment(&segment));
}

// An active source pad that is linked to `sink`.
GstPad* feeder_of(GstPad* sink) {
  GstPad* src = gst_pad_new("src", GST_PAD_SRC);
  gst_pad_set_active(src, TRUE);
  EXPECT_EQ(gst_pad_link(src, sink), GST_PAD_LINK_OK);
  return src;
}

// Beyond it GStreamer's resampler ends the process.
TEST(OddStreams, ARateThatNoAudioHasIsRefused) {
  for (const char* factory : {"omniaudiotokenizer", "omnitranscriber"}) {
    GstElement* e = gst_element_factory_make(factory, nullptr);
    GstPad* sink = gst_element_get_static_pad(e, "sink");
    for (const auto& [rate, taken] : {std::pair{768000, TRUE}, {INT_MAX, FALSE}}) {
      GstCaps* caps = gst_caps_from_string(kAudio);
      gst_caps_set_simple(caps, "rate", G_TYPE_INT, rate, nullptr);
      EXPECT_EQ(gst_pad_query_accept_caps(sink, caps), taken) << factory << " " << rate;
      gst_caps_unref(caps);
    }
    gst_object_unref(sink);
    gst_object_unref(e);
  }
}

TEST(OddStreams, AHoleShorterThanASampleIsNone) {
  Harness h("omniaudiotokenizer");
  gst_harness_set_live(h, FALSE);
  gst_harness_set_src_caps_str(h, "audio/x-raw,format=U8,rate=5,channels=1,layout=interleaved");
  EXPECT_EQ(gst_harness_push(h, zeros(1, 0)), GST_FLOW_OK);
  EXPECT_EQ(gst_harness_push(h, zeros(1, 250 * GST_MSECOND)), GST_FLOW_OK);
  auto out = h.drain();
  unref_all(out);
  EXPECT_EQ(h.error(nullptr, nullptr, 0), "");
}

TEST(OddStreams, SamplesThatAreNotThereAreAnError) {
  Harness h("omniaudiotokenizer");
  gst_harness_set_live(h, FALSE);
  gst_harness_set_src_caps_str(h, kAudio);
  GstBuffer* b = zeros(100, 0);
  GstAudioInfo info;
  gst_audio_info_set_format(&info, GST_AUDIO_FORMAT_S16LE, 16000, 1, nullptr);
  gst_buffer_add_audio_meta(b, &info, 50, nullptr)->samples = 5000;
  gst_harness_push(h, b);
  EXPECT_NE(h.error().find("says that it has 5000 samples"), std::string::npos);
}

TEST(OddStreams, ABufferWithoutCapsIsNotNegotiated) {
  for (const char* factory : {"omnivideotokenizer", "omniaudiotokenizer"}) {
    Harness h(factory);
    gst_harness_set_live(h, FALSE);
    gst_harness_push_event(h, gst_event_new_stream_start("test"));
    push_segment(h->srcpad, GST_FORMAT_TIME);
    EXPECT_EQ(gst_harness_push(h, zeros(9408, 0)), GST_FLOW_NOT_NEGOTIATED) << factory;
  }
}

// A model in PLAYING with a pad of this template.
struct ModelWithPad {
  explicit ModelWithPad(const char* templ) : bus(gst_bus_new()) {
    element = gst_element_factory_make("omnimodel", nullptr);
    gst_element_set_bus(element, bus);
    g_object_set(element, "model-path", FIXTURE_A, "trigger", 2, nullptr);
    sink = gst_element_request_pad_simple(element, templ);
    gst_element_set_state(element, GST_STATE_PLAYING);
    src = feeder_of(sink);
  }
  ~ModelWithPad() {
    gst_element_set_state(element, GST_STATE_NULL);
    gst_element_set_bus(element, nullptr);
    for (gpointer o : {gpointer(src), gpointer(sink), gpointer(element), gpointer(bus)})
      gst_object_unref(o);
  }
  bool has(GstMessageType type, GstClockTime wait) {
    GstMessage* m = gst_bus_timed_pop_filtered(bus, wait, type);
    if (m) gst_message_unref(m);
    return m;
  }

  GstBus* bus;
  GstElement* element;
  GstPad *sink, *src;
};

TEST(OddStreams, TokensWithoutTimesAreOneError) {
  ModelWithPad m("video_0");
  push_caps(m.src, kTokens);
  push_segment(m.src, GST_FORMAT_BYTES);
  EXPECT_TRUE(m.has(GST_MESSAGE_ERROR, 0));
  for (int i = 0; i < 3; ++i) EXPECT_NE(gst_pad_push(m.src, zeros(256, 0)), GST_FLOW_OK);
  EXPECT_FALSE(m.has(GST_MESSAGE_ERROR, 0));
}

// As filesrc and fdsrc bring them.
TEST(OddStreams, QuestionsNeedNoTimes) {
  ModelWithPad m("prompt_0");
  push_caps(m.src, "text/x-raw,format=utf8");
  push_segment(m.src, GST_FORMAT_BYTES);
  EXPECT_EQ(gst_pad_push(m.src, gst_buffer_new_memdup("Why?", 4)), GST_FLOW_OK);
  EXPECT_TRUE(m.has(GST_MESSAGE_ELEMENT, 60 * GST_SECOND));
  EXPECT_FALSE(m.has(GST_MESSAGE_ERROR, 0));
}

// Its product is more than any integer holds.
TEST(OddStreams, TokensOfAGridThatLiesAreAnError) {
  ModelWithPad m("video_0");
  push_caps(m.src, kTokens);
  push_segment(m.src, GST_FORMAT_TIME);
  GstBuffer* b = zeros(256, 0);
  const GstMetaInfo* info = gst_meta_get_info("GstOmniTokenMeta");
  ASSERT_TRUE(info);
  auto* meta = reinterpret_cast<GstOmniTokenMeta*>(gst_buffer_add_meta(b, info, nullptr));
  meta->grid_t = meta->grid_h = meta->grid_w = INT_MAX;
  EXPECT_EQ(gst_pad_push(m.src, b), GST_FLOW_ERROR);
  EXPECT_TRUE(m.has(GST_MESSAGE_ERROR, 0));
}

// GStreamer counts backwards from the end only.
TEST(OddStreams, AReverseSegmentWithoutAnEnd) {
  for (const char* factory : {"omnivideotokenizer", "omnicombiner", "omnioverlay"}) {
    Harness h(factory, g_str_equal(factory, "omnivideotokenizer") ? FIXTURE_A : nullptr);
    gst_harness_set_live(h, FALSE);
    push_caps(h->srcpad, kVideo);
    push_segment(h->srcpad, GST_FORMAT_TIME, -1);
    for (guint64 i = 0; i < 5; ++i)
      EXPECT_EQ(gst_harness_push(h, zeros(9408, (5 - i) * GST_SECOND)), GST_FLOW_OK) << factory;
    auto out = h.drain();
    unref_all(out);
    EXPECT_EQ(h.error(nullptr, nullptr, 0), "") << factory;
  }
}

// deinterlace ends the process where a frame cannot be mapped.
TEST(OddStreams, AnInterlacedFrameThatIsTooSmallIsAnError) {
  const Outcome o = run(
      "appsrc name=in format=time caps=video/x-raw,format=I420,width=64,height=48,framerate=25/1,"
      "interlace-mode=interleaved ! o.sink_video omnibin name=o model-path=" FIXTURE_A,
      60 * GST_SECOND, [](GstElement* pipeline) {
        GstElement* in = gst_bin_get_by_name(GST_BIN(pipeline), "in");
        GstFlowReturn flow = GST_FLOW_OK;
        GstBuffer* b = zeros(1000, 0);
        gst_element_set_state(pipeline, GST_STATE_PAUSED);
        g_signal_emit_by_name(in, "push-buffer", b, &flow);
        gst_buffer_unref(b);
        gst_object_unref(in);
      });
  EXPECT_NE(o.error.find("1000 bytes is no frame of 64x48"), std::string::npos) << o.error;
}

// The question waits for the end of a flush that does not come.
TEST(OddStreams, APadOfTheBinIsReleasedWhileSomebodyWaitsInIt) {
  GstElement* pipeline = gst_pipeline_new(nullptr);
  GstElement* bin = gst_element_factory_make("omnibin", nullptr);
  g_object_set(bin, "model-path", FIXTURE_A, nullptr);
  gst_bin_add(GST_BIN(pipeline), bin);
  GstPad *audio = gst_element_request_pad_simple(bin, "sink_audio"),
         *prompt = gst_element_request_pad_simple(bin, "sink_prompt");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstPad *from_microphone = feeder_of(audio), *from_user = feeder_of(prompt);
  push_caps(from_microphone, kAudio);
  gst_pad_push_event(from_microphone, gst_event_new_flush_start());
  push_caps(from_user, "text/x-raw,format=utf8");
  push_segment(from_user, GST_FORMAT_TIME);
  std::atomic<GstFlowReturn> flow = GST_FLOW_OK;
  std::thread user([&] { flow = gst_pad_push(from_user, gst_buffer_new_memdup("Why?", 4)); });
  while (GST_PAD_STREAM_TRYLOCK(prompt)) {  // until it is inside
    GST_PAD_STREAM_UNLOCK(prompt);
    std::this_thread::yield();
  }
  gst_element_release_request_pad(bin, prompt);
  user.join();
  EXPECT_EQ(flow, GST_FLOW_FLUSHING);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  for (GstPad* pad : {from_microphone, from_user, audio, prompt}) gst_object_unref(pad);
  gst_object_unref(pipeline);
}

// Its part of the model goes with it, and comes again with the next link.
TEST(OddStreams, AMediaPadOfTheBinThatIsReleasedIsNotWaitedFor) {
  GstElement* bin = gst_element_factory_make("omnibin", nullptr);
  GstElement* model = gst_bin_get_by_name(GST_BIN(bin), "model");
  for (int i = 0; i < 2; ++i) {
    GstPad* audio = gst_element_request_pad_simple(bin, "sink_audio");
    GstPad* from = feeder_of(audio);
    EXPECT_EQ(model->numsinkpads, 1);
    gst_pad_unlink(from, audio);
    gst_element_release_request_pad(bin, audio);
    EXPECT_EQ(model->numsinkpads, 0);
    gst_object_unref(from);
    gst_object_unref(audio);
  }
  gst_object_unref(model);
  gst_object_unref(bin);
}

}  // namespace
}  // namespace omni_test
