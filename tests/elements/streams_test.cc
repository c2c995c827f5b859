// The doors without an element behind them: time stamps, the life of a worker, an input's queue.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <random>
#include <thread>
#include <utility>

#include "streams/gstomniclock.h"
#include "streams/gstomniinput.h"
#include "streams/gstomnistats.h"
#include "streams/gstomnitimestamps.h"
#include "streams/gstomniworker.h"

namespace {

constexpr GstClockTime kMs = GST_MSECOND, kS = GST_SECOND, kNone = GST_CLOCK_TIME_NONE;

// What is waited for lies ahead, however far away a stream says that it is.
TEST(WaitTime, IsAheadOfNow) {
  for (const GstClockTime left :
       {kMs, 3600 * kS, GstClockTime(G_MAXINT64), GstClockTime(G_MAXUINT64)}) {
    const auto now = std::chrono::steady_clock::now();
    EXPECT_GT(now + gst_omni_wait_time(left), now) << left;
  }
}

// --- time stamps

class Timestamps : public testing::Test {
 protected:
  Timestamps() { restart(1); }
  void restart(double rate, GstClockTime start = 0, GstClockTime stop = kNone) {
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    segment.rate = rate;
    segment.start = start;
    segment.stop = stop;
    stamps.restart(segment);
  }
  // Buffers of 100 ms: their times, in ms.
  GstClockTime next(GstClockTime pts, GstClockTime latest = kNone) {
    const auto s = stamps.next(pts, 100 * kMs, latest);
    n_jumps += s.jump != 0;
    return s.time / kMs;
  }
  GstOmniTimestamps stamps;
  int n_jumps = 0;
};

// GStreamer calls a segment that it cannot compute with a mistake of the program.
TEST(Segments, WhateverComesCanBeComputedWith) {
  int n_complaints = 0;
  const guint handler = g_log_set_handler(
      "GStreamer", G_LOG_LEVEL_CRITICAL,
      [](const gchar*, GLogLevelFlags, const gchar*, gpointer n) { ++*static_cast<int*>(n); },
      &n_complaints);
  const guint64 times[] = {0, 1, kS, 30 * kS, guint64(G_MAXINT64), G_MAXUINT64 / 2 + 7};
  std::mt19937 random(5);
  const auto time = [&] { return times[random() % std::size(times)]; };
  for (int i = 0; i < 20000; ++i) {
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    segment.rate = random() % 2 ? 1 : -0.5;
    segment.applied_rate = random() % 2 ? 1 : -2;
    segment.start = segment.time = segment.position = time();
    segment.stop = random() % 3 == 0 ? kNone : segment.start + time();
    if (segment.stop < segment.start) segment.stop = segment.start;
    segment.base = time();
    segment.offset = time();
    GstEvent* event = gst_event_new_segment(&segment);
    const GstSegment ours = gst_omni_segment_of(event);
    gst_event_unref(event);
    guint64 begin = time(), end = begin + time();
    if (end < begin) end = begin;
    gst_segment_to_running_time(&ours, GST_FORMAT_TIME, begin);
    gst_segment_to_stream_time(&ours, GST_FORMAT_TIME, begin);
    gst_segment_position_from_running_time(&ours, GST_FORMAT_TIME, begin);
    gst_segment_clip(&ours, GST_FORMAT_TIME, begin, end, &begin, &end);
  }
  g_log_remove_handler("GStreamer", handler);
  EXPECT_EQ(n_complaints, 0);
}

TEST_F(Timestamps, WhatIsMissingGoesOn) {
  restart(1, 5 * kS);
  EXPECT_EQ(next(kNone), 5000u);
  EXPECT_EQ(next(kNone), 5100u);
  EXPECT_EQ(next(5250 * kMs), 5250u) << "a stamp that is there wins";
  EXPECT_EQ(next(kNone), 5350u);
  EXPECT_EQ(n_jumps, 0);
}

TEST_F(Timestamps, OneBadStampMovesNothing) {
  for (const GstClockTime bad : {37600 * kS, GstClockTime(0), GstClockTime(G_MAXINT64 / 4)}) {
    restart(1);
    n_jumps = 0;
    for (guint64 i = 0; i < 40; ++i) ASSERT_EQ(next(100 * kS + i * 100 * kMs), 100000 + i * 100);
    EXPECT_EQ(next(bad), 104000u);
    for (guint64 i = 41; i < 80; ++i) ASSERT_EQ(next(100 * kS + i * 100 * kMs), 100000 + i * 100);
    EXPECT_EQ(n_jumps, 1);
  }
}

TEST_F(Timestamps, BadStampsThatAgreeMoveNothingEither) {
  for (guint64 i = 0; i < 100; ++i)
    ASSERT_EQ(next(i * 100 * kMs + (i % 20 == 10 ? 37600 * kS : 0)), i * 100);
  EXPECT_EQ(n_jumps, 5);
}

TEST_F(Timestamps, UpToTwoSecondsAreTakenAsTheyAre) {
  EXPECT_EQ(next(0), 0u);
  EXPECT_EQ(next(2100 * kMs), 2100u);
  EXPECT_EQ(next(200 * kMs), 200u);
  EXPECT_EQ(n_jumps, 0);
}

TEST_F(Timestamps, AHoleIsFollowedOnceItLasts) {
  next(0);
  for (guint64 i = 0; i < 9; ++i) EXPECT_EQ(next(3600 * kS + i * 100 * kMs), 100 + i * 100);
  for (guint64 i = 9; i < 30; ++i) EXPECT_EQ(next(3600 * kS + i * 100 * kMs), 3600000 + i * 100);
  EXPECT_EQ(n_jumps, 1);
}

TEST_F(Timestamps, OfLongBuffersOneIsEnough) {
  stamps.next(0, kS);
  EXPECT_EQ(stamps.next(7 * kS, kS).time, 7 * kS);
}

TEST_F(Timestamps, WhatCountsAnewGoesOnWithoutAHole) {
  for (const GstClockTime origin : {GstClockTime(0), 50 * kS}) {
    restart(1);
    n_jumps = 0;
    for (guint64 i = 0; i < 50; ++i) next(95443 * kS + i * 100 * kMs);
    for (guint64 i = 0; i < 50; ++i)
      ASSERT_EQ(next(origin + i * 100 * kMs), 95443000 + 5000 + i * 100);
    EXPECT_EQ(next(origin + 5 * kS + 30 * kMs), 95443000u + 10030)
        << "the jitter of the new origin";
    EXPECT_EQ(n_jumps, 1);
  }
}

TEST_F(Timestamps, LiveIsJudgedByTheClock) {
  next(0, 10 * kS);
  EXPECT_EQ(next(3600 * kS, 3610 * kS), 3600000u) << "an hour without the network";
  EXPECT_EQ(n_jumps, 0);
  for (guint64 i = 0; i < 50; ++i)
    EXPECT_EQ(next(1'700'000'000 * kS + i * 100 * kMs, 3610 * kS), 3600100 + i * 100)
        << "the time of day is none of this stream";
  EXPECT_EQ(n_jumps, 1);
}

TEST_F(Timestamps, WhereNobodyKnowsHowLongABufferLasts) {
  for (guint64 i = 0; i < 10; ++i) EXPECT_EQ(stamps.next(i * 50 * kS, 0).time, i * 50 * kS);
  EXPECT_EQ(stamps.next(1000000 * kS, 0).time, 450 * kS);
  EXPECT_EQ(stamps.next(1000002 * kS, 0).time, 1000002 * kS);
}

TEST_F(Timestamps, InReverseTimeRunsDown) {
  restart(-1, 0, 10 * kS);
  for (guint64 i = 1; i < 40; ++i) ASSERT_EQ(next(10 * kS - i * 100 * kMs), 10000 - i * 100);
  EXPECT_EQ(next(9000 * kS), 10000u - 4000) << "a bad stamp";
  EXPECT_EQ(next(5900 * kMs), 5900u);
  EXPECT_EQ(n_jumps, 1);
}

// Whatever comes, time never goes back by more than 2 s, and there always is one.
TEST_F(Timestamps, OfNoiseTimeNeverGoesFarBack) {
  std::mt19937_64 g(3);
  const GstClockTime extremes[] = {0, 1, kNone, kNone - 1, G_MAXINT64, guint64(G_MAXINT64) + 1, kS};
  for (int round = 0; round < 200; ++round) {
    restart(1);
    GstClockTime last = 0;
    for (int i = 0; i < 200; ++i) {
      const GstClockTime pts = g() % 3 ? g() % (g() % 2 ? 20 * kS : kNone) : extremes[g() % 7],
                         duration = g() % 4 ? g() % (200 * kMs) + 1 : extremes[g() % 7];
      const GstClockTime time = stamps.next(pts, duration).time;
      ASSERT_LE(time, guint64(G_MAXINT64));
      ASSERT_GE(time + (duration ? 2 : 60) * kS, last);
      last = time;
    }
  }
}

// --- worker

// Counts what is asked of it; each step waits for a ticket where `tickets` are wanted.
struct CountingJob : GstOmniWorker::Job {
  void begin() override {
    ++n_begun;
    if (begin_error) throw omni::Error(omni::ErrorCode::internal, "begin");
  }
  bool step() override {
    ++n_steps;
    if (in_step) in_step();
    return n_to_do > 0 && n_to_do-- > 0;
  }
  void restart() override { ++n_restarted; }
  void failed() override { ++n_failed; }
  void end() override { ++n_ended; }
  void cancel() override {
    ++n_cancelled;
    if (on_cancel) on_cancel();
  }
  std::atomic<int> n_begun = 0, n_steps = 0, n_to_do = 0, n_restarted = 0, n_failed = 0,
                   n_ended = 0, n_cancelled = 0;
  bool begin_error = false;
  std::function<void()> in_step, on_cancel;
};

class Worker : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    gst_element_set_bus(element, bus);
    if (!GetParam()) return;
    pad = gst_pad_new("src", GST_PAD_SRC);
    gst_element_add_pad(element, GST_PAD(gst_object_ref(pad)));
    gst_pad_set_active(pad, TRUE);
  }
  void TearDown() override {
    if (pad) gst_pad_set_active(pad, FALSE), gst_object_unref(pad);
    gst_element_set_bus(element, nullptr);
    gst_object_unref(element);
    gst_object_unref(bus);
  }
  int n_errors() {
    int n = 0;
    while (GstMessage* m = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR)) {
      gst_message_unref(m);
      ++n;
    }
    return n;
  }
  GstElement* element = GST_ELEMENT(gst_object_ref_sink(gst_bin_new("worker")));
  GstBus* bus = gst_bus_new();
  GstPad* pad = nullptr;
  CountingJob job;
};

TEST_P(Worker, EveryWakeIsSeen) {
  GstOmniWorker worker(element, pad, job);
  std::promise<void> done;
  std::atomic<int> seen = 0, asked = 0;
  job.in_step = [&] {
    seen = asked.load();
    if (seen == 1000) done.set_value(), seen = 1001, asked = 1001;
  };
  ASSERT_TRUE(worker.start());
  for (int i = 0; i < 1000; ++i) {
    ++asked;
    worker.wake();
  }
  done.get_future().wait();
  worker.stop();
  EXPECT_EQ(job.n_begun, 1);
  EXPECT_EQ(job.n_ended, 1);
  EXPECT_EQ(job.n_failed, 0);
}

TEST_P(Worker, AFlushWaitsForTheStepAndStartsAnew) {
  GstOmniWorker worker(element, pad, job);
  std::promise<void> inside, cut_short;
  std::atomic<bool> first = true;
  job.in_step = [&] {
    if (!first.exchange(false)) return;
    inside.set_value();
    cut_short.get_future().wait();
    worker.check_cancelled();
    ADD_FAILURE() << "the flush was not seen";
  };
  std::atomic<bool> cancelled = false;
  job.on_cancel = [&] {
    if (!cancelled.exchange(true)) cut_short.set_value();
  };
  worker.start();
  inside.get_future().wait();
  worker.flush_start();
  worker.flush_stop();
  const int steps = job.n_steps;
  worker.wake();
  EXPECT_EQ(job.n_steps, steps) << "parked";
  EXPECT_EQ(job.n_restarted, 0);
  std::promise<void> again;
  std::atomic<bool> once = true;
  job.in_step = [&] {
    if (once.exchange(false)) again.set_value();
  };
  worker.resume();
  again.get_future().wait();
  worker.stop();
  EXPECT_EQ(job.n_restarted, 1);
  EXPECT_EQ(n_errors(), 0);
}

TEST_P(Worker, AFlushBetweenStepsStartsAnewToo) {
  GstOmniWorker worker(element, pad, job);
  std::promise<void> first, second;
  std::atomic<std::promise<void>*> next = &first;
  job.in_step = [&] {
    if (auto* p = next.exchange(nullptr)) p->set_value();
  };
  worker.start();
  first.get_future().wait();
  worker.flush_start();
  worker.flush_stop();
  next = &second;
  worker.resume();
  second.get_future().wait();
  worker.stop();
  EXPECT_EQ(job.n_restarted, 1);
}

TEST_P(Worker, AnErrorIsPostedOnceAndEndsIt) {
  GstOmniWorker worker(element, pad, job);
  std::promise<void> thrown;
  job.in_step = [&] {
    thrown.set_value();
    throw omni::Error(omni::ErrorCode::internal, "step");
  };
  worker.start();
  thrown.get_future().wait();
  worker.flush_start();
  worker.flush_stop();
  worker.resume();
  worker.wake();
  worker.stop();
  EXPECT_EQ(job.n_steps, 1);
  EXPECT_EQ(job.n_ended, 1);
  EXPECT_EQ(n_errors(), 1);
  job.begin_error = true;
  worker.start();
  GstMessage* m = gst_bus_timed_pop_filtered(bus, kNone, GST_MESSAGE_ERROR);
  gst_message_unref(m);
  worker.stop();
  EXPECT_EQ(job.n_steps, 1);
  EXPECT_EQ(n_errors(), 0);
}

// A step that waits for something else than the worker (a session, a transcriber) ends with a stop.
TEST_P(Worker, AStopCancelsTheStep) {
  GstOmniWorker worker(element, pad, job);
  std::promise<void> inside, cut_short;
  job.in_step = [&] {
    inside.set_value();
    cut_short.get_future().wait();
    worker.check_cancelled();
    ADD_FAILURE() << "the stop was not seen";
  };
  job.on_cancel = [&] { cut_short.set_value(); };
  worker.start();
  inside.get_future().wait();
  worker.stop();
  EXPECT_EQ(job.n_steps, 1);
  EXPECT_EQ(job.n_failed, 0);
  EXPECT_EQ(n_errors(), 0);
}

TEST_P(Worker, MayBeStoppedInsideAFlush) {
  GstOmniWorker worker(element, pad, job);
  worker.start();
  worker.flush_start();
  worker.stop();
  std::promise<void> stepped;
  std::atomic<bool> once = true;
  job.in_step = [&] {
    if (once.exchange(false)) stepped.set_value();
  };
  worker.start();
  stepped.get_future().wait();
  worker.stop();
  EXPECT_EQ(job.n_begun, job.n_ended);
}

// Two threads, one that flushes and wakes, one that starts and stops.
TEST_P(Worker, SurvivesAnyOrder) {
  GstOmniWorker worker(element, pad, job);
  std::atomic<bool> over = false;
  std::thread flusher([&] {
    std::mt19937 g(5);
    while (!over) switch (g() % 4) {
        case 0:
          worker.flush_start();
          break;
        case 1:
          worker.flush_stop();
          worker.resume();
          break;
        default:
          job.n_to_do += 3;
          worker.wake();
      }
  });
  for (int i = 0; i < 300; ++i) {
    worker.start();
    if (i % 3) std::this_thread::yield();
    worker.stop();
  }
  over = true;
  flusher.join();
  EXPECT_EQ(job.n_begun, job.n_ended);
  EXPECT_EQ(job.n_failed, 0);
}

INSTANTIATE_TEST_SUITE_P(Streams, Worker, testing::Bool(),
                         [](const auto& i) { return i.param ? "PadTask" : "Thread"; });

// --- what is said when it gets worse

TEST(Worsening, IsSaidWhenItIsTwiceAsBad) {
  GstOmniWorsening w;
  std::vector<guint64> said;
  for (guint64 value = 0; value < 100; ++value)
    if (w.is_to_be_said(value)) said.push_back(value);
  EXPECT_EQ(said, (std::vector<guint64>{1, 2, 4, 8, 16, 32, 64}));
  EXPECT_FALSE(w.is_to_be_said(64)) << "nor the same again";
}

// --- input

// An input whose worker is this test: it takes what it likes when it likes.
class Input : public testing::Test, protected GstOmniInput::Media {
 protected:
  static constexpr GstOmniInput::Limits kLimits{16, 100000, 2 * kS};

  void SetUp() override {
    src = gst_pad_new("src", GST_PAD_SRC);
    gst_pad_set_query_function_full(
        src,
        [](GstPad* p, GstObject* parent, GstQuery* q) -> gboolean {
          auto* self = static_cast<Input*>(gst_pad_get_element_private(p));
          if (GST_QUERY_TYPE(q) != GST_QUERY_LATENCY) return gst_pad_query_default(p, parent, q);
          ++self->n_latency_queries;
          gst_query_set_latency(q, self->live, 0, kNone);
          return TRUE;
        },
        nullptr, nullptr);
    gst_pad_set_element_private(src, this);
    gst_pad_set_active(src, TRUE);
    gst_element_set_bus(element, bus);
    gst_element_add_pad(element, sink);
    gst_pad_set_active(sink, TRUE);
    ASSERT_EQ(gst_pad_link(src, sink), GST_PAD_LINK_OK);
    input.set_worker(GstOmniInput::Worker::ready);
  }
  void TearDown() override {
    gst_pad_set_active(sink, FALSE);
    gst_object_unref(src);
    gst_element_set_bus(element, nullptr);
    gst_object_unref(element);
    gst_object_unref(bus);
  }
  void reactivate() {
    for (GstPad* pad : {src, sink}) gst_pad_set_active(pad, FALSE), gst_pad_set_active(pad, TRUE);
  }
  void begin(bool is_live) {
    live = is_live;
    gst_pad_push_event(src, gst_event_new_stream_start("test"));
    CapsPtr caps(gst_caps_new_empty_simple("application/x-test"));
    gst_pad_push_event(src, gst_event_new_caps(caps.get()));
    push_segment();
  }
  void push_segment() {
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(src, gst_event_new_segment(&segment));
  }
  GstFlowReturn push(GstClockTime pts, gsize bytes = 10, GstClockTime duration = kNone) {
    GstBuffer* b = gst_buffer_new_allocate(nullptr, bytes, nullptr);
    GST_BUFFER_PTS(b) = pts;
    GST_BUFFER_DURATION(b) = duration;
    return gst_pad_push(src, b);
  }
  // What is in the queue: names of events, times of buffers in ms.
  std::string take_all() {
    std::string all;
    while (input.handle_next([&](GstOmniInput::Item& item) {
      all += all.empty() ? "" : " ";
      all += item.is_event() ? GST_EVENT_TYPE_NAME(item.event())
             : item.is_gap() ? "gap:" + std::to_string(item.time / kMs)
                             : std::to_string(item.time / kMs);
    }))
      ;
    return all;
  }
  int pop(GstMessageType type) {
    int n = 0;
    while (GstMessage* m = gst_bus_pop_filtered(bus, type)) {
      gst_message_unref(m);
      ++n;
    }
    return n;
  }

  void set_caps(GstCaps* caps) override {
    if (std::exchange(flushes_at_caps, false))
      gst_pad_send_event(sink, gst_event_new_flush_start());
    if (gst_structure_has_name(gst_caps_get_structure(caps, 0), "application/x-refused"))
      throw omni::Error(omni::ErrorCode::unsupported, "refused");
  }
  // Ten bytes a millisecond where it does not say.
  GstClockTime duration_of(GstBuffer* b) override {
    return GST_BUFFER_DURATION_IS_VALID(b) ? GST_BUFFER_DURATION(b)
                                           : gst_buffer_get_size(b) * kMs / 10;
  }
  bool wants(GstClockTime) override {
    ++n_asked;
    return wants_more;
  }
  void flush_start(EventPtr) override { ++n_flush_starts; }
  void flush_stop(EventPtr) override { ++n_flush_stops; }

  GstElement* element = GST_ELEMENT(gst_object_ref_sink(gst_bin_new("input")));
  GstBus* bus = gst_bus_new();
  GstPad *src = nullptr, *sink = [] {
    GstPadTemplate* any = gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_CAPS_ANY);
    GstPad* pad = gst_pad_new_from_template(any, "sink");
    gst_object_unref(any);
    return pad;
  }();
  CountingJob job;
  GstOmniWorker worker{element, nullptr, job};
  GstOmniInput input{element, sink, kLimits, worker, *this};
  bool live = false, wants_more = true, flushes_at_caps = false;
  std::atomic<int> n_asked = 0;
  int n_latency_queries = 0, n_flush_starts = 0, n_flush_stops = 0;
};

TEST_F(Input, LiveTheNewestWinWhateverBounds) {
  struct {
    gsize bytes;
    GstClockTime duration;
    guint most;
  } cases[] = {{10, kNone, 16}, {20000, kNone, 1}, {10, 500 * kMs, 4}, {25000, 0, 4}};
  for (const auto& c : cases) {
    reactivate();
    begin(true);
    for (guint64 i = 0; i < 1000; ++i)
      ASSERT_EQ(push(i * kS / 10, c.bytes, c.duration), GST_FLOW_OK);
    const auto counts = input.counts();
    EXPECT_EQ(counts.queued, c.most);
    EXPECT_EQ(counts.in, 1000u);
    EXPECT_EQ(counts.dropped, 1000u - c.most);
    EXPECT_EQ(pop(GST_MESSAGE_QOS), int(1000 - c.most));
    const std::string all = take_all();
    EXPECT_TRUE(all.ends_with(" 99900")) << "the newest: " << all;
    EXPECT_TRUE(all.starts_with("stream-start caps segment")) << "events stay: " << all;
  }
}

TEST_F(Input, OtherwiseUpstreamWaits) {
  begin(false);
  for (guint64 i = 0; i < kLimits.buffers; ++i) push(i * kMs);
  std::atomic<int> n = 0;
  std::thread upstream([&] {
    for (guint64 i = 0; i < 100; ++i) {
      if (push((16 + i) * kMs) != GST_FLOW_OK) return;
      ++n;
    }
  });
  int taken = 0;
  while (taken < 3 + 16 + 100) {
    EXPECT_LE(n, std::max(0, taken - 3) + 1);
    EXPECT_LE(input.counts().queued, kLimits.buffers);
    taken += input.handle_next([](GstOmniInput::Item&) {});
  }
  upstream.join();
  EXPECT_EQ(input.counts().dropped, 0u);
}

TEST_F(Input, WhoeverWaitsIsWoken) {
  for (const char* by : {"flush", "state", "failure", "flow"}) {
    reactivate();
    input.set_worker(GstOmniInput::Worker::ready);
    begin(false);
    for (guint64 i = 0; i < kLimits.buffers; ++i) push(i * kMs);
    std::atomic<GstFlowReturn> result = GST_FLOW_OK;
    std::thread upstream([&] { result = push(kS); });
    const std::string how = by;
    if (how == "flush") gst_pad_push_event(src, gst_event_new_flush_start());
    if (how == "state") gst_pad_set_active(sink, FALSE);
    if (how == "failure") input.set_worker(GstOmniInput::Worker::failed);
    if (how == "flow") input.set_flow(GST_FLOW_EOS);
    upstream.join();
    EXPECT_EQ(result, how == "failure" ? GST_FLOW_ERROR
                      : how == "flow"  ? GST_FLOW_EOS
                                       : GST_FLOW_FLUSHING)
        << by;
  }
}

TEST_F(Input, WhatStaysOnPadsSurvivesAFlush) {
  begin(false);
  push(0);
  gst_pad_push_event(src, gst_event_new_tag(gst_tag_list_new_empty()));
  gst_pad_push_event(src, gst_event_new_gap(kS, kS));
  gst_pad_push_event(src, gst_event_new_flush_start());
  EXPECT_EQ(push(0), GST_FLOW_FLUSHING);
  gst_pad_push_event(src, gst_event_new_flush_stop(TRUE));
  EXPECT_EQ(take_all(), "stream-start caps tag");
  EXPECT_EQ(n_flush_starts, 1);
  EXPECT_EQ(n_flush_stops, 1);
  push_segment();
  EXPECT_EQ(push(5 * kS), GST_FLOW_OK);
  EXPECT_EQ(take_all(), "segment 5000");
}

TEST_F(Input, AnEventWhoseHandlingAFlushCutsShortComesAgain) {
  begin(false);
  push(0);
  const auto cut = [this] {
    EXPECT_THROW(input.handle_next([](GstOmniInput::Item&) {
      throw omni::Error(omni::ErrorCode::cancelled, "cancelled");
    }),
                 omni::Error);
  };
  cut();
  cut();
  EXPECT_EQ(take_all(), "stream-start caps segment 0");
  push_segment();
  push(kMs);
  cut();  // the segment, which a flush undoes
  EXPECT_EQ(take_all(), "1");
}

TEST_F(Input, BuffersThatOthersHoldAreNotWrittenTo) {
  begin(false);
  BufferPtr b(gst_buffer_new_allocate(nullptr, 100, nullptr));
  for (int i = 0; i < 3; ++i) gst_pad_push(src, gst_buffer_ref(b.get()));
  EXPECT_EQ(GST_BUFFER_PTS(b.get()), kNone);
  EXPECT_EQ(GST_BUFFER_DURATION(b.get()), kNone);
  EXPECT_EQ(take_all(), "stream-start caps segment 0 10 20");
}

TEST_F(Input, AJumpIsCountedAndSaidOnce) {
  begin(false);
  const auto at = [this](GstClockTime pts) { EXPECT_EQ(push(pts, 100, 100 * kMs), GST_FLOW_OK); };
  at(0), at(37600 * kS), at(200 * kMs);
  EXPECT_EQ(take_all(), "stream-start caps segment 0 100 200");
  EXPECT_EQ(input.counts().jumps, 1u);
  EXPECT_EQ(pop(GST_MESSAGE_WARNING), 1);
  for (guint64 i = 1; i < 100; ++i) {
    at(i * 1000000 * kS), at(200 * kMs + i * 100 * kMs);
    take_all();
  }
  EXPECT_EQ(input.counts().jumps, 100u);
  EXPECT_EQ(pop(GST_MESSAGE_WARNING), 6) << "the 2nd, 4th, 8th …";
}

TEST_F(Input, GapsCountAsTheirTime) {
  begin(true);
  for (guint64 i = 0; i < 100; ++i) gst_pad_push_event(src, gst_event_new_gap(i * kS, kS));
  EXPECT_EQ(take_all(), "stream-start caps segment gap:98000 gap:99000");
  EXPECT_EQ(input.counts().dropped, 0u) << "no buffer was";
}

TEST_F(Input, OtherFormatsOfSegmentsBecomeTime) {
  gst_pad_push_event(src, gst_event_new_stream_start("test"));
  const CapsPtr caps(gst_caps_new_empty_simple("application/x-test"));
  gst_pad_push_event(src, gst_event_new_caps(caps.get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_BYTES);
  segment.start = 12345678;
  gst_pad_push_event(src, gst_event_new_segment(&segment));
  EXPECT_EQ(push(kMs), GST_FLOW_OK);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(input.handle_next([](GstOmniInput::Item&) {}));
  ASSERT_TRUE(input.handle_next([](GstOmniInput::Item& item) {
    const GstSegment* s = nullptr;
    gst_event_parse_segment(item.event(), &s);
    EXPECT_EQ(s->format, GST_FORMAT_TIME);
    EXPECT_EQ(s->start, 0u);
  }));
  EXPECT_EQ(take_all(), "1");
}

TEST_F(Input, WhatLiesOutsideTheSegmentIsLeftOut) {
  begin(false);
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.start = 10 * kS;
  segment.stop = 11 * kS;
  gst_pad_push_event(src, gst_event_new_segment(&segment));
  for (const GstClockTime pts : {9900 * kMs, 9999 * kMs, 10500 * kMs, 11000 * kMs})
    EXPECT_EQ(push(pts, 10, 100 * kMs), GST_FLOW_OK);
  EXPECT_EQ(take_all(), "stream-start caps segment segment 9999 10500");
}

TEST_F(Input, CapsThatCannotBeTakenRefuseWhatFollows) {
  begin(false);
  CapsPtr bad(gst_caps_new_empty_simple("application/x-refused")),
      good(gst_caps_new_empty_simple("application/x-test"));
  gst_pad_push_event(src, gst_event_new_caps(bad.get()));
  EXPECT_EQ(pop(GST_MESSAGE_ERROR), 1);
  EXPECT_EQ(push(0), GST_FLOW_NOT_NEGOTIATED);
  gst_pad_push_event(src, gst_event_new_caps(good.get()));
  EXPECT_EQ(push(0), GST_FLOW_OK);
}

// A flush comes while they are looked at, and a buffer of another thread ahead of their return.
TEST_F(Input, CapsThatAFlushKeptOutAreNotThere) {
  flushes_at_caps = true;
  begin(false);
  gst_pad_send_event(sink, gst_event_new_flush_stop(TRUE));
  EXPECT_EQ(gst_pad_chain(sink, gst_buffer_new_allocate(nullptr, 10, nullptr)),
            GST_FLOW_NOT_NEGOTIATED);
  begin(false);
  EXPECT_EQ(push(0), GST_FLOW_OK);
}

TEST_F(Input, WhetherItIsLiveIsAskedOnceAStream) {
  begin(true);
  for (guint64 i = 0; i < 10; ++i) push(i * kMs);
  push_segment();
  EXPECT_EQ(n_latency_queries, 1);
  EXPECT_TRUE(input.is_live());
  begin(false);
  push(0);
  EXPECT_EQ(n_latency_queries, 2);
  EXPECT_FALSE(input.is_live());
}

TEST_F(Input, EndsOfFlowAreForgottenWhereTheyShouldBe) {
  begin(false);
  input.set_flow(GST_FLOW_EOS);
  EXPECT_EQ(push(0), GST_FLOW_EOS);
  begin(false);
  EXPECT_EQ(push(0), GST_FLOW_OK) << "another stream";
  input.set_flow(GST_FLOW_NOT_LINKED);
  EXPECT_EQ(push(0), GST_FLOW_NOT_LINKED);
  input.relinked();
  EXPECT_EQ(push(0), GST_FLOW_OK);
  input.set_flow(GST_FLOW_ERROR);
  input.relinked();
  EXPECT_EQ(push(0), GST_FLOW_ERROR);
  gst_pad_push_event(src, gst_event_new_flush_start());
  gst_pad_push_event(src, gst_event_new_flush_stop(TRUE));
  push_segment();
  EXPECT_EQ(push(0), GST_FLOW_OK);
  EXPECT_FALSE(input.has_ended());
  gst_pad_push_event(src, gst_event_new_eos());
  EXPECT_TRUE(input.has_ended());
  gst_pad_push_event(src, gst_event_new_flush_start());
  gst_pad_push_event(src, gst_event_new_flush_stop(TRUE));
  EXPECT_FALSE(input.has_ended());
}

// What is wanted of a recording is known only with the checkpoint; a live stream is not held up.
TEST_F(Input, ARecordingWaitsForTheWorkerALiveStreamDoesNot) {
  input.set_worker(GstOmniInput::Worker::starting);
  begin(true);
  EXPECT_EQ(push(0), GST_FLOW_OK);
  EXPECT_EQ(n_asked, 1);
  begin(false);
  std::promise<GstFlowReturn> pushed;
  std::thread upstream([&] { pushed.set_value(push(0)); });
  auto result = pushed.get_future();
  EXPECT_EQ(result.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  EXPECT_EQ(n_asked, 1);
  input.set_worker(GstOmniInput::Worker::ready);
  EXPECT_EQ(result.get(), GST_FLOW_OK);
  EXPECT_EQ(n_asked, 2);
  upstream.join();
}

TEST_F(Input, NothingIsQueuedThatIsNotWanted) {
  begin(false);
  wants_more = false;
  for (guint64 i = 0; i < 1000; ++i) EXPECT_EQ(push(i * kMs), GST_FLOW_OK);
  EXPECT_EQ(input.counts().in, 0u);
  EXPECT_EQ(take_all(), "stream-start caps segment");
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gst_init(nullptr, nullptr);
  g_log_set_always_fatal(GLogLevelFlags(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR));
  return RUN_ALL_TESTS();
}
