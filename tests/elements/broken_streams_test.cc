// What streams of the field do to the elements that compute behind a queue: flushes and state
// changes at any moment, time stamps that jump or are missing, gaps of a day, neighbours that
// refuse.
#include <gst/audio/audio.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "elements/harness.h"

#define TINY OMNI_SOURCE_DIR "/tests/fixtures/whisper/checkpoint"
#define FIXTURE_B FIXTURES "b/checkpoint"

namespace omni_test {
namespace {

constexpr char kVideo[] = "video/x-raw,format=RGB,width=56,height=56,framerate=5/1";
constexpr char kAudio[] = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";
constexpr GstClockTime kMs = GST_MSECOND, kS = GST_SECOND;

struct Kind {
  const char *factory, *model, *caps;
  gsize bytes;  // of 200 ms
};

constexpr Kind kVideoTokenizer{"omnivideotokenizer", FIXTURE_A, kVideo, 56 * 56 * 3},
    kAudioTokenizer{"omniaudiotokenizer", FIXTURE_A, kAudio, 6400},
    kTranscriber{"omnitranscriber", TINY, kAudio, 6400};

GstBuffer* piece(const Kind& kind, GstClockTime pts, GstClockTime duration = 200 * kMs) {
  GstBuffer* b = gst_buffer_new_allocate(nullptr, kind.bytes, nullptr);
  gst_buffer_memset(b, 0, 100, kind.bytes);
  GST_BUFFER_PTS(b) = pts;
  GST_BUFFER_DURATION(b) = duration;
  return b;
}

guint64 stat(GstElement* element, const char* name) {
  GstStructure* s = nullptr;
  g_object_get(element, "stats", &s, nullptr);
  guint64 value = 0;
  guint depth = 0;
  if (!gst_structure_get_uint64(s, name, &value) && gst_structure_get_uint(s, name, &depth))
    value = depth;
  gst_structure_free(s);
  return value;
}

int pop(GstBus* bus, GstMessageType type) {
  int n = 0;
  while (GstMessage* m = gst_bus_pop_filtered(bus, type)) {
    gst_message_unref(m);
    ++n;
  }
  return n;
}

// A harness as of a file: it waits for the element.
struct FileHarness : Harness {
  explicit FileHarness(const Kind& kind) : Harness(kind.factory, kind.model) {
    gst_harness_set_live(h, FALSE);
    gst_harness_set_src_caps_str(h, kind.caps);
  }
};

void push_segment(GstHarness* h, double rate = 1, GstClockTime stop = GST_CLOCK_TIME_NONE) {
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.rate = rate;
  segment.stop = stop;
  gst_harness_push_event(h, gst_event_new_segment(&segment));
}

class Jumps : public testing::TestWithParam<Kind> {};

// 16 s in buffers of 200 ms, stamped by a rule: the times of what comes out, in ms.
std::vector<guint64> times_of(const Kind& kind, const std::function<GstClockTime(guint64)>& rule,
                              guint64 jumps) {
  FileHarness h(kind);
  for (guint64 i = 0; i < 80; ++i)
    EXPECT_EQ(gst_harness_push(h, piece(kind, rule(i))), GST_FLOW_OK) << i;
  auto out = h.drain();
  std::vector<guint64> times;
  for (GstBuffer* b : out) times.push_back(GST_BUFFER_PTS(b) / kMs);
  unref_all(out);
  EXPECT_EQ(stat(h->element, "jumps"), jumps);
  EXPECT_EQ(pop(h.bus, GST_MESSAGE_WARNING), int(jumps));
  EXPECT_EQ(pop(h.bus, GST_MESSAGE_ERROR), 0);
  return times;
}

TEST_P(Jumps, OfTimeStampsLoseNothing) {
  const Kind& kind = GetParam();
  const auto at = [](guint64 i) { return i * 200 * kMs; };
  const auto plain = times_of(kind, at, 0);
  ASSERT_GE(plain.size(), 8u);
  const auto spike = [&](guint64 i) { return at(i) + (i == 40 ? 37600 * kS : 0); };
  const auto spike_back = [&](guint64 i) { return i == 40 ? 0 : at(i); };
  const auto reset = [&](guint64 i) { return i < 40 ? at(i) : at(i - 40) + kS; };
  const auto none = [&](guint64) { return GST_CLOCK_TIME_NONE; };
  EXPECT_EQ(times_of(kind, spike, 1), plain);
  EXPECT_EQ(times_of(kind, spike_back, 1), plain);
  EXPECT_EQ(times_of(kind, reset, 1), plain);
  EXPECT_EQ(times_of(kind, none, 0), plain);
  for (const auto& [first, second] : {std::pair{100 * kS, 50 * kS}, {95443 * kS, 0 * kS}}) {
    auto moved = plain;
    for (guint64& t : moved) t += first / kMs;
    EXPECT_EQ(times_of(
                  kind, [&](guint64 i) { return i < 40 ? at(i) + first : at(i - 40) + second; }, 1),
              moved);
  }
}

// To the time of day, which was counted frame by frame with the lock held.
TEST_P(Jumps, ToTheTimeOfDayCostNothing) {
  const Kind& kind = GetParam();
  const auto at = [](guint64 i) { return i * 200 * kMs + (i >= 40 ? 1'760'000'000 * kS : 0); };
  const auto times = times_of(kind, at, 1);
  EXPECT_GE(times.size(), 8u);
  EXPECT_GE(times.back(), 1'760'000'000'000u);
}

INSTANTIATE_TEST_SUITE_P(BrokenStreams, Jumps, testing::Values(kVideoTokenizer, kAudioTokenizer),
                         [](const auto& i) { return std::string(i.param.factory); });

class AnyMoment : public testing::TestWithParam<Kind> {};

// One thread flushes for ever, the other changes the state.
TEST_P(AnyMoment, AFlushAgainstAStateChange) {
  const Kind& kind = GetParam();
  GstElement* pipeline = gst_pipeline_new(nullptr);
  GstElement* element = gst_element_factory_make(kind.factory, nullptr);
  GstElement* end = gst_element_factory_make("fakesink", nullptr);
  g_object_set(element, "model-path", kind.model, nullptr);
  g_object_set(end, "async", FALSE, "sync", FALSE, nullptr);
  gst_bin_add_many(GST_BIN(pipeline), element, end, nullptr);
  gst_element_link(element, end);
  GstPad* src = gst_pad_new("src", GST_PAD_SRC);
  gst_pad_set_active(src, TRUE);
  GstPad* sink = gst_element_get_static_pad(element, "sink");
  gst_pad_link(src, sink);
  std::atomic<bool> over = false;
  std::atomic<int> n_flushes = 0;
  std::thread flusher([&] {
    std::mt19937 g(11);
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    GstCaps* caps = gst_caps_from_string(kind.caps);
    while (!over) {
      gst_pad_push_event(src, gst_event_new_flush_start());
      gst_pad_push_event(src, gst_event_new_flush_stop(TRUE));
      gst_pad_push_event(src, gst_event_new_stream_start("test"));
      gst_pad_push_event(src, gst_event_new_caps(caps));
      gst_pad_push_event(src, gst_event_new_segment(&segment));
      for (guint i = 0; i < g() % 4; ++i) gst_pad_push(src, piece(kind, i * 200 * kMs));
      ++n_flushes;
    }
    gst_caps_unref(caps);
  });
  for (int i = 0; i < 60; ++i) {
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    for (const int until = n_flushes + i % 4; n_flushes < until;) std::this_thread::yield();
    ASSERT_NE(gst_element_set_state(pipeline, i % 2 ? GST_STATE_READY : GST_STATE_NULL),
              GST_STATE_CHANGE_FAILURE);
  }
  over = true;
  gst_pad_push_event(src, gst_event_new_flush_start());
  flusher.join();
  gst_element_set_state(pipeline, GST_STATE_NULL);
  GstBus* bus = gst_element_get_bus(pipeline);
  EXPECT_EQ(pop(bus, GST_MESSAGE_ERROR), 0);
  gst_object_unref(bus);
  gst_object_unref(sink);
  gst_object_unref(src);
  gst_object_unref(pipeline);
}

TEST_P(AnyMoment, AnErrorThenAFlush) {
  const Kind& kind = GetParam();
  Harness h(kind.factory, OMNI_SOURCE_DIR "/docs");
  gst_harness_set_live(h, FALSE);
  gst_harness_set_src_caps_str(h, kind.caps);
  EXPECT_NE(h.error(), "");
  gst_harness_push_event(h, gst_event_new_flush_start());
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  push_segment(h);
  EXPECT_EQ(gst_harness_push(h, piece(kind, 0)), GST_FLOW_ERROR);
  EXPECT_EQ(pop(h.bus, GST_MESSAGE_ERROR), 0);
}

TEST_P(AnyMoment, StoppedBetweenFlushStartAndFlushStopItWorksAgain) {
  const Kind& kind = GetParam();
  FileHarness h(kind);
  gst_harness_push(h, piece(kind, 0));
  gst_harness_push_event(h, gst_event_new_flush_start());
  gst_element_set_state(h->element, GST_STATE_READY);
  gst_element_set_state(h->element, GST_STATE_PLAYING);
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  gst_harness_push_event(h, gst_event_new_stream_start("again"));
  GstCaps* caps = gst_caps_from_string(kind.caps);
  gst_harness_push_event(h, gst_event_new_caps(caps));
  gst_caps_unref(caps);
  push_segment(h);
  for (guint64 i = 0; i < 20; ++i)
    EXPECT_EQ(gst_harness_push(h, piece(kind, i * 200 * kMs)), GST_FLOW_OK);
  auto out = h.drain();
  unref_all(out);
}

INSTANTIATE_TEST_SUITE_P(BrokenStreams, AnyMoment,
                         testing::Values(kVideoTokenizer, kAudioTokenizer, kTranscriber),
                         [](const auto& i) { return std::string(i.param.factory); });

class BrokenStreams : public GstTest {};

TEST_F(BrokenStreams, SettingsThatContradictThemselvesThenAFlush) {
  Harness h("omnivideotokenizer");
  gst_harness_set_live(h, FALSE);
  g_object_set(h->element, "min-pixels", gint64(100000), "max-pixels", gint64(50000), nullptr);
  gst_harness_set_src_caps_str(h, kVideo);
  EXPECT_NE(h.error().find("is below min-pixels"), std::string::npos);
  gst_harness_push_event(h, gst_event_new_flush_start());
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  push_segment(h);
  EXPECT_EQ(gst_harness_push(h, piece(kVideoTokenizer, 0)), GST_FLOW_ERROR);
}

// A day of nothing is a hole that goes on as a GAP; half a minute is silence.
TEST_F(BrokenStreams, ALongGapIsNotListenedTo) {
  FileHarness h(kAudioTokenizer);
  for (guint64 i = 0; i < 10; ++i) gst_harness_push(h, piece(kAudioTokenizer, i * 200 * kMs));
  gst_harness_push_event(h, gst_event_new_gap(2 * kS, 86400 * kS));
  gst_harness_push_event(h, gst_event_new_gap(86402 * kS, 30 * kS));
  for (guint64 i = 0; i < 10; ++i)
    gst_harness_push(h, piece(kAudioTokenizer, 86432 * kS + i * 200 * kMs));
  gst_harness_push_event(h, gst_event_new_eos());
  GstClockTime gap_start = 0, gap_duration = 0;
  for (bool eos = false; !eos;) {
    GstEvent* e = gst_harness_pull_event(h);
    if (GST_EVENT_TYPE(e) == GST_EVENT_GAP) gst_event_parse_gap(e, &gap_start, &gap_duration);
    eos = GST_EVENT_TYPE(e) == GST_EVENT_EOS;
    gst_event_unref(e);
  }
  EXPECT_EQ(gap_start, 2 * kS);
  EXPECT_EQ(gap_duration, 86400 * kS);
  EXPECT_EQ(gst_harness_buffers_in_queue(h), 1u + 15u + 1u);
}

TEST_F(BrokenStreams, ALongGapHasNoWords) {
  FileHarness h(kTranscriber);
  gst_harness_push(h, piece(kTranscriber, 0));
  gst_harness_push_event(h, gst_event_new_gap(200 * kMs, 86400 * kS));
  gst_harness_push(h, piece(kTranscriber, 86400 * kS + 200 * kMs));
  gst_harness_push_event(h, gst_event_new_eos());
  GstClockTime end = 0;
  for (bool eos = false; !eos;) {
    GstEvent* e = gst_harness_pull_event(h);
    GstClockTime start = 0, duration = 0;
    if (GST_EVENT_TYPE(e) == GST_EVENT_GAP) gst_event_parse_gap(e, &start, &duration);
    end = std::max(end, start + duration);
    eos = GST_EVENT_TYPE(e) == GST_EVENT_EOS;
    gst_event_unref(e);
  }
  EXPECT_EQ(end, 86400 * kS + 400 * kMs);
}

// Where the text of a stream ends, in ms: the last GAP goes up to it.
GstClockTime end_of_text(const std::function<GstClockTime(guint64)>& rule) {
  FileHarness h(kTranscriber);
  for (guint64 i = 0; i < 80; ++i)
    EXPECT_EQ(gst_harness_push(h, piece(kTranscriber, rule(i))), GST_FLOW_OK) << i;
  gst_harness_push_event(h, gst_event_new_eos());
  GstClockTime end = 0;
  for (bool eos = false; !eos;) {
    GstEvent* e = gst_harness_pull_event(h);
    GstClockTime start = 0, duration = 0;
    if (GST_EVENT_TYPE(e) == GST_EVENT_GAP) gst_event_parse_gap(e, &start, &duration);
    end = std::max(end, start + duration);
    eos = GST_EVENT_TYPE(e) == GST_EVENT_EOS;
    gst_event_unref(e);
  }
  while (GstBuffer* b = gst_harness_try_pull(h)) {
    end = std::max(end, GST_BUFFER_PTS(b) + GST_BUFFER_DURATION(b));
    gst_buffer_unref(b);
  }
  return end / kMs;
}

TEST_F(BrokenStreams, JumpsDoNotMoveText) {
  const auto at = [](guint64 i) { return i * 200 * kMs; };
  EXPECT_EQ(end_of_text(at), 16000u);
  EXPECT_EQ(end_of_text([&](guint64 i) { return at(i) + (i == 40 ? 37600 * kS : 0); }), 16000u);
  EXPECT_EQ(end_of_text([&](guint64 i) { return i < 40 ? at(i) : at(i - 40) + kS; }), 16000u);
  EXPECT_EQ(end_of_text([&](guint64) { return GST_CLOCK_TIME_NONE; }), 16000u);
  EXPECT_EQ(end_of_text([&](guint64 i) { return at(i) + (i < 40 ? 95443 * kS : -at(40)); }),
            95443000u + 16000u);
}

// Holds the first buffer that leaves an element until open() is called.
struct Gate {
  std::mutex lock;
  std::condition_variable changed;
  bool reached = false, opened = false;
  int n = 0;

  void watch(GstElement* element) {
    GstPad* pad = gst_element_get_static_pad(element, "src");
    gst_pad_add_probe(
        pad, GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad*, GstPadProbeInfo*, gpointer data) {
          auto& self = *static_cast<Gate*>(data);
          std::unique_lock guard(self.lock);
          ++self.n;
          self.reached = true;
          self.changed.notify_all();
          self.changed.wait(guard, [&] { return self.opened; });
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
    gst_object_unref(pad);
  }
  void wait() {
    std::unique_lock guard(lock);
    changed.wait(guard, [this] { return reached; });
  }
  void open() {
    std::lock_guard guard(lock);
    opened = true;
    changed.notify_all();
  }
};

// An hour of sound in one buffer: a flush ends it between two pieces.
TEST_F(BrokenStreams, AFlushEndsALongBuffer) {
  Gate gate;
  FileHarness h(kAudioTokenizer);
  gate.watch(h->element);
  const gsize bytes = gsize{3600} * 32000;
  GstBuffer* hour = gst_buffer_new_allocate(nullptr, bytes, nullptr);
  gst_buffer_memset(hour, 0, 0, bytes);
  GST_BUFFER_PTS(hour) = 0;
  EXPECT_EQ(gst_harness_push(h, hour), GST_FLOW_OK);
  gate.wait();
  gst_harness_push_event(h, gst_event_new_flush_start());
  gate.open();
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  EXPECT_EQ(gate.n, 1);
  push_segment(h);
  for (guint64 i = 0; i < 10; ++i) gst_harness_push(h, piece(kAudioTokenizer, i * 200 * kMs));
  auto out = h.drain();
  EXPECT_EQ(out.size(), 1u);
  unref_all(out);
}

// While nothing leaves, live sound without durations is dropped, oldest first.
TEST_F(BrokenStreams, LiveSoundWithoutDurationsIsBounded) {
  Gate gate;
  Harness h("omniaudiotokenizer");
  gst_harness_set_upstream_latency(h, 1);
  gst_harness_set_src_caps_str(h, kAudio);
  gate.watch(h->element);
  const auto push = [&](guint64 i) {
    return gst_harness_push(h, piece(kAudioTokenizer, i * 200 * kMs, GST_CLOCK_TIME_NONE));
  };
  for (guint64 i = 0; i < 11; ++i) ASSERT_EQ(push(i), GST_FLOW_OK);
  gate.wait();
  for (guint64 i = 11; i < 2011; ++i) ASSERT_EQ(push(i), GST_FLOW_OK);
  EXPECT_EQ(stat(h->element, "queue-depth"), 40u) << "8 s";
  EXPECT_GE(stat(h->element, "drops"), 2000u - 40);
  EXPECT_EQ(stat(h->element, "drops"), guint64(pop(h.bus, GST_MESSAGE_QOS)));
  gate.open();
  auto out = h.drain();
  unref_all(out);
}

// A recogniser that does not keep up misses words: counted, and said, again when it is twice as
// bad.
TEST_F(BrokenStreams, LiveSoundThatWasNotListenedToIsTold) {
  Harness h(kTranscriber.factory, kTranscriber.model);
  struct Hold {
    std::mutex lock;
    std::condition_variable changed;
    bool is_held = false, is_open = false;
  } hold;
  const auto hold_worker = [](GstBus*, GstMessage* m, gpointer data) {
    auto& held = *static_cast<Hold*>(data);
    std::unique_lock guard(held.lock);
    if (GST_MESSAGE_TYPE(m) != GST_MESSAGE_LATENCY) return GST_BUS_PASS;
    held.is_held = true;
    held.changed.notify_all();
    held.changed.wait(guard, [&] { return held.is_open; });
    return GST_BUS_PASS;
  };
  gst_element_set_state(h->element, GST_STATE_READY);
  gst_bus_set_sync_handler(h.bus, hold_worker, &hold, nullptr);
  gst_element_set_state(h->element, GST_STATE_PLAYING);
  gst_harness_set_upstream_latency(h, 1);
  gst_harness_set_src_caps_str(h, kAudio);
  {
    std::unique_lock guard(hold.lock);
    hold.changed.wait(guard, [&] { return hold.is_held; });
  }
  for (guint64 i = 0; i < 540; ++i)
    ASSERT_EQ(gst_harness_push(h, piece(kTranscriber, i * 200 * kMs, GST_CLOCK_TIME_NONE)),
              GST_FLOW_OK);
  {
    std::lock_guard guard(hold.lock);
    hold.is_open = true;
  }
  hold.changed.notify_all();
  auto out = h.drain();
  unref_all(out);
  EXPECT_EQ(stat(h->element, "unheard"), 100 * kS) << "8 s of 108 were kept";
  EXPECT_EQ(stat(h->element, "drops"), 500u);
  int n_qos = 0, n_warnings = 0;
  while (GstMessage* m = gst_bus_pop(h.bus)) {
    n_qos += GST_MESSAGE_TYPE(m) == GST_MESSAGE_QOS;
    const GstStructure* details = nullptr;
    guint64 unheard = 0;
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_WARNING) gst_message_parse_warning_details(m, &details);
    if (details && gst_structure_get_uint64(details, "unheard", &unheard)) {
      EXPECT_EQ(unheard, 100 * kS);
      ++n_warnings;
    }
    gst_message_unref(m);
  }
  EXPECT_EQ(n_qos, 500);
  EXPECT_EQ(n_warnings, 1);
}

TEST_F(BrokenStreams, FramesThatATeeSharesAreNotWrittenTo) {
  FileHarness h(kVideoTokenizer);
  std::vector<GstBuffer*> held;
  for (int i = 0; i < 10; ++i) {
    held.push_back(piece(kVideoTokenizer, GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE));
    gst_harness_push(h, gst_buffer_ref(held.back()));
  }
  auto out = h.drain();
  EXPECT_EQ(out.size(), 2u) << "5 frames a second by the caps: 2 s";
  unref_all(out);
  for (GstBuffer* b : held) {
    EXPECT_FALSE(GST_BUFFER_PTS_IS_VALID(b));
    EXPECT_FALSE(GST_BUFFER_DURATION_IS_VALID(b));
  }
  unref_all(held);
}

TEST_F(BrokenStreams, InReverseAsManyFramesAreLookedAt) {
  for (const double rate : {1.0, -1.0}) {
    FileHarness h(kVideoTokenizer);
    push_segment(h, rate, 2 * kS);
    for (guint64 i = 0; i < 60; ++i)
      gst_harness_push(h, piece(kVideoTokenizer, (rate > 0 ? i : 59 - i) * kS / 30, kS / 30));
    auto out = h.drain();
    unref_all(out);
    EXPECT_EQ(stat(h->element, "buffers-in"), 4u) << rate;
  }
}

TEST_F(BrokenStreams, InReverseNothingIsHeard) {
  for (const Kind& kind : {kAudioTokenizer, kTranscriber}) {
    FileHarness h(kind);
    push_segment(h, -1, 10 * kS);
    for (guint64 i = 1; i <= 50; ++i) gst_harness_push(h, piece(kind, 10 * kS - i * 200 * kMs));
    auto out = h.drain();
    EXPECT_EQ(out.size(), 0u);
    unref_all(out);
  }
}

std::string bytes_of(std::vector<GstBuffer*>& buffers) {
  std::string all;
  for (GstBuffer* b : buffers) {
    GstMapInfo map;
    gst_buffer_map(b, &map, GST_MAP_READ);
    all.append(reinterpret_cast<char*>(map.data), map.size);
    gst_buffer_unmap(b, &map);
  }
  unref_all(buffers);
  return all;
}

// What AAC decoders give is heard as the same samples side by side are, also where it overlaps.
TEST_F(BrokenStreams, PlanarSoundIsTheSame) {
  constexpr int kFrames = 4800;
  std::string first;
  for (const bool planar : {false, true}) {
    Harness h("omniaudiotokenizer");
    gst_harness_set_live(h, FALSE);
    GstAudioInfo info;
    gst_audio_info_set_format(&info, GST_AUDIO_FORMAT_F32LE, 48000, 2, nullptr);
    info.layout = planar ? GST_AUDIO_LAYOUT_NON_INTERLEAVED : GST_AUDIO_LAYOUT_INTERLEAVED;
    GstCaps* caps = gst_audio_info_to_caps(&info);
    gst_harness_set_src_caps(h, caps);
    std::mt19937 g(2);
    for (guint64 i = 0; i < 30; ++i) {
      std::vector<float> samples(kFrames * 2);
      for (int f = 0; f < kFrames; ++f)
        for (int c = 0; c < 2; ++c)
          samples[size_t(planar ? c * kFrames + f : f * 2 + c)] = float(g() % 1000) / 1000 - .5f;
      GstBuffer* b = gst_buffer_new_memdup(samples.data(), samples.size() * 4);
      if (planar) gst_buffer_add_audio_meta(b, &info, kFrames, nullptr);
      GST_BUFFER_PTS(b) = i * 95 * kMs;
      ASSERT_EQ(gst_harness_push(h, b), GST_FLOW_OK);
    }
    auto out = h.drain();
    const std::string all = bytes_of(out);
    EXPECT_EQ(h.error(nullptr, nullptr, 0), "");
    ASSERT_FALSE(all.empty());
    if (!planar) first = all;
    EXPECT_EQ(all, first);
  }
}

TEST_F(BrokenStreams, PlanarSoundWithoutItsPlanesIsOneError) {
  for (const Kind& kind : {kAudioTokenizer, kTranscriber}) {
    Harness h(kind.factory, kind.model);
    gst_harness_set_src_caps_str(
        h, "audio/x-raw,format=S16LE,rate=16000,channels=2,layout=non-interleaved");
    gst_harness_push(h, piece(kind, 0));
    EXPECT_NE(h.error().find("planes"), std::string::npos);
  }
}

TEST_F(BrokenStreams, DecodersOfPlanarSoundLink) {
  const Outcome o =
      run("audiotestsrc num-buffers=100 ! audioconvert ! audio/x-raw,layout=non-interleaved ! "
          "omnitranscriber model-path=" TINY " ! fakesink");
  EXPECT_TRUE(o.eos) << o.error;
}

TEST_F(BrokenStreams, SoundAloneFindsThePadForSound) {
  const Outcome o = run("audiotestsrc num-buffers=300 ! omniaudiotokenizer model-path=" NANO
                        " ! omnimodel ! fakesink");
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_FALSE(o.answers.empty());
}

// GStreamer says so only when a buffer follows, which may be the last.
TEST_F(BrokenStreams, TokensThatAreRefusedAreAnError) {
  Harness h("omniaudiotokenizer");
  gst_harness_set_live(h, FALSE);
  gst_harness_set_sink_caps_str(h, "application/x-omni-tokens,modality=video");
  gst_harness_set_src_caps_str(h, kAudio);
  for (guint64 i = 0; i < 5; ++i) gst_harness_push(h, piece(kAudioTokenizer, i * 200 * kMs));
  gst_harness_push_event(h, gst_event_new_eos());
  EXPECT_NE(h.error().find("refuses these tokens"), std::string::npos);
}

TEST_F(BrokenStreams, AFailedPushBehindTheEndIsAnError) {
  for (const GstFlowReturn flow : {GST_FLOW_ERROR, GST_FLOW_NOT_LINKED, GST_FLOW_EOS}) {
    FileHarness h(kAudioTokenizer);
    GstPad* pad = gst_element_get_static_pad(h->element, "src");
    gst_pad_add_probe(
        pad, GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad*, GstPadProbeInfo* info, gpointer result) {
          GST_PAD_PROBE_INFO_FLOW_RETURN(info) = GstFlowReturn(GPOINTER_TO_INT(result));
          gst_buffer_unref(GST_PAD_PROBE_INFO_BUFFER(info));
          return GST_PAD_PROBE_HANDLED;
        },
        GINT_TO_POINTER(flow), nullptr);
    gst_object_unref(pad);
    for (guint64 i = 0; i < 5; ++i) gst_harness_push(h, piece(kAudioTokenizer, i * 200 * kMs));
    auto out = h.drain();
    EXPECT_EQ(out.size(), 0u);
    EXPECT_EQ(pop(h.bus, GST_MESSAGE_ERROR), flow == GST_FLOW_EOS ? 0 : 1) << flow;
  }
}

// The checkpoint by which the tokens were made.
std::string checkpoint_of(GstHarness* h) {
  GstCaps* caps = gst_pad_get_current_caps(h->sinkpad);
  const std::string name = gst_structure_get_string(gst_caps_get_structure(caps, 0), "checkpoint");
  gst_caps_unref(caps);
  return name;
}

TEST_F(BrokenStreams, AnotherModelPathInReadyTakesEffect) {
  std::vector<std::string> seen;
  FileHarness h(kAudioTokenizer);
  for (const char* model : {FIXTURE_A, FIXTURE_B, FIXTURE_A}) {
    gst_element_set_state(h->element, GST_STATE_READY);
    g_object_set(h->element, "model-path", model, nullptr);
    gst_element_set_state(h->element, GST_STATE_PLAYING);
    gst_harness_push_event(h, gst_event_new_stream_start(model));
    GstCaps* caps = gst_caps_from_string(kAudio);
    gst_harness_push_event(h, gst_event_new_caps(caps));
    gst_caps_unref(caps);
    push_segment(h);
    for (guint64 i = 0; i < 10; ++i) gst_harness_push(h, piece(kAudioTokenizer, i * 200 * kMs));
    auto out = h.drain();
    unref_all(out);
    seen.push_back(checkpoint_of(h));
  }
  EXPECT_NE(seen[0], seen[1]);
  EXPECT_EQ(seen[0], seen[2]);
}

// Two elements, one of which was told: the other follows.
TEST_F(BrokenStreams, AnotherModelPathInReadyReachesTheNeighbours) {
  GstElement* pipeline = gst_parse_launch(
      "audiotestsrc num-buffers=200 ! omniaudiotokenizer name=t model-path=" FIXTURE_A
      " ! omnimodel name=m max-tokens=1 ! fakesink",
      nullptr);
  GstElement* t = gst_bin_get_by_name(GST_BIN(pipeline), "t");
  GstBus* bus = gst_element_get_bus(pipeline);
  for (const char* model : {FIXTURE_A, FIXTURE_B}) {
    gst_element_set_state(pipeline, GST_STATE_READY);
    g_object_set(t, "model-path", model, nullptr);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    GstMessage* m = gst_bus_timed_pop_filtered(bus, 60 * kS,
                                               GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    ASSERT_NE(m, nullptr);
    EXPECT_EQ(GST_MESSAGE_TYPE(m), GST_MESSAGE_EOS) << "tokens of one model for another";
    gst_message_unref(m);
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(bus);
  gst_object_unref(t);
  gst_object_unref(pipeline);
}

}  // namespace
}  // namespace omni_test
