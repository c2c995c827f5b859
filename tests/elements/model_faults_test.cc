// omnimodel when things come in the wrong order, too late or too many at a time.
#include <gst/check/gsttestclock.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "elements/harness.h"

namespace omni_test {
namespace {

class ModelFaults : public GstTest {};

GstElement* lone_model() {
  GstElement* pipeline = gst_pipeline_new(nullptr);
  GstElement* m = gst_element_factory_make("omnimodel", "m");
  g_object_set(m, "model-path", FIXTURE_A, nullptr);
  gst_bin_add(GST_BIN(pipeline), m);
  return pipeline;
}

GstElement* child(GstElement* pipeline, const char* name) {
  GstElement* e = gst_bin_get_by_name(GST_BIN(pipeline), name);
  gst_object_unref(e);  // the pipeline holds it
  return e;
}

TEST_F(ModelFaults, ASourcePadReleasedDuringAFlush) {
  GstElement *pipeline = lone_model(), *m = child(pipeline, "m");
  GstPad* source = gst_pad_new("src", GST_PAD_SRC);
  gst_pad_set_active(source, TRUE);
  GstPad* sink = gst_element_request_pad_simple(m, "video_0");
  gst_pad_link(source, sink);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  gst_pad_push_event(source, gst_event_new_stream_start("x"));
  std::atomic<bool> stop{false};
  std::thread flusher([&] {
    while (!stop) {
      gst_pad_push_event(source, gst_event_new_flush_start());
      gst_pad_push_event(source, gst_event_new_flush_stop(TRUE));
    }
  });
  for (int i = 0; i < 1000; ++i) {
    GstPad* text = gst_element_request_pad_simple(m, i % 3 ? "text_%u" : "spatial_%u");
    gst_element_release_request_pad(m, text);
    gst_object_unref(text);
  }
  stop = true;
  flusher.join();
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(source);
  gst_object_unref(sink);
  gst_object_unref(pipeline);
}

// How a pipeline that plays ends, and the answers until then.
Outcome wait_for_end(GstElement* pipeline) {
  Outcome o;
  GstBus* bus = gst_element_get_bus(pipeline);
  while (GstMessage* m = gst_bus_timed_pop(bus, kMost)) {
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_EOS) o.eos = true;
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR) o.error = "error";
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ELEMENT && gst_message_has_name(m, "omni/answer"))
      o.answers.push_back(gst_structure_get_string(gst_message_get_structure(m), "text"));
    gst_message_unref(m);
    if (o.eos || !o.error.empty()) break;
  }
  gst_object_unref(bus);
  return o;
}

void send_to(GstElement* element, const char* pad_name, GstEvent* event) {
  GstPad* pad = gst_element_get_static_pad(element, pad_name);
  gst_pad_send_event(pad, event);
  gst_object_unref(pad);
}

TEST_F(ModelFaults, AFlushThatNeverStopsEndsWithItsState) {
  for (const GstState state : {GST_STATE_READY, GST_STATE_NULL}) {
    GstElement* pipeline = gst_parse_launch(
        "omnimodel name=m max-tokens=4 model-path=" FIXTURE_A
        " audiotestsrc num-buffers=200 ! omniaudiotokenizer ! m.audio_0 m.text_0 ! fakesink",
        nullptr);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    EXPECT_TRUE(wait_for_end(pipeline).eos);
    send_to(child(pipeline, "m"), "audio_0", gst_event_new_flush_start());
    gst_element_set_state(pipeline, state);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    const Outcome again = wait_for_end(pipeline);
    EXPECT_TRUE(again.eos);
    EXPECT_EQ(again.answers.size(), 3u);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
  }
}

TEST_F(ModelFaults, AMediaPadReleasedDuringItsFlushDoesNotKeepTheOthersWaiting) {
  GstElement* pipeline =
      gst_parse_launch("omnimodel name=m max-tokens=4 model-path=" FIXTURE_A
                       " audiotestsrc name=a num-buffers=200 ! omniaudiotokenizer ! m.audio_0 "
                       "m.text_0 ! fakesink async=false",
                       nullptr);
  GstElement *m = child(pipeline, "m"), *source = child(pipeline, "a");
  gst_element_set_locked_state(source, TRUE);  // until the pad is gone
  GstPad* video = gst_element_request_pad_simple(m, "video_0");
  gst_element_set_state(pipeline, GST_STATE_PAUSED);
  gst_pad_send_event(video, gst_event_new_flush_start());
  gst_element_release_request_pad(m, video);
  gst_object_unref(video);
  gst_element_set_locked_state(source, FALSE);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  const Outcome o = wait_for_end(pipeline);
  EXPECT_TRUE(o.eos);
  EXPECT_GE(o.answers.size(), 1u);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
}

// Texts of the warnings that are on the bus by the time of the first answer.
std::vector<std::string> warnings_before_an_answer(GstElement* pipeline) {
  std::vector<std::string> out;
  GstBus* bus = gst_element_get_bus(pipeline);
  bool answered = false;
  while (GstMessage* m = answered ? nullptr : gst_bus_timed_pop(bus, kMost)) {
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_WARNING) {
      GError* error = nullptr;
      gst_message_parse_warning(m, &error, nullptr);
      out.emplace_back(error->message);
      g_error_free(error);
    }
    EXPECT_NE(GST_MESSAGE_TYPE(m), GST_MESSAGE_ERROR);
    answered = gst_message_has_name(m, "omni/answer");
    gst_message_unref(m);
  }
  EXPECT_TRUE(answered);
  gst_object_unref(bus);
  return out;
}

TEST_F(ModelFaults, AQuestionThatIsNoUtf8IsOneWarning) {
  GstElement *pipeline = lone_model(), *m = child(pipeline, "m");
  g_object_set(m, "trigger", 4, "max-tokens", 4, nullptr);
  g_signal_emit_by_name(m, "ask", "\xff\xfe Where?");
  g_signal_emit_by_name(m, "ask", "Where?");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  const auto warnings = warnings_before_an_answer(pipeline);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("no UTF-8: \"\xef\xbf\xbd\xef\xbf\xbd Where?\""), std::string::npos)
      << warnings[0];
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
}

TEST_F(ModelFaults, ThousandsOfQuestionsAreBoundedAndToldOfNowAndThen) {
  GstElement *pipeline = lone_model(), *m = child(pipeline, "m");
  g_object_set(m, "trigger", 4, "max-tokens", 4, nullptr);
  for (int i = 0; i < 3000; ++i) g_signal_emit_by_name(m, "ask", "Where?");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  const auto warnings = warnings_before_an_answer(pipeline);
  EXPECT_LE(warnings.size(), 12u) << "1, 2, 4 … 2048";
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
}

// A pad of omnimodel and who pushes into it.
class Source {
 public:
  // Live, if it has a latency.
  Source(GstElement* model, const char* name, GstClockTime latency = 0)
      : pad_(gst_pad_new("src", GST_PAD_SRC)),
        sink_(gst_element_request_pad_simple(model, name)),
        latency_(latency) {
    gst_pad_set_element_private(pad_, this);
    gst_pad_set_query_function(pad_, [](GstPad* pad, GstObject* parent, GstQuery* query) {
      if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY)
        return gst_pad_query_default(pad, parent, query);
      const auto own = static_cast<Source*>(gst_pad_get_element_private(pad))->latency_;
      gst_query_set_latency(query, own > 0, own, GST_CLOCK_TIME_NONE);
      return gboolean(TRUE);
    });
    gst_pad_set_active(pad_, TRUE);
    gst_pad_link(pad_, sink_);
  }
  ~Source() {
    gst_object_unref(pad_);
    gst_object_unref(sink_);
  }
  void begin(GstCaps* caps, GstClockTime start = 0) {
    push(gst_event_new_stream_start("x"));
    push(gst_event_new_caps(caps));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    segment.start = segment.time = start;
    push(gst_event_new_segment(&segment));
  }
  void push(GstEvent* event) { gst_pad_push_event(pad_, event); }
  GstFlowReturn push(GstBuffer* buffer, GstClockTime pts) {
    GST_BUFFER_PTS(buffer) = pts;
    return gst_pad_push(pad_, buffer);
  }
  void begin_text() {
    GstCaps* caps = gst_caps_from_string("text/x-raw,format=utf8");
    begin(caps);
    gst_caps_unref(caps);
  }
  GstFlowReturn ask(const char* question) {
    return push(gst_buffer_new_memdup(question, strlen(question)), GST_CLOCK_TIME_NONE);
  }

 private:
  GstPad *pad_, *sink_;
  const GstClockTime latency_;
};

// What a tokenizer makes of two frames: a second of video.
struct Token {
  Token() {
    Harness h("omnivideotokenizer");
    gst_harness_set_src_caps_str(h, "video/x-raw,format=RGB,width=56,height=56,framerate=2/1");
    for (int i = 0; i < 2; ++i) {
      GstBuffer* frame = gst_harness_create_buffer(h, size_t{56} * 168);
      gst_buffer_memset(frame, 0, 100, size_t{56} * 168);
      GST_BUFFER_PTS(frame) = GstClockTime(i) * GST_SECOND / 2;
      GST_BUFFER_DURATION(frame) = GST_SECOND / 2;
      gst_harness_push(h, frame);
    }
    auto tokens = h.drain();
    EXPECT_EQ(tokens.size(), 1u);
    buffer = gst_buffer_ref(tokens.at(0));
    unref_all(tokens);
    GstPad* pad = gst_element_get_static_pad(h->element, "src");
    caps = gst_pad_get_current_caps(pad);
    gst_object_unref(pad);
  }
  ~Token() {
    gst_buffer_unref(buffer);
    gst_caps_unref(caps);
  }
  GstBuffer* buffer = nullptr;
  GstCaps* caps = nullptr;
};

TEST_F(ModelFaults, LatencyIsThatOfTheSlowestStreamAndItsOwn) {
  GstElement* m = gst_element_factory_make("omnimodel", nullptr);
  g_object_set(m, "latency", 700u, nullptr);
  GstPad* text = gst_element_request_pad_simple(m, "text_0");
  {
    Source video(m, "video_0", 300 * GST_MSECOND), audio(m, "audio_0", 500 * GST_MSECOND);
    GstQuery* query = gst_query_new_latency();
    EXPECT_TRUE(gst_pad_query(text, query));
    gboolean live = FALSE;
    GstClockTime min = 0;
    gst_query_parse_latency(query, &live, &min, nullptr);
    EXPECT_TRUE(live);
    EXPECT_EQ(min, 1200 * GST_MSECOND);
    gst_query_unref(query);
  }
  gst_object_unref(text);
  gst_object_unref(m);
}

TEST_F(ModelFaults, TokensOutsideTheSegmentAreLeftOut) {
  const Token token;
  GstElement* pipeline = gst_parse_launch("omnimodel name=m max-tokens=4 model-path=" FIXTURE_A
                                          " m.text_0 ! fakesink async=false",
                                          nullptr);
  Source video(child(pipeline, "m"), "video_0");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  video.begin(token.caps, 10 * GST_SECOND);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(video.push(gst_buffer_copy(token.buffer), guint64(i) * GST_SECOND), GST_FLOW_OK);
  video.push(gst_event_new_eos());
  const Outcome o = wait_for_end(pipeline);
  EXPECT_TRUE(o.eos);
  EXPECT_EQ(o.answers.size(), 0u);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
}

TEST_F(ModelFaults, QuestionsEndWhenTheLastOfTheirPadsDoes) {
  GstElement* pipeline =
      gst_parse_launch("omnimodel name=m trigger=prompt max-tokens=4 model-path=" FIXTURE_A
                       " m.text_0 ! fakesink async=false",
                       nullptr);
  Source first(child(pipeline, "m"), "prompt_0"), second(child(pipeline, "m"), "prompt_1");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  first.begin_text();
  second.begin_text();
  EXPECT_EQ(first.ask("Where?"), GST_FLOW_OK);
  first.push(gst_event_new_eos());
  GstBus* bus = gst_element_get_bus(pipeline);
  while (GstMessage* m = gst_bus_timed_pop_filtered(bus, kMost, GST_MESSAGE_ELEMENT)) {
    const bool answered = gst_message_has_name(m, "omni/answer");
    gst_message_unref(m);
    if (answered) break;
  }
  gst_object_unref(bus);
  EXPECT_EQ(second.ask("And when?"), GST_FLOW_OK);
  second.push(gst_event_new_eos());
  const Outcome o = wait_for_end(pipeline);
  EXPECT_TRUE(o.eos);
  EXPECT_EQ(o.answers.size(), 1u) << "the second";
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
}

TEST_F(ModelFaults, AFlushOfQuestionsIsNoneOfTheMedia) {
  GstElement* pipeline = gst_parse_launch("omnimodel name=m trigger=prompt model-path=" FIXTURE_A
                                          " m.text_0 ! fakesink name=out async=false",
                                          nullptr);
  Source video(child(pipeline, "m"), "video_0"), questions(child(pipeline, "m"), "prompt_0");
  std::atomic<int> n_flushes{0};
  GstPad* out = gst_element_get_static_pad(child(pipeline, "out"), "sink");
  gst_pad_add_probe(
      out, GST_PAD_PROBE_TYPE_EVENT_FLUSH,
      [](GstPad*, GstPadProbeInfo* info, gpointer n) {
        if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_FLUSH_STOP)
          ++*static_cast<std::atomic<int>*>(n);
        return GST_PAD_PROBE_OK;
      },
      &n_flushes, nullptr);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  const auto flush = [](Source& source) {
    source.push(gst_event_new_flush_start());
    source.push(gst_event_new_flush_stop(TRUE));
  };
  questions.begin_text();
  flush(questions);
  EXPECT_EQ(n_flushes, 0);
  flush(video);
  EXPECT_EQ(n_flushes, 1);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(out);
  gst_object_unref(pipeline);
}

TEST_F(ModelFaults, OneDeafPadDoesNotEndTheOthers) {
  const Outcome o = run("omnimodel name=m max-tokens=4 model-path=" FIXTURE_A
                        " videotestsrc num-buffers=1800 ! "
                        "video/x-raw,width=64,height=48,framerate=30/1 ! omnivideotokenizer ! "
                        "m.video_0 m.text_0 ! fakesink num-buffers=1 m.text_1 ! fakesink");
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.answers.size(), 30u);
}

// A live stream of token buffers, one a second, whose answers are held up at will: the bus does
// not take their messages.
class LiveTokens {
 public:
  explicit LiveTokens(const char* properties) {
    pipeline = gst_parse_launch(
        (std::string("omnimodel name=m temperature=100 max-tokens=1000 model-path=" FIXTURE_A " ") +
         properties + " text_0::pieces=true m.text_0 ! fakesink async=false sync=false")
            .c_str(),
        nullptr);
    GstElement* m = child(pipeline, "m");
    source_ = gst_pad_new("src", GST_PAD_SRC);
    gst_pad_set_query_function(source_, [](GstPad* pad, GstObject* parent, GstQuery* query) {
      if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY)
        return gst_pad_query_default(pad, parent, query);
      gst_query_set_latency(query, TRUE, 0, GST_CLOCK_TIME_NONE);
      return gboolean(TRUE);
    });
    gst_pad_set_active(source_, TRUE);
    sink_ = gst_element_request_pad_simple(m, "video_0");
    gst_pad_link(source_, sink_);
    clock_ = gst_test_clock_new();
    gst_pipeline_use_clock(GST_PIPELINE(pipeline), clock_);
    gst_element_set_start_time(pipeline, GST_CLOCK_TIME_NONE);
    gst_element_set_base_time(pipeline, 0);
    GstBus* bus = gst_element_get_bus(pipeline);
    gst_bus_set_sync_handler(bus, take, this, nullptr);
    gst_object_unref(bus);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    gst_pad_push_event(source_, gst_event_new_stream_start("x"));
    gst_pad_push_event(source_, gst_event_new_caps(token_.caps));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(source_, gst_event_new_segment(&segment));
  }
  ~LiveTokens() {
    let_go();
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(source_);
    gst_object_unref(sink_);
    gst_object_unref(clock_);
    gst_object_unref(pipeline);
  }

  // Seconds [first, last) of video, `now` being the running time.
  void push(int first, int last, GstClockTime now) {
    gst_test_clock_set_time(GST_TEST_CLOCK(clock_), now);
    for (int i = first; i < last; ++i) {
      GstBuffer* b = gst_buffer_copy(token_.buffer);
      GST_BUFFER_PTS(b) = GstClockTime(i) * GST_SECOND;
      GST_BUFFER_DURATION(b) = GST_SECOND;
      EXPECT_EQ(gst_pad_push(source_, b), GST_FLOW_OK);
    }
  }
  // Waits until the first answer's message has come, and holds it. The next answer is longer than
  // the events that may wait.
  void wait_until_held() {
    std::unique_lock lock(lock_);
    changed_.wait(lock, [&] { return n_answers_ > 0; });
  }
  void let_go() {
    std::lock_guard guard(lock_);
    holds_ = false;
    changed_.notify_all();
  }
  // About media from `time` on.
  void wait_for_answer(guint64 time) {
    std::unique_lock lock(lock_);
    changed_.wait(lock, [&] { return last_answer_ >= time; });
  }
  int n_answers() {
    std::lock_guard guard(lock_);
    return n_answers_;
  }
  // Of what was dropped: its running time and how many were so far.
  struct Dropped {
    guint64 running_time, n;
  };
  std::vector<Dropped> dropped() {
    std::lock_guard guard(lock_);
    return dropped_;
  }
  int n_warnings() {
    std::lock_guard guard(lock_);
    return n_warnings_;
  }

  GstElement* pipeline;

 private:
  static GstBusSyncReply take(GstBus*, GstMessage* m, gpointer data) {
    auto& self = *static_cast<LiveTokens*>(data);
    std::unique_lock lock(self.lock_);
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_WARNING) ++self.n_warnings_;
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_QOS) {
      guint64 time = 0, n = 0;
      gst_message_parse_qos(m, nullptr, &time, nullptr, nullptr, nullptr);
      gst_message_parse_qos_stats(m, nullptr, nullptr, &n);
      self.dropped_.push_back({time, n});
    }
    if (gst_message_has_name(m, "omni/answer")) {
      ++self.n_answers_;
      gst_structure_get_uint64(gst_message_get_structure(m), "running-time", &self.last_answer_);
      self.changed_.notify_all();
      self.changed_.wait(lock, [&] { return !self.holds_; });
    }
    gst_message_unref(m);
    return GST_BUS_DROP;
  }

  GstPad *source_ = nullptr, *sink_ = nullptr;
  GstClock* clock_ = nullptr;
  const Token token_;
  std::mutex lock_;
  std::condition_variable changed_;
  bool holds_ = true;
  int n_answers_ = 0, n_warnings_ = 0;
  guint64 last_answer_ = 0;
  std::vector<Dropped> dropped_;
};

TEST_F(ModelFaults, LiveTokensThatHaveNoRoomAreToldByQos) {
  LiveTokens live("latency=3600000");
  live.push(0, 2, 0);
  live.wait_until_held();
  live.push(2, 4, 0);  // answered until nobody takes its pieces any more
  live.push(4, 204, 0);
  const auto dropped = live.dropped();
  ASSERT_GE(dropped.size(), 100u);
  for (size_t i = 0; i < dropped.size(); ++i) {
    EXPECT_EQ(dropped[i].n, i + 1);
    if (i) {
      EXPECT_GT(dropped[i].running_time, dropped[i - 1].running_time);
    }
  }
}

TEST_F(ModelFaults, LiveAnswersThatWouldComeTooLateAreToldByQosAndAWarning) {
  LiveTokens live("latency=1000");
  live.push(0, 2, 2 * GST_SECOND);
  live.wait_until_held();
  live.push(2, 14, 100 * GST_SECOND);  // one of the six may be answered until it is held up too
  live.let_go();
  live.wait_for_answer(12 * GST_SECOND);
  const auto dropped = live.dropped();
  EXPECT_EQ(dropped.size() + size_t(live.n_answers()), 7u);
  EXPECT_LE(live.n_answers(), 3);
  for (size_t i = 0; i < dropped.size(); ++i) EXPECT_EQ(dropped[i].n, i + 1);
  EXPECT_GE(live.n_warnings(), 3) << "for 1, 2 and 4";
}

TEST_F(ModelFaults, AnswersThatCameLateAreCounted) {
  LiveTokens live("latency=1000");
  const auto late = [&] {
    GstStructure* stats = nullptr;
    g_object_get(child(live.pipeline, "m"), "stats", &stats, nullptr);
    guint64 n = 99;
    gst_structure_get_uint64(stats, "late", &n);
    gst_structure_free(stats);
    return n;
  };
  live.let_go();
  live.push(0, 2, 2 * GST_SECOND);  // promised: the chunk of 2 s, and 1 s
  live.wait_for_answer(0);
  EXPECT_EQ(late(), 0u);
  live.push(2, 4, 100 * GST_SECOND);
  live.wait_for_answer(2 * GST_SECOND);
  live.push(4, 6, 100 * GST_SECOND);
  live.wait_for_answer(4 * GST_SECOND);
  EXPECT_GE(late(), 1u) << "of 2 s; that of 4 s may be about to be counted";
}

TEST_F(ModelFaults, PiecesAreAskedForAtThePad) {
  struct Pieces {
    std::vector<std::string> answers{""};
    std::vector<GstClockTime> pts;
    std::vector<AnswerMeta> answered;
    size_t n = 0;
  } got;
  const Outcome o =
      run("omnimodel name=m text_0::pieces=true model-path=" NANO
          " videotestsrc num-buffers=120 pattern=smpte ! "
          "video/x-raw,width=320,height=180,framerate=30/1 ! omnivideotokenizer ! m.video_0 "
          "m.text_0 ! fakesink name=out signal-handoffs=true  m.text_1 ! fakesink name=whole "
          "signal-handoffs=true",
          kMost, [&](GstElement* pipeline) {
            g_signal_connect(child(pipeline, "out"), "handoff",
                             G_CALLBACK(+[](GstElement*, GstBuffer* b, GstPad*, gpointer data) {
                               auto& p = *static_cast<Pieces*>(data);
                               std::string text(gst_buffer_get_size(b), 0);
                               gst_buffer_extract(b, 0, text.data(), text.size());
                               p.answers.back() += text;
                               p.pts.push_back(GST_BUFFER_PTS(b));
                               p.answered.push_back(answer_of(b).value_or(AnswerMeta()));
                               ++p.n;
                               if (GST_BUFFER_FLAG_IS_SET(b, GST_BUFFER_FLAG_MARKER))
                                 p.answers.emplace_back();
                             }),
                             &got);
          });
  EXPECT_TRUE(o.eos) << o.error;
  ASSERT_EQ(o.answers.size(), 2u);
  ASSERT_EQ(got.answers.size(), 3u) << "the last buffer of each is marked";
  EXPECT_EQ(got.answers[0], o.answers[0]);
  EXPECT_EQ(got.answers[1], o.answers[1]);
  EXPECT_GT(got.n, 4u);
  for (size_t i = 0; i < got.n; ++i) {
    const AnswerMeta &a = got.answered[i], &first = got.answered.front();
    EXPECT_EQ(a.media_start, got.pts[i] < 2 * GST_SECOND ? 0 : 2 * GST_SECOND);
    EXPECT_EQ(a.media_duration, 2 * GST_SECOND);
    EXPECT_EQ(a.turn == first.turn, a.media_start == 0) << "one turn an answer";
    EXPECT_EQ(a.question, first.question);
  }
  EXPECT_TRUE(std::is_sorted(got.pts.begin(), got.pts.end()));
}

}  // namespace
}  // namespace omni_test
