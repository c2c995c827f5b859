// omnicombiner and omnioverlay: video passes whole, in order and on time whatever the stream beside
// it does; what belongs on a frame is on it.
#include <gst/video/video.h>

#include <atomic>
#include <random>
#include <thread>

#include "elements/harness.h"

namespace omni_test {
namespace {

class Outputs : public GstTest {};

constexpr const char* kCaps = "video/x-raw,format=RGB,width=320,height=240,framerate=10/1";
constexpr GstClockTime kFrame = GST_SECOND / 10;

std::string document(GstClockTime time, double x, const char* more = "") {
  return "{\"version\":1,\"frame\":{\"time\":" + std::to_string(time) +
         ",\"width\":640,\"height\":480},\"objects\":[{\"label\":\"ball\",\"box\":[" +
         std::to_string(x) + ",40," + std::to_string(x + 60) + ",100],\"track\":3" + more + "}]}\n";
}

// A merging element with both of its streams at hand.
struct Rig {
  explicit Rig(const char* factory, const char* side_pad, const char* side_caps,
               bool live = false) {
    GstElement* e = gst_element_factory_make(factory, nullptr);
    video = gst_harness_new_with_element(e, "sink", "src");
    if (side_pad) {
      side = gst_harness_new_with_element(e, side_pad, nullptr);
      gst_harness_set_src_caps_str(side, side_caps);
    }
    gst_object_unref(e);
    if (live) gst_harness_set_upstream_latency(video, 0);
    gst_harness_set_live(video, live);
    gst_harness_set_src_caps_str(video, kCaps);
  }
  ~Rig() {
    if (side) gst_harness_teardown(side);
    gst_harness_teardown(video);
  }
  void frames(int begin, int end, GstClockTime pts0 = 0) {
    for (int i = begin; i < end; ++i) {
      GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
      gst_buffer_memset(b, 0, guint8(i), 320 * 240 * 3);
      GST_BUFFER_PTS(b) = pts0 + guint64(i) * kFrame;
      GST_BUFFER_DURATION(b) = kFrame;
      ASSERT_EQ(gst_harness_push(video, b), GST_FLOW_OK);
    }
  }
  void put(const std::string& text, GstClockTime start, GstClockTime duration,
           const AnswerMeta* answered = nullptr) {
    GstBuffer* b = gst_buffer_new_memdup(text.data(), text.size());
    GST_BUFFER_PTS(b) = start;
    GST_BUFFER_DURATION(b) = duration;
    if (answered) add_answer(b, *answered);
    ASSERT_EQ(gst_harness_push(side, b), GST_FLOW_OK);
  }
  void gap(GstClockTime start, GstClockTime end) {
    gst_harness_push_event(side, gst_event_new_gap(start, end - start));
  }

  // Pulls n frames: "PTS/100 ms:x of its box" each, "-" where there is none.
  std::string pull(int n) {
    std::string out;
    for (int i = 0; i < n; ++i) {
      GstBuffer* b = gst_harness_pull(video);
      if (!b) return out + " nothing";
      gpointer state = nullptr;
      auto* roi = reinterpret_cast<GstVideoRegionOfInterestMeta*>(
          gst_buffer_iterate_meta_filtered(b, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE));
      out.append(out.empty() ? "" : " ").append(std::to_string(GST_BUFFER_PTS(b) / kFrame));
      out.append(":").append(roi ? std::to_string(roi->x) : "-");
      guint8 value = 0;
      gst_buffer_extract(b, 0, &value, 1);
      EXPECT_EQ(value, guint8(GST_BUFFER_PTS(b) / kFrame)) << "pixels of another frame";
      gst_buffer_unref(b);
    }
    return out;
  }

  GstHarness *video, *side = nullptr;
};

constexpr const char* kSpatial = "application/x-omni-spatial,version=1";

TEST_F(Outputs, FramesWaitForTheirResultAndKeepIt) {
  Rig r("omnicombiner", "spatial", kSpatial);
  r.frames(0, 12);
  EXPECT_EQ(gst_harness_try_pull(r.video), nullptr) << "nothing is known of frame 0 yet";
  r.gap(0, 3 * kFrame);
  EXPECT_EQ(r.pull(3), "0:- 1:- 2:-");
  r.put(document(3 * kFrame, 20), 3 * kFrame, kFrame);
  EXPECT_EQ(r.pull(1), "3:10");
  r.gap(4 * kFrame, 6 * kFrame);
  r.put(document(6 * kFrame, 100), 6 * kFrame, 2 * kFrame);
  EXPECT_EQ(r.pull(4), "4:10 5:10 6:50 7:50");
  gst_harness_push_event(r.side, gst_event_new_eos());
  EXPECT_EQ(r.pull(4), "8:50 9:50 10:50 11:50");
  gst_harness_push_event(r.video, gst_event_new_eos());
  for (GstEvent* e = nullptr;;) {
    e = gst_harness_pull_event(r.video);
    ASSERT_NE(e, nullptr);
    const bool eos = GST_EVENT_TYPE(e) == GST_EVENT_EOS;
    gst_event_unref(e);
    if (eos) break;
  }
}

TEST_F(Outputs, ResultsMayComeInAnyOrder) {
  Rig r("omnicombiner", "spatial", kSpatial);
  for (const int i : {5, 2, 3})
    r.put(document(guint64(i) * kFrame, 40. * i), guint64(i) * kFrame, kFrame);
  gst_harness_push_event(r.side, gst_event_new_eos());
  r.frames(0, 7);
  EXPECT_EQ(r.pull(7), "0:- 1:- 2:40 3:60 4:60 5:100 6:100");
}

TEST_F(Outputs, ResultsExpireAndMove) {
  Rig r("omnicombiner", "spatial", kSpatial);
  g_object_set(r.video->element, "expire-after", gint64(3 * kFrame), nullptr);
  r.put(document(0, 20, ",\"velocity\":[200,0]"), 0, kFrame);
  gst_harness_push_event(r.side, gst_event_new_eos());
  r.frames(0, 6);
  EXPECT_EQ(r.pull(6), "0:10 1:20 2:30 3:40 4:- 5:-");
}

TEST_F(Outputs, AllFactsAreOnTheRegion) {
  Rig r("omnicombiner", "spatial", kSpatial);
  r.put(document(0, 20, ",\"checks\":{\"label_probability\":0.81,\"place_probability\":0.64}"), 0,
        kFrame);
  r.frames(0, 1);
  GstBuffer* b = gst_harness_pull(r.video);
  auto* roi = gst_buffer_get_video_region_of_interest_meta_id(b, 3);
  ASSERT_NE(roi, nullptr);
  EXPECT_EQ((std::vector<guint>{roi->x, roi->y, roi->w, roi->h}),
            (std::vector<guint>{10, 20, 30, 30}));
  const GstStructure* d = gst_video_region_of_interest_meta_get_param(roi, "detection");
  double confidence = 0, x_max = 0;
  EXPECT_STREQ(gst_structure_get_string(d, "label"), "ball");
  EXPECT_TRUE(gst_structure_get_double(d, "confidence", &confidence) &&
              gst_structure_get_double(d, "x_max", &x_max));
  EXPECT_NEAR(confidence, 0.72, 1e-6);
  EXPECT_NEAR(x_max, 40 / 320.0, 1e-6);
  EXPECT_STREQ(g_quark_to_string(roi->roi_type), "omni") << "labels are no quarks";
  gst_buffer_unref(b);
}

// GStreamer 1.24 and later: upstream's own overlay reads what the combiner wrote.
TEST_F(Outputs, ObjectDetectionOverlayReadsThem) {
  GstElementFactory* there = gst_element_factory_find("objectdetectionoverlay");
  if (!there) GTEST_SKIP() << "this GStreamer has no objectdetectionoverlay";
  gst_object_unref(there);
  Rig r("omnicombiner", "spatial", kSpatial);
  r.put(document(0, 20), 0, kFrame);
  r.frames(0, 1);
  GstBuffer* b = gst_harness_pull(r.video);
  // Only GstAnalytics is left, and our own overlay reads that too.
  b = gst_buffer_make_writable(b);
  while (GstMeta* roi = gst_buffer_get_meta(b, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))
    gst_buffer_remove_meta(b, roi);
  for (const char* factory : {"objectdetectionoverlay", "omnioverlay"}) {
    GstHarness* h = gst_harness_new_with_padnames(factory, "sink", "src");
    gst_harness_set_src_caps_str(h, kCaps);
    gst_harness_push(h, gst_buffer_copy_deep(b));
    GstBuffer* out = gst_harness_pull(h);
    GstMapInfo map;
    gst_buffer_map(out, &map, GST_MAP_READ);
    int painted = 0, elsewhere = 0;
    for (int y = 0; y < 240; ++y)
      for (int x = 0; x < 320; ++x) {
        const bool changed = map.data[(y * 320 + x) * 3] || map.data[(y * 320 + x) * 3 + 1] ||
                             map.data[(y * 320 + x) * 3 + 2];
        (y < 80 ? painted : elsewhere) += changed;  // upstream writes the label beside the box
      }
    gst_buffer_unmap(out, &map);
    gst_buffer_unref(out);
    gst_harness_teardown(h);
    EXPECT_GT(painted, 60) << factory;
    EXPECT_EQ(elsewhere, 0) << factory;
  }
  gst_buffer_unref(b);
}

TEST_F(Outputs, NothingLinkedNothingWaits) {
  Rig r("omnicombiner", nullptr, nullptr);
  r.frames(0, 3);
  EXPECT_EQ(r.pull(3), "0:- 1:- 2:-");
  Rig live("omnicombiner", nullptr, nullptr, true);
  g_object_set(live.video->element, "latency", 250u, nullptr);
  EXPECT_EQ(gst_harness_query_latency(live.video), 0u);
}

TEST_F(Outputs, FlushStartsAnew) {
  Rig r("omnicombiner", "spatial", kSpatial);
  r.put(document(0, 20), 0, kFrame);
  r.frames(0, 5);
  EXPECT_EQ(r.pull(1), "0:10");
  for (GstHarness* h : {r.video, r.side}) {
    gst_harness_push_event(h, gst_event_new_flush_start());
    gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
    GstSegment s;
    gst_segment_init(&s, GST_FORMAT_TIME);
    gst_harness_push_event(h, gst_event_new_segment(&s));
  }
  r.frames(0, 2);
  EXPECT_EQ(gst_harness_try_pull(r.video), nullptr);
  r.put(document(0, 200), 0, 2 * kFrame);
  EXPECT_EQ(r.pull(2), "0:100 1:100");
}

TEST_F(Outputs, CapsChangeInOrder) {
  Rig r("omnicombiner", "spatial", kSpatial);
  r.frames(0, 2);
  gst_harness_set_src_caps_str(r.video,
                               "video/x-raw,format=RGB,width=640,height=480,framerate=10/1");
  GstBuffer* large = gst_buffer_new_and_alloc(640 * 480 * 3);
  GST_BUFFER_PTS(large) = 2 * kFrame;
  gst_harness_push(r.video, large);
  r.put(document(0, 20), 0, 3 * kFrame);
  EXPECT_EQ(r.pull(2), "0:10 1:10");
  GstBuffer* b = gst_harness_pull(r.video);
  auto* roi = gst_buffer_get_video_region_of_interest_meta_id(b, 3);
  ASSERT_NE(roi, nullptr);
  EXPECT_EQ(roi->x, 20u) << "in pixels of the new size";
  EXPECT_EQ(gst_buffer_get_size(b), 640u * 480 * 3);
  gst_buffer_unref(b);
}

void flush(GstHarness* h) {
  gst_harness_push_event(h, gst_event_new_flush_start());
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  GstSegment s;
  gst_segment_init(&s, GST_FORMAT_TIME);
  gst_harness_push_event(h, gst_event_new_segment(&s));
}

// Events that stay on pads are no frames: a flush does not take them.
TEST_F(Outputs, AFlushLosesNoCapsAndNoStreamStart) {
  for (const char* factory : {"omnicombiner", "omnioverlay"}) {
    const bool combiner = std::string(factory) == "omnicombiner";
    Rig r(factory, combiner ? "spatial" : "text", combiner ? kSpatial : "text/x-raw,format=utf8");
    r.frames(0, 1);  // the next events wait behind it
    gst_harness_push_event(r.video, gst_event_new_stream_start("another"));
    GstCaps* caps = gst_caps_from_string("video/x-raw,format=RGB,width=64,height=48,framerate=5/1");
    gst_harness_push_event(r.video, gst_event_new_caps(caps));
    gst_caps_unref(caps);
    flush(r.video);
    r.put(combiner ? document(0, 100) : " ", 0, kFrame);
    gst_harness_push_event(r.side, gst_event_new_eos());
    GstBuffer* small = gst_buffer_new_and_alloc(64 * 48 * 3);
    GST_BUFFER_PTS(small) = 0;
    EXPECT_EQ(gst_harness_push(r.video, small), GST_FLOW_OK);
    GstBuffer* b = gst_harness_pull(r.video);
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(gst_buffer_get_size(b), 64u * 48 * 3);
    if (combiner) {
      auto* roi = gst_buffer_get_video_region_of_interest_meta_id(b, 3);
      ASSERT_NE(roi, nullptr);
      EXPECT_EQ(roi->x, 10u) << "in pixels of these caps";
    }
    gst_buffer_unref(b);
    caps = gst_pad_get_current_caps(r.video->sinkpad);
    int width = 0;
    gst_structure_get_int(gst_caps_get_structure(caps, 0), "width", &width);
    EXPECT_EQ(width, 64) << "frames have the caps that their size needs";
    gst_caps_unref(caps);
    gchar* id = gst_pad_get_stream_id(r.video->sinkpad);
    EXPECT_STREQ(id, "another");
    g_free(id);
  }
}

TEST_F(Outputs, AFlushThatNeverEndedDoesNotOutliveAStop) {
  Rig r("omnicombiner", "spatial", kSpatial);
  r.frames(0, 2);
  gst_harness_push_event(r.video, gst_event_new_flush_start());
  gst_element_set_state(r.video->element, GST_STATE_READY);
  gst_harness_push_event(r.video, gst_event_new_flush_stop(TRUE));  // of a pad that is not active
  gst_element_set_state(r.video->element, GST_STATE_PLAYING);
  gst_pad_set_active(r.video->sinkpad, FALSE);  // downstream was stopped as well
  gst_pad_set_active(r.video->sinkpad, TRUE);
  gst_harness_set_src_caps_str(r.video, kCaps);
  gst_harness_push_event(r.side, gst_event_new_eos());
  r.frames(0, 2);
  EXPECT_EQ(r.pull(2), "0:- 1:-");
}

struct Messages {
  explicit Messages(GstElement* element) : of(element), bus(gst_bus_new()) {
    gst_element_set_bus(of, bus);
  }
  ~Messages() {
    gst_element_set_bus(of, nullptr);
    gst_object_unref(bus);
  }
  int count(GstMessageType type) {
    int n = 0;
    for (; GstMessage* m = gst_bus_pop_filtered(bus, type); ++n) gst_message_unref(m);
    return n;
  }
  GstElement* of;
  GstBus* bus;
};

TEST_F(Outputs, OtherSegmentsAreOneError) {
  for (const bool beside : {false, true}) {
    Rig r("omnicombiner", "spatial", kSpatial);
    Messages messages(r.video->element);
    GstSegment s;
    gst_segment_init(&s, GST_FORMAT_BYTES);
    gst_harness_push_event(beside ? r.side : r.video, gst_event_new_segment(&s));
    for (int i = 0; i < 2; ++i) {
      GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
      GST_BUFFER_PTS(b) = 0;
      EXPECT_EQ(gst_harness_push(beside ? r.side : r.video, b), GST_FLOW_ERROR);
    }
    GstPad* pad = gst_element_get_static_pad(r.video->element, beside ? "spatial" : "sink");
    EXPECT_EQ(gst_pad_chain(pad, gst_buffer_new_and_alloc(320 * 240 * 3)), GST_FLOW_ERROR);
    gst_object_unref(pad);
    EXPECT_EQ(messages.count(GST_MESSAGE_ERROR), 1);
  }
}

// The last frame's fate is known only to the task: when the end comes, nobody upstream asks.
TEST_F(Outputs, AFailedPushIsToldAtTheEnd) {
  Rig r("omnicombiner", nullptr, nullptr);
  Messages messages(r.video->element);
  GstPad* src = gst_element_get_static_pad(r.video->element, "src");
  gst_pad_unlink(src, r.video->sinkpad);
  gst_object_unref(src);
  r.frames(0, 1);
  gst_harness_push_event(r.video, gst_event_new_eos());
  GstMessage* m = gst_bus_timed_pop_filtered(messages.bus, kMost, GST_MESSAGE_ERROR);
  ASSERT_NE(m, nullptr);
  gst_message_unref(m);
  EXPECT_EQ(messages.count(GST_MESSAGE_ERROR), 0);
}

// One thread brings both streams: what is beside a frame cannot come before the frame has left.
TEST_F(Outputs, OneThreadForBothStreamsNeverWaitsForItself) {
  Rig r("omnicombiner", "spatial", kSpatial);
  g_object_set(r.video->element, "max-size-time", 1000u, nullptr);
  std::string out;
  for (int i = 0; i < 30; ++i) {
    r.frames(i, i + 1);
    if (i % 15 == 14)
      r.put(document(GstClockTime(i - 14) * kFrame, 20), GstClockTime(i - 14) * kFrame, kFrame);
  }
  gst_harness_push_event(r.side, gst_event_new_eos());
  const std::string all = r.pull(30);
  EXPECT_EQ(all.substr(0, 11), "0:- 1:- 2:-") << "more than it holds";
  EXPECT_NE(all.find(" 14:10 "), std::string::npos) << all;
  guint64 undecorated = 0;
  g_object_get(r.video->element, "undecorated", &undecorated, nullptr);
  EXPECT_GT(undecorated, 0u);
  EXPECT_LT(undecorated, 30u);
}

// A stamp of the side stream that is far ahead is void with the next good one.
TEST_F(Outputs, OneBadStampBesideTheVideoCostsNoMoreThanItself) {
  Rig r("omnicombiner", "spatial", kSpatial);
  constexpr GstClockTime kFar = 37600 * GST_SECOND;
  r.put(document(0, 20), 0, kFrame);
  r.frames(0, 1);
  EXPECT_EQ(r.pull(1), "0:10");
  r.put(document(kFar, 400), kFar, kFrame);
  r.frames(1, 2);
  EXPECT_EQ(r.pull(1), "1:10") << "as far as anybody can know";
  r.put(document(2 * kFrame, 100), 2 * kFrame, kFrame);
  r.frames(2, 4);
  EXPECT_EQ(r.pull(1), "2:50");
  g_usleep(20000);
  EXPECT_EQ(gst_harness_try_pull(r.video), nullptr) << "frames wait again for what is theirs";
  r.put(document(3 * kFrame, 120), 3 * kFrame, kFrame);
  EXPECT_EQ(r.pull(1), "3:60");
  gst_harness_push_event(r.side, gst_event_new_eos());
  GstSegment s;
  gst_segment_init(&s, GST_FORMAT_TIME);
  s.base = kFar;
  gst_harness_push_event(r.video, gst_event_new_segment(&s));
  r.frames(4, 5);
  EXPECT_EQ(r.pull(1), "4:-") << "what was said of that time was void";
}

TEST_F(Outputs, OneBadStampOfTheVideoCostsNothing) {
  Rig r("omnicombiner", "spatial", kSpatial);
  for (int i = 0; i < 6; ++i) {
    GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
    GST_BUFFER_PTS(b) = i == 2 ? 37600 * GST_SECOND : guint64(i) * kFrame;
    GST_BUFFER_DURATION(b) = kFrame;
    ASSERT_EQ(gst_harness_push(r.video, b), GST_FLOW_OK);
    r.put(document(guint64(i) * kFrame, 20. * i), guint64(i) * kFrame, kFrame);
  }
  std::string boxes;
  for (int i = 0; i < 6; ++i) {
    GstBuffer* b = gst_harness_pull(r.video);
    auto* roi = gst_buffer_get_video_region_of_interest_meta_id(b, 3);
    boxes += (roi ? std::to_string(roi->x) : "-") + " ";
    gst_buffer_unref(b);
  }
  EXPECT_EQ(boxes, "0 10 20 30 40 50 ");
}

// Whatever the stamps say, no more frames wait than max-size-time has room for.
TEST_F(Outputs, FramesWithoutTimesAreBounded) {
  Rig r("omnicombiner", "spatial", kSpatial);
  g_object_set(r.video->element, "max-size-time", 200u, nullptr);
  for (int i = 0; i < 200; ++i) {
    GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
    GST_BUFFER_PTS(b) = 0;
    GST_BUFFER_DURATION(b) = 0;
    ASSERT_EQ(gst_harness_push(r.video, b), GST_FLOW_OK) << "the thread of both: it never waits";
  }
  EXPECT_GE(gst_harness_buffers_received(r.video), 200u - 24 - 1);
}

TEST_F(Outputs, BadDocumentIsOneError) {
  Rig r("omnicombiner", "spatial", kSpatial);
  GstBus* bus = gst_bus_new();
  gst_element_set_bus(r.video->element, bus);
  GstBuffer* b = gst_buffer_new_memdup("{\"version\":1,", 13);
  GST_BUFFER_PTS(b) = 0;
  EXPECT_EQ(gst_harness_push(r.side, b), GST_FLOW_ERROR);
  GstMessage* m = gst_bus_timed_pop_filtered(bus, GST_SECOND, GST_MESSAGE_ERROR);
  ASSERT_NE(m, nullptr);
  gst_message_unref(m);
  gst_element_set_bus(r.video->element, nullptr);
  gst_object_unref(bus);
}

// Live: a frame waits `latency` at most, on the clock of the harness.
TEST_F(Outputs, LiveVideoIsNeverHeldBackLonger) {
  Rig r("omnicombiner", "spatial", kSpatial, true);
  gst_harness_use_testclock(r.video);
  g_object_set(r.video->element, "latency", 250u, nullptr);
  EXPECT_EQ(gst_harness_query_latency(r.video), 250 * GST_MSECOND);
  gst_harness_set_time(r.video, 0);
  GstSegment s;
  gst_segment_init(&s, GST_FORMAT_TIME);
  gst_harness_push_event(r.video, gst_event_new_segment(&s));
  r.frames(0, 3);
  g_usleep(20000);
  EXPECT_EQ(gst_harness_try_pull(r.video), nullptr);
  r.put(document(0, 20), 0, kFrame);
  EXPECT_EQ(r.pull(1), "0:10") << "leaves as soon as it is known";
  gst_harness_set_time(r.video, 400 * GST_MSECOND);
  // any change wakes it up to look at the clock
  g_object_set(r.video->element, "latency", 251u, nullptr);
  EXPECT_EQ(r.pull(1), "1:10");
  gst_harness_set_time(r.video, 500 * GST_MSECOND);
  g_object_set(r.video->element, "latency", 250u, nullptr);
  EXPECT_EQ(r.pull(1), "2:10");
  guint64 undecorated = 0;
  g_object_get(r.video->element, "undecorated", &undecorated, nullptr);
  EXPECT_EQ(undecorated, 2u);
}

TEST_F(Outputs, ADeafDownstreamOrAShutdownNeverHangs) {
  for (int i = 0; i < 20; ++i) {
    Rig r("omnicombiner", "spatial", kSpatial);
    r.frames(0, 5);
    std::atomic<bool> done{false};
    std::thread late([&] {
      for (int k = 0; k < 100; ++k) {  // more than max-size-time: chain waits
        GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
        GST_BUFFER_PTS(b) = guint64(5 + k) * kFrame;
        if (gst_harness_push(r.video, b) != GST_FLOW_OK) break;
      }
      done = true;
    });
    g_usleep(gulong(i) * 500);
    gst_element_set_state(r.video->element, GST_STATE_NULL);
    late.join();
    EXPECT_TRUE(done);
  }
}

// Frames, results and events in any order, from a thread each, while the element is stopped and
// started: nobody waits for ever, nothing dies. A seed is a case.
TEST_F(Outputs, AnyOrderOfEventsEnds) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    Rig r("omnicombiner", "spatial", kSpatial);
    g_object_set(r.video->element, "max-size-time", 300u, nullptr);
    const auto any_event = [](GstHarness* h, unsigned which, GstClockTime at) {
      GstSegment s;
      gst_segment_init(&s, which % 7 ? GST_FORMAT_TIME : GST_FORMAT_BYTES);
      s.base = which % 3 ? 0 : at;
      GstEvent* events[] = {gst_event_new_flush_start(), gst_event_new_flush_stop(TRUE),
                            gst_event_new_segment(&s),   gst_event_new_gap(at, kFrame),
                            gst_event_new_eos(),         gst_event_new_stream_start("any")};
      for (unsigned i = 0; i < std::size(events); ++i)
        if (i == which % std::size(events))
          gst_harness_push_event(h, events[i]);
        else
          gst_event_unref(events[i]);
    };
    std::thread frames([&] {
      std::mt19937 random(seed);
      for (int i = 0; i < 150; ++i) {
        if (random() % 6 == 0) any_event(r.video, unsigned(random()), guint64(i) * kFrame);
        GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
        GST_BUFFER_PTS(b) = random() % 20 ? guint64(i) * kFrame : random() * GST_MSECOND;
        gst_harness_push(r.video, b);
      }
    });
    std::thread results([&] {
      std::mt19937 random(seed + 1000);
      for (int i = 0; i < 150; ++i) {
        if (random() % 6 == 0) any_event(r.side, unsigned(random()), guint64(i) * kFrame);
        const std::string text = document(0, 20);
        GstBuffer* b = gst_buffer_new_memdup(text.data(), text.size());
        GST_BUFFER_PTS(b) = random() % 20 ? guint64(i) * kFrame : random() * GST_MSECOND;
        gst_harness_push(r.side, b);
      }
    });
    for (int i = 0; i < 20; ++i) {
      g_usleep(500);
      gst_element_set_state(r.video->element, GST_STATE_READY);
      gst_element_set_state(r.video->element, GST_STATE_PLAYING);
    }
    gst_element_set_state(r.video->element, GST_STATE_NULL);
    frames.join();
    results.join();
  }
}

TEST_F(Outputs, OverlayPaintsBoxesAndCaptions) {
  Rig r("omnioverlay", "text", "text/x-raw,format=utf8");
  GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
  gst_buffer_memset(b, 0, 90, 320 * 240 * 3);
  GST_BUFFER_PTS(b) = 0;
  gst_buffer_add_video_region_of_interest_meta(b, "thing", 100, 80, 60, 50);
  r.put("A caption", 0, kFrame);
  gst_harness_push(r.video, b);
  GstBuffer* out = gst_harness_pull(r.video);
  GstMapInfo map;
  gst_buffer_map(out, &map, GST_MAP_READ);
  const auto pixel = [&](int x, int y) {
    return std::vector<int>{map.data[(y * 320 + x) * 3], map.data[(y * 320 + x) * 3 + 1],
                            map.data[(y * 320 + x) * 3 + 2]};
  };
  const std::vector<int> plain = {90, 90, 90};
  EXPECT_NE(pixel(99, 100), plain) << "left edge";
  EXPECT_NE(pixel(161, 100), plain) << "right edge";
  EXPECT_NE(pixel(130, 79), plain) << "top edge";
  EXPECT_EQ(pixel(130, 105), plain) << "inside";
  EXPECT_EQ(pixel(10, 10), plain);
  EXPECT_NE(pixel(160, 240 - 18), plain) << "the caption's plate";
  gst_buffer_unmap(out, &map);
  gst_buffer_unref(out);
}

TEST_F(Outputs, AnObjectSaysHowLongAgoItWasSeen) {
  Rig r("omnicombiner", "spatial", kSpatial);
  r.put(document(0, 20), 0, kFrame);
  r.frames(0, 8);
  r.gap(kFrame, 8 * kFrame);
  for (int i = 0; i < 8; ++i) {
    GstBuffer* b = gst_harness_pull(r.video);
    auto* roi = gst_buffer_get_video_region_of_interest_meta_id(b, 3);
    ASSERT_NE(roi, nullptr);
    double age = -1;
    gst_structure_get_double(gst_video_region_of_interest_meta_get_param(roi, "detection"), "age",
                             &age);
    EXPECT_NEAR(age, i * double(kFrame) / GST_SECOND, 1e-9);
    gst_buffer_unref(b);
  }
}

TEST_F(Outputs, OverlayDashesWhatWasSeenLongAgo) {
  Rig r("omnioverlay", nullptr, nullptr);
  g_object_set(r.video->element, "labels", FALSE, nullptr);
  for (const double age : {0.0, 0.4, 1.2}) {
    GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
    gst_buffer_memset(b, 0, 90, 320 * 240 * 3);
    GST_BUFFER_PTS(b) = 0;
    auto* roi = gst_buffer_add_video_region_of_interest_meta(b, "omni", 100, 80, 60, 50);
    gst_video_region_of_interest_meta_add_param(
        roi, gst_structure_new("detection", "label", G_TYPE_STRING, "ball", "age", G_TYPE_DOUBLE,
                               age, nullptr));
    gst_harness_push(r.video, b);
    GstBuffer* out = gst_harness_pull(r.video);
    int n_painted = 0;  // of the left edge
    for (int y = 80; y < 130; ++y) {
      guint8 v = 0;
      gst_buffer_extract(out, gsize((y * 320 + 99) * 3), &v, 1);
      n_painted += v != 90;
    }
    if (age < 0.5) {
      EXPECT_EQ(n_painted, 50) << age;
    } else {
      EXPECT_GT(n_painted, 10);
      EXPECT_LT(n_painted, 45);
    }
    gst_buffer_unref(out);
  }
}

TEST_F(Outputs, OverlayTellsWhatTheShownCaptionAnswers) {
  Rig r("omnioverlay", "text", "text/x-raw,format=utf8");
  const AnswerMeta asked{"What is on air?", 0, kFrame, 7};
  r.frames(0, 2);
  r.put("A caption", 0, kFrame, &asked);
  r.gap(kFrame, 2 * kFrame);
  for (const bool shown : {true, false}) {
    GstBuffer* out = gst_harness_pull(r.video);
    EXPECT_EQ(answer_of(out), shown ? std::optional(asked) : std::nullopt);
    gst_buffer_unref(out);
  }
}

TEST_F(Outputs, OverlayKeepsACaptionOffTheBoxes) {
  Rig r("omnioverlay", "text", "text/x-raw,format=utf8");
  GstBuffer* b = gst_buffer_new_and_alloc(320 * 240 * 3);
  gst_buffer_memset(b, 0, 90, 320 * 240 * 3);
  GST_BUFFER_PTS(b) = 0;
  gst_buffer_add_video_region_of_interest_meta(b, "thing", 100, 150, 120, 80);
  r.put("A caption", 0, kFrame);
  gst_harness_push(r.video, b);
  GstBuffer* out = gst_harness_pull(r.video);
  guint8 top = 0, bottom = 0;
  gst_buffer_extract(out, (16 * 320 + 160) * 3, &top, 1);
  gst_buffer_extract(out, (222 * 320 + 130) * 3, &bottom, 1);
  EXPECT_NE(top, 90) << "the caption is above";
  EXPECT_EQ(bottom, 90) << "and the box is whole";
  gst_buffer_unref(out);
}

TEST_F(Outputs, OverlayShowsALateCaptionLive) {
  Rig r("omnioverlay", "text", "text/x-raw,format=utf8", true);
  gst_harness_use_testclock(r.video);
  gst_harness_set_time(r.video, 1000 * GST_SECOND);
  const auto plate = [&] {
    GstBuffer* out = gst_harness_pull(r.video);
    guint8 v = 0;
    gst_buffer_extract(out, ((240 - 18) * 320 + 160) * 3, &v, 1);
    const guint8 untouched = guint8(GST_BUFFER_PTS(out) / kFrame);
    gst_buffer_unref(out);
    return v != untouched;
  };
  GstSegment s;
  gst_segment_init(&s, GST_FORMAT_TIME);
  gst_harness_push_event(r.video, gst_event_new_segment(&s));
  r.frames(200, 202);
  EXPECT_FALSE(plate());
  EXPECT_FALSE(plate());
  r.put("Too late", 190 * kFrame, 3 * kFrame);
  r.frames(202, 206);
  EXPECT_TRUE(plate());
  EXPECT_TRUE(plate());
  EXPECT_FALSE(plate());
}

TEST_F(Outputs, OverlayShowsACaptionWithoutAnEndUntilTheNextOrUntilItIsRead) {
  Rig r("omnioverlay", "text", "text/x-raw,format=utf8");
  r.put("A caption without a duration, of forty...", 2 * kFrame, GST_CLOCK_TIME_NONE);
  r.put("A caption", 6 * kFrame, 3 * kFrame);
  r.put("The last one", 20 * kFrame, 0);
  gst_harness_push_event(r.side, gst_event_new_eos());
  r.frames(0, 34);
  std::string shown;
  for (int i = 0; i < 34; ++i) {
    GstBuffer* b = gst_harness_pull(r.video);
    guint8 v = 0;
    gst_buffer_extract(b, ((240 - 18) * 320 + 160) * 3, &v, 1);
    shown += v == guint8(i) ? '-' : '#';
    gst_buffer_unref(b);
  }
  EXPECT_EQ(shown, "--#######-----------##########----") << "a second at least";
}

TEST_F(Outputs, WholePipelineFromPixelsToRegions) {
  std::atomic<int> frames{0}, with{0};
  const Outcome o = run(
      "videotestsrc pattern=ball num-buffers=180 ! video/x-raw,width=640,height=360 ! tee name=t  "
      "t. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! "
      "omnivideotokenizer model-path=" NANO
      " ! m.video_0  audiotestsrc num-buffers=260 ! omniaudiotokenizer ! m.audio_0 "
      "omnimodel name=m model-path=" NANO
      " spatial-prompt=\"Detect all objects.\" json-schema=boxes m.spatial_0 ! c.spatial "
      "t. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! c.sink omnicombiner name=c "
      "! o.sink m.text_0 ! o.text omnioverlay name=o ! fakesink name=end signal-handoffs=true",
      kMost, [&](GstElement* pipeline) {
        GstElement* end = gst_bin_get_by_name(GST_BIN(pipeline), "end");
        static std::atomic<int>*f, *w;
        f = &frames, w = &with;
        g_signal_connect(end, "handoff",
                         G_CALLBACK(+[](GstElement*, GstBuffer* b, GstPad*, gpointer) {
                           ++*f;
                           gpointer state = nullptr;
                           if (gst_buffer_iterate_meta_filtered(
                                   b, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))
                             ++*w;
                         }),
                         nullptr);
        gst_object_unref(end);
      });
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(frames, 180);
  EXPECT_EQ(o.answers.size(), 6u);
  EXPECT_GT(with, 100) << "the ball was seen in most chunks";
}

}  // namespace
}  // namespace omni_test
