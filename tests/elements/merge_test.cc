// GstOmniMerge alone: how long it waits for a stream beside the video that stands still. Its
// patience is an argument, so that no test waits.
#include <gst/check/gstharness.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "streams/gstomnimerge.h"

namespace omni_test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kCaps = "video/x-raw,format=GRAY8,width=8,height=8,framerate=10/1";
constexpr GstClockTime kFrame = GST_SECOND / 10;

struct NoHooks final : GstOmniMergeHooks {
  std::vector<GstClockTime> forgotten;  // behind which time
  bool set_info(const GstVideoInfo&) override { return true; }
  void take(GstBuffer*, GstClockTime, GstClockTime, GstClockTime) override {}
  void forget_after(GstClockTime time) override { forgotten.push_back(time); }
  BufferPtr decorate(BufferPtr frame, GstClockTime) override { return frame; }
  void clear() override {}
};

// An element that is a merge and nothing else.
GType element_type() {
  static const GType type = [] {
    const auto class_init = [](gpointer klass, gpointer) {
      for (const auto& [name, direction] :
           {std::pair{"sink", GST_PAD_SINK}, {"side", GST_PAD_SINK}, {"src", GST_PAD_SRC}}) {
        CapsPtr any(gst_caps_new_any());
        gst_element_class_add_pad_template(
            GST_ELEMENT_CLASS(klass),
            gst_pad_template_new(name, direction, GST_PAD_ALWAYS, any.get()));
      }
      gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "merge", "Test", "merge",
                                            "gst-omni");
    };
    const GTypeInfo info = {sizeof(GstElementClass), nullptr, nullptr, class_init, nullptr, nullptr,
                            sizeof(GstElement),      0,       nullptr, nullptr};
    return g_type_register_static(GST_TYPE_ELEMENT, "OmniTestMerge", &info, GTypeFlags(0));
  }();
  return type;
}

struct Rig {
  // Live: on a clock that stands still until it is set.
  explicit Rig(std::chrono::nanoseconds patience, bool live = false)
      : element(GST_ELEMENT(g_object_new(element_type(), nullptr))),
        bus(gst_bus_new()),
        merge(element, settings, hooks, patience) {
    settings.max_size_time = 500;
    gst_element_set_bus(element, bus);
    merge.add_video_pads();
    merge.add_side_pad(gst_pad_new_from_template(
        gst_element_class_get_pad_template(GST_ELEMENT_GET_CLASS(element), "side"), "side"));
    video = gst_harness_new_with_element(element, "sink", "src");
    side = gst_harness_new_with_element(element, "side", nullptr);
    if (live) gst_harness_use_testclock(video);
    gst_harness_set_live(video, live);
    if (live) gst_harness_set_upstream_latency(video, 300 * GST_MSECOND);
    begin_video();
    on_side_thread([&] { gst_harness_set_src_caps_str(side, kCaps); });
  }
  ~Rig() {
    gst_harness_teardown(side);
    gst_harness_teardown(video);
    gst_element_set_bus(element, nullptr);
    gst_object_unref(bus);
    gst_object_unref(element);
    g_thread_pool_free(side_thread, FALSE, TRUE);
  }
  void begin_video() { gst_harness_set_src_caps_str(video, kCaps); }
  void pull(int n) {
    for (int i = 0; i < n; ++i) gst_buffer_unref(gst_harness_pull(video));
  }
  GstFlowReturn frame(int i) {
    GstBuffer* b = gst_buffer_new_and_alloc(64);
    GST_BUFFER_PTS(b) = guint64(i) * kFrame;
    GST_BUFFER_DURATION(b) = kFrame;
    return gst_harness_push(video, b);
  }
  void gap_beside(GstClockTime until) {
    on_side_thread([&] { gst_harness_push_event(side, gst_event_new_gap(0, until)); });
  }
  // All that comes beside comes from one thread, which is nobody else's as long as there is a Rig.
  void on_side_thread(std::function<void()> body) {
    std::packaged_task<void()> task(std::move(body));
    g_thread_pool_push(side_thread, &task, nullptr);
    task.get_future().wait();
  }
  int warnings() {
    int n = 0;
    for (; GstMessage* m = gst_bus_pop_filtered(bus, GST_MESSAGE_WARNING); ++n)
      gst_message_unref(m);
    return n;
  }

  GThreadPool* side_thread = g_thread_pool_new(
      [](gpointer task, gpointer) { (*static_cast<std::packaged_task<void()>*>(task))(); }, nullptr,
      1, TRUE, nullptr);
  GstElement* element;
  GstBus* bus;
  GstOmniMergeSettings settings;
  NoHooks hooks;
  GstOmniMerge merge;
  GstHarness *video, *side;
};

TEST(Merge, GoesOnWithoutASideThatStandsStillAndSaysSoOnce) {
  Rig r(0ns);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(r.frame(i), GST_FLOW_OK);
  for (int i = 0; i < 44; ++i) gst_buffer_unref(gst_harness_pull(r.video));
  EXPECT_EQ(r.warnings(), 1);
  gst_harness_push_event(r.video, gst_event_new_eos());
  for (int i = 44; i < 50; ++i) gst_buffer_unref(gst_harness_pull(r.video));
  EXPECT_EQ(r.merge.n_undecorated(), 50u);
}

// No frame waits: `latency` is 0, and upstream's is over.
TEST(Merge, LiveASideThatStandsStillIsToldOfOnceAfterAMinuteOfVideo) {
  Rig r(1h, true);
  const auto play = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      gst_harness_set_time(r.video, GstClockTime(i + 1) * kFrame + 300 * GST_MSECOND);
      ASSERT_EQ(r.frame(i), GST_FLOW_OK);
      gst_buffer_unref(gst_harness_pull(r.video));
    }
  };
  play(0, 300);
  r.gap_beside(10 * GST_SECOND);
  play(300, 900);
  EXPECT_EQ(r.warnings(), 0) << "it has moved within the minute";
  play(900, 902);
  EXPECT_EQ(r.warnings(), 1);
  play(902, 3000);
  EXPECT_EQ(r.warnings(), 0);
}

// Nothing is lost that still may come: below the limit nobody upstream waits.
TEST(Merge, WaitsForASlowSideWhileThereIsRoom) {
  Rig r(0ns);
  for (int i = 0; i < 5; ++i) ASSERT_EQ(r.frame(i), GST_FLOW_OK);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(gst_harness_try_pull(r.video), nullptr);
  r.gap_beside(3 * kFrame);
  for (int i = 0; i < 3; ++i) gst_buffer_unref(gst_harness_pull(r.video));
  EXPECT_EQ(r.merge.n_undecorated(), 0u);
}

TEST(Merge, HasPatienceWithASideThatComes) {
  Rig r(1h);
  std::atomic<int> pushed{0};
  std::thread upstream([&] {
    for (int i = 0; i < 20; ++i) pushed += r.frame(i) == GST_FLOW_OK;
  });
  for (int i = 0; i < 20; ++i) {
    r.gap_beside(GstClockTime(i + 1) * kFrame);
    gst_buffer_unref(gst_harness_pull(r.video));
  }
  upstream.join();
  EXPECT_EQ(pushed, 20);
  EXPECT_EQ(r.merge.n_undecorated(), 0u);
  EXPECT_EQ(r.warnings(), 0);
}

// Without patience: a frame that the side has not passed is counted when the video ends.
TEST(Merge, ASideThatGoesBackCountsFromThere) {
  Rig r(0ns);
  r.gap_beside(10 * GST_SECOND);
  ASSERT_EQ(r.frame(90), GST_FLOW_OK);
  r.pull(1);
  r.gap_beside(8 * GST_SECOND);  // as much as may be rounding
  ASSERT_EQ(r.frame(91), GST_FLOW_OK);
  r.pull(1);
  EXPECT_TRUE(r.hooks.forgotten.empty());
  EXPECT_EQ(r.merge.n_undecorated(), 0u);
  r.gap_beside(5 * GST_SECOND);
  EXPECT_EQ(r.hooks.forgotten, std::vector<GstClockTime>{5 * GST_SECOND});
  ASSERT_EQ(r.frame(92), GST_FLOW_OK);
  gst_harness_push_event(r.video, gst_event_new_eos());
  r.pull(1);
  EXPECT_EQ(r.merge.n_undecorated(), 1u) << "it is not passed any more";
}

// Passed is what ends where the side has come to, or ahead of it.
TEST(Merge, AFrameWaitsUntilTheSideIsBeyondIt) {
  for (const GstClockTime reached : {kFrame, kFrame + 1}) {
    Rig r(0ns);
    r.gap_beside(reached);
    ASSERT_EQ(r.frame(1), GST_FLOW_OK);
    gst_harness_push_event(r.video, gst_event_new_eos());
    r.pull(1);
    EXPECT_EQ(r.merge.n_undecorated(), reached == kFrame ? 1u : 0u);
  }
}

TEST(Merge, BehindTheEndOfTheSideNothingIsWaitedFor) {
  Rig r(1h);
  r.on_side_thread([&] { gst_harness_push_event(r.side, gst_event_new_eos()); });
  for (int i = 0; i < 30; ++i) ASSERT_EQ(r.frame(i), GST_FLOW_OK);
  r.pull(30);
  EXPECT_EQ(r.merge.n_undecorated(), 0u);
}

TEST(Merge, AFlushOfTheSideForgetsHowFarItWas) {
  Rig r(0ns);
  r.gap_beside(10 * GST_SECOND);
  r.on_side_thread([&] {
    gst_harness_push_event(r.side, gst_event_new_flush_start());
    gst_harness_push_event(r.side, gst_event_new_flush_stop(TRUE));
  });
  ASSERT_EQ(r.frame(0), GST_FLOW_OK);
  gst_harness_push_event(r.video, gst_event_new_eos());
  r.pull(1);
  EXPECT_EQ(r.merge.n_undecorated(), 1u);
}

TEST(Merge, OneThreadForBothNeverWaitsForItself) {
  Rig r(1h);
  gst_harness_push_event(r.side, gst_event_new_gap(0, kFrame / 2));
  for (int i = 0; i < 30; ++i) ASSERT_EQ(r.frame(i), GST_FLOW_OK);
  r.pull(24);
}

TEST(Merge, LatencyIsThatOfUpstreamAndItsOwnWhereTheSideIsLinked) {
  Rig r(1h, true);
  r.settings.latency = 100;
  EXPECT_EQ(gst_harness_query_latency(r.video), 400 * GST_MSECOND);
  GstPad* pad = gst_element_get_static_pad(r.element, "side");
  gst_pad_unlink(r.side->srcpad, pad);
  gst_object_unref(pad);
  EXPECT_EQ(gst_harness_query_latency(r.video), 300 * GST_MSECOND);
}

TEST(Merge, AStopForgetsHowFarTheSideWas) {
  Rig r(0ns);
  r.gap_beside(10 * GST_SECOND);
  gst_element_set_state(r.element, GST_STATE_READY);
  gst_element_set_state(r.element, GST_STATE_PLAYING);
  r.begin_video();
  ASSERT_EQ(r.frame(0), GST_FLOW_OK);
  gst_harness_push_event(r.video, gst_event_new_eos());
  r.pull(1);
  EXPECT_EQ(r.merge.n_undecorated(), 1u);
}

// The clock stands still and nothing comes beside: only the limit lets frames go.
TEST(Merge, LiveNoMoreIsHeldThanMayBe) {
  Rig r(1h, true);
  r.settings.latency = 60000;
  for (int i = 0; i < 30; ++i) ASSERT_EQ(r.frame(i), GST_FLOW_OK);
  r.pull(24);
  EXPECT_GE(r.merge.n_undecorated(), 24u);
}

TEST(Merge, LiveAFrameIsDueWithTheLatencyOfUpstreamAndItsOwn) {
  Rig r(1h, true);
  r.settings.latency = 100;
  ASSERT_EQ(r.frame(0), GST_FLOW_OK);
  gst_harness_set_time(r.video, 399 * GST_MSECOND);
  r.merge.settings_changed();  // looks at the clock
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(gst_harness_try_pull(r.video), nullptr);
  gst_harness_set_time(r.video, 400 * GST_MSECOND);
  r.merge.settings_changed();
  r.pull(1);
  EXPECT_EQ(r.merge.n_undecorated(), 1u);
}

TEST(Merge, AVideoThatIsHeldUpIsWokenByAFlushAndByAStop) {
  for (const bool flush : {false, true}) {
    Rig r(1h);
    std::thread upstream([&] {
      for (int i = 0; r.frame(i) == GST_FLOW_OK;) ++i;
    });
    if (flush)
      gst_harness_push_event(r.video, gst_event_new_flush_start());
    else
      gst_element_set_state(r.element, GST_STATE_READY);
    upstream.join();
  }
}

}  // namespace
}  // namespace omni_test

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
