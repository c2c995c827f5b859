// Streams that bring nothing, or not all the time: who waits for whom, what is told, and what the
// model is asked.
#include <gst/check/gsttestclock.h>

#include "elements/harness.h"

namespace omni_test {
namespace {

class SilentStreams : public GstTest {};

// omnimodel with a pad for video and one for audio, which this test feeds with tokens of video and
// with nothing. Live, the clock is the test's, and 2 s are the latency of what comes.
class TwoPads {
 public:
  explicit TwoPads(bool live) : live_(live) {
    model_ = gst_element_factory_make("omnimodel", nullptr);
    g_object_set(model_, "model-path", FIXTURE_A, "max-tokens", 2, "latency", 1000, nullptr);
    gst_bin_add(GST_BIN(pipeline), model_);
    if (live) gst_pipeline_use_clock(GST_PIPELINE(pipeline), clock_);
    video = new_source("video_0");
    audio = new_source("audio_0");
    make_token();
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    gst_pad_push_event(video, gst_event_new_stream_start("video"));
    gst_pad_push_event(video, gst_event_new_caps(caps_));
    push_segment(video);
  }
  ~TwoPads() {
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_buffer_unref(token_);
    gst_caps_unref(caps_);
    gst_object_unref(video);
    gst_object_unref(audio);
    gst_object_unref(bus_);
    gst_object_unref(clock_);
    gst_object_unref(pipeline);
  }

  void push_segment(GstPad* pad) {
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(pad, gst_event_new_segment(&segment));
  }
  // Second i of the video.
  void push(int i) {
    gst_test_clock_set_time(GST_TEST_CLOCK(clock_), GstClockTime(i + 1) * GST_SECOND);
    GstBuffer* b = gst_buffer_copy(token_);
    GST_BUFFER_PTS(b) = GstClockTime(i) * GST_SECOND;
    GST_BUFFER_DURATION(b) = GST_SECOND;
    EXPECT_EQ(gst_pad_push(video, b), GST_FLOW_OK);
  }
  // Reads the bus until the answer about media from `time` on.
  void wait_for_answer(GstClockTime time) {
    for (guint64 at = GST_CLOCK_TIME_NONE; at != time;) {
      GstMessage* m = next();
      if (gst_message_has_name(m, "omni/answer"))
        gst_structure_get_uint64(gst_message_get_structure(m), "running-time", &at);
      gst_message_unref(m);
    }
  }
  // Ends the video, and reads the bus to the end.
  void end() {
    gst_pad_push_event(video, gst_event_new_eos());
    for (bool eos = false; !eos;) {
      GstMessage* m = next();
      eos = GST_MESSAGE_TYPE(m) == GST_MESSAGE_EOS;
      gst_message_unref(m);
    }
  }
  guint64 stat(const char* name) {
    GstStructure* s = nullptr;
    g_object_get(model_, "stats", &s, nullptr);
    guint64 value = 0;
    gst_structure_get_uint64(s, name, &value);
    gst_structure_free(s);
    return value;
  }

  GstElement* pipeline = gst_pipeline_new(nullptr);
  GstPad *video = nullptr, *audio = nullptr;
  int n_answers = 0;
  std::vector<std::string> warnings;  // of pads to which nothing comes

 private:
  GstPad* new_source(const char* sink_name) {
    GstPad* source = gst_pad_new(nullptr, GST_PAD_SRC);
    gst_pad_set_query_function_full(
        source,
        [](GstPad* p, GstObject* parent, GstQuery* q) -> gboolean {
          auto* self = static_cast<TwoPads*>(gst_pad_get_element_private(p));
          if (GST_QUERY_TYPE(q) != GST_QUERY_LATENCY) return gst_pad_query_default(p, parent, q);
          gst_query_set_latency(q, self->live_, 2 * GST_SECOND, GST_CLOCK_TIME_NONE);
          return TRUE;
        },
        nullptr, nullptr);
    gst_pad_set_element_private(source, this);
    gst_pad_set_active(source, TRUE);
    GstPad* sink = gst_element_request_pad_simple(model_, sink_name);
    EXPECT_EQ(gst_pad_link(source, sink), GST_PAD_LINK_OK);
    gst_object_unref(sink);
    return source;
  }
  // What a tokenizer makes of two frames.
  void make_token() {
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
    token_ = gst_buffer_ref(tokens.at(0));
    unref_all(tokens);
    GstPad* pad = gst_element_get_static_pad(h->element, "src");
    caps_ = gst_pad_get_current_caps(pad);
    gst_object_unref(pad);
  }
  GstMessage* next() {
    GstMessage* m = gst_bus_timed_pop(bus_, GST_CLOCK_TIME_NONE);
    n_answers += gst_message_has_name(m, "omni/answer");
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_WARNING) {
      GError* e = nullptr;
      gst_message_parse_warning(m, &e, nullptr);
      const std::string text = e->message;
      if (text.starts_with("Nothing comes")) warnings.push_back(text);
      g_error_free(e);
    }
    return m;
  }

  const bool live_;
  GstElement* model_;
  GstClock* clock_ = gst_test_clock_new_with_start_time(0);
  GstBus* bus_ = gst_pipeline_get_bus(GST_PIPELINE(pipeline));
  GstBuffer* token_ = nullptr;
  GstCaps* caps_ = nullptr;
};

// A demuxer says by GAPs that there is nothing now.
TEST_F(SilentStreams, AGapIsTimeInWhichNothingComes) {
  TwoPads p(false);
  gst_pad_push_event(p.audio, gst_event_new_stream_start("audio"));
  p.push_segment(p.audio);
  for (int i = 0; i < 80; ++i)
    gst_pad_push_event(p.audio, gst_event_new_gap(GstClockTime(i) * GST_SECOND / 10,
                                                  i < 79 ? GST_SECOND / 10 : 4 * GST_SECOND));
  for (int i = 0; i < 10; ++i) p.push(i);
  p.wait_for_answer(8 * GST_SECOND);
  EXPECT_EQ(p.n_answers, 5) << "before anything has ended";
  gst_pad_push_event(p.audio, gst_event_new_eos());
  p.end();
  EXPECT_TRUE(p.warnings.empty());
  EXPECT_EQ(p.stat("silent"), 0u);
}

// Once its own upstream says that there is no such stream, nobody waits for it.
TEST_F(SilentStreams, ACollectionWithoutTheStreamIsItsEnd) {
  TwoPads p(false);
  gst_pad_push_event(p.audio, gst_event_new_stream_start("audio"));
  GstStreamCollection* streams = gst_stream_collection_new("x");
  gst_stream_collection_add_stream(
      streams, gst_stream_new("v", nullptr, GST_STREAM_TYPE_VIDEO, GST_STREAM_FLAG_NONE));
  gst_pad_push_event(p.video, gst_event_new_stream_collection(streams));
  gst_pad_push_event(p.audio, gst_event_new_stream_collection(streams));
  gst_object_unref(streams);
  for (int i = 0; i < 4; ++i) p.push(i);
  p.end();
  EXPECT_EQ(p.n_answers, 2);
  EXPECT_TRUE(p.warnings.empty());
}

TEST_F(SilentStreams, LiveAnswersGoOnAfterThePromisedLatencyAndOneWarningNamesThePad) {
  TwoPads p(true);
  for (int i = 0; i < 3; ++i) p.push(i);  // it is 3 s: what was promised for the first chunk
  p.wait_for_answer(0);
  for (int i = 3; i < 16; ++i) {
    p.push(i);
    if (i % 2 == 0) continue;
    p.wait_for_answer(GstClockTime(i - 1) * GST_SECOND);
    EXPECT_EQ(p.warnings.size(), i < 9 ? 0u : 1u) << i;
  }
  EXPECT_EQ(p.n_answers, 8);
  EXPECT_EQ(p.stat("silent"), 1u);
  gst_pad_push_event(p.audio, gst_event_new_stream_start("audio"));
  gst_pad_push_event(p.audio, gst_event_new_eos());
  p.end();
  ASSERT_EQ(p.warnings.size(), 1u);
  EXPECT_EQ(p.warnings[0], "Nothing comes to audio_0: answers go on without it");
}

// As omnibin does.
TEST_F(SilentStreams, AModelWithNothingDownstreamEndsThePipeline) {
  const Outcome o =
      run("videotestsrc num-buffers=120 ! video/x-raw,framerate=30/1 ! "
          "omnivideotokenizer model-path=" NANO " ! omnimodel");
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.answers.size(), 2u);
}

// --- what the model is asked where a chunk has not got both

const std::string kSound =
                      "audiotestsrc num-buffers=60 samplesperbuffer=4410 ! "
                      "audio/x-raw,rate=44100 ! o.sink_audio ",
                  kBin = "omnibin name=o model-path=" NANO " o.src_text ! fakesink ";

std::string pictures(int n) {
  return "videotestsrc num-buffers=" + std::to_string(n) +
         " ! video/x-raw,framerate=2/1 ! identity name=frames ! o.sink_video ";
}

TEST_F(SilentStreams, WherePicturesHaveEndedTheModelIsAskedAboutSoundAlone) {
  const Outcome both = run(pictures(4) + kSound + kBin), alone = run(kSound + kBin);
  ASSERT_TRUE(both.eos) << both.error;
  ASSERT_EQ(both.answers.size(), 3u);
  ASSERT_EQ(alone.answers.size(), 3u);
  EXPECT_TRUE(both.answers[0].starts_with("Video:")) << both.answers[0];
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_EQ(both.answers[i], alone.answers[i]);
    EXPECT_EQ(both.answers[i].find("Video:"), std::string::npos) << both.answers[i];
  }
}

TEST_F(SilentStreams, WherePicturesWereLostTheModelIsAskedAboutSoundAloneAndNotAboutObjects) {
  const auto lose = [](GstElement* pipeline) {
    GstElement* frames = gst_bin_get_by_name(GST_BIN(pipeline), "frames");
    GstPad* pad = gst_element_get_static_pad(frames, "src");
    gst_pad_add_probe(
        pad, GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad*, GstPadProbeInfo* info, gpointer) {
          const GstClockTime time = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info));
          return time < 2 * GST_SECOND || time >= 4 * GST_SECOND ? GST_PAD_PROBE_OK
                                                                 : GST_PAD_PROBE_DROP;
        },
        nullptr, nullptr);
    gst_object_unref(pad);
    gst_object_unref(frames);
  };
  const Outcome alone = run(kSound + kBin), whole = run(pictures(12) + kSound + kBin),
                both = run(pictures(12) + kSound + kBin + "o.src_spatial ! fakesink",
                           60 * GST_SECOND, lose);
  ASSERT_TRUE(both.eos) << both.error;
  ASSERT_EQ(both.answers.size(), 5u) << "three captions, objects of two";
  EXPECT_EQ(both.answers[0], whole.answers.at(0));
  EXPECT_EQ(both.answers[2], alone.answers.at(1));
  EXPECT_EQ(both.answers[3], whole.answers.at(2));
}

}  // namespace
}  // namespace omni_test
