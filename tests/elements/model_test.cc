#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "elements/harness.h"

namespace omni_test {
namespace {

class Model : public GstTest {};

std::string video_source(const std::string& fixture, int width, int height, const char* fps) {
  return "filesrc location=" FIXTURES + fixture +
         "/input/video.rgb ! rawvideoparse format=rgb width=" + std::to_string(width) +
         " height=" + std::to_string(height) + " framerate=" + fps +
         " ! omnivideotokenizer frame-rate=" + fps;
}

const std::string kSystem = " system-prompt=\"You watch a live feed.\" max-tokens=16 ";

std::string out_file() {
  return std::string(OMNI_BINARY_DIR) + "/model_test_" + std::to_string(::getpid()) + ".txt";
}

// From raw files to the text that transformers wrote of them.
void expect_reference_text(const std::string& device) {
  const std::string out = out_file();
  const Outcome o = run(
      "omnimodel name=m trigger=eos precision=float32 device=" + device + " model-path=" FIXTURE_A +
      kSystem + "prompt=\"Describe what you see and hear.\" " + video_source("a", 200, 120, "2/1") +
      " ! m.video_0  filesrc location=" FIXTURES
      "a/input/audio.wav ! wavparse ! omniaudiotokenizer ! m.audio_0  "
      "m.text_0 ! filesink location=" +
      out);
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(read_file(out), expected_text("a", "av"));
  std::remove(out.c_str());
}

TEST_F(Model, WritesExactlyTheReferenceTextFromRawFiles) { expect_reference_text("cpu"); }

#if OMNI_CUDA_EMULATED
TEST_F(Model, WritesTheReferenceTextOnEmulatedCuda) {
  ::setenv("OMNI_CUDA", "emulated", 1);
  ::setenv("OMNI_CUDA_FAULTS", "abort", 1);
  expect_reference_text("cuda");
}
#endif

TEST_F(Model, EveryModalityAndVariant) {
  struct {
    const char *fixture, *fps;
    int width, height;
  } cases[] = {{"a-fps5", "5/1", 168, 92},
               {"a-sound", "1/1", 120, 200},
               {"b", "1/1", 72, 200},
               {"c", "2/1", 240, 130}};
  for (const auto& c : cases) {
    const std::string out = out_file(), fixture = c.fixture,
                      model =
                          "omnimodel name=m trigger=eos precision=float32 model-path=" FIXTURES +
                          fixture + "/checkpoint" + kSystem;
    EXPECT_TRUE(run(model + "prompt=\"Where is the ball?\" " +
                    video_source(fixture, c.width, c.height, c.fps) +
                    " ! m.video_0 m.text_0 ! filesink location=" + out)
                    .eos);
    EXPECT_EQ(read_file(out), expected_text(fixture, "video")) << fixture;
    EXPECT_TRUE(run(model + "prompt=\"What do you hear?\" filesrc location=" FIXTURES + fixture +
                    "/input/audio.wav ! wavparse ! omniaudiotokenizer ! m.audio_0 m.text_0 ! "
                    "filesink location=" +
                    out)
                    .eos);
    EXPECT_EQ(read_file(out), expected_text(fixture, "audio")) << fixture;
    std::remove(out.c_str());
  }
}

TEST_F(Model, TextAloneIsAQuestion) {
  const std::string out = out_file(), question = out + ".q";
  std::ofstream(question) << "Say hello.";
  const Outcome o =
      run("omnimodel name=m precision=float32 model-path=" FIXTURE_A + kSystem +
          "filesrc location=" + question +
          " ! text/x-raw,format=utf8 ! m.prompt_0  m.text_0 ! filesink location=" + out);
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(read_file(out), expected_text("a", "text"));
  std::remove(out.c_str());
  std::remove(question.c_str());
}

TEST_F(Model, ACaptionForEveryChunkWithItsTime) {
  const Outcome o =
      run("omnimodel name=m model-path=" NANO
          " videotestsrc num-buffers=240 pattern=smpte ! "
          "video/x-raw,width=320,height=180,framerate=30/1 ! omnivideotokenizer ! m.video_0 "
          "audiotestsrc freq=1000 samplesperbuffer=4800 num-buffers=80 ! audio/x-raw,rate=48000 ! "
          "omniaudiotokenizer ! m.audio_0  m.text_0 ! fakesink");
  EXPECT_TRUE(o.eos) << o.error;
  ASSERT_EQ(o.answers.size(), 4u);
  for (size_t i = 0; i < o.answers.size(); ++i) {
    EXPECT_EQ(o.times[i], i * 2 * GST_SECOND);
    EXPECT_NE(o.answers[i].find("SMPTE"), std::string::npos) << o.answers[i];
    EXPECT_NE(o.answers[i].find("1000 Hz"), std::string::npos) << o.answers[i];
  }
}

TEST_F(Model, TwoOfOneProcessShareTheWeightsAndDoNotDisturbEachOther) {
  auto half = [](const char* name, const char* pattern) {
    return std::string(" omnimodel name=") + name +
           " model-path=" NANO " videotestsrc num-buffers=120 pattern=" + pattern +
           " ! video/x-raw,width=320,height=180,framerate=30/1 ! omnivideotokenizer ! " + name +
           ".video_0 " + name + ".text_0 ! fakesink ";
  };
  const Outcome a = run(half("a", "smpte")), b = run(half("b", "ball")),
                both = run(half("a", "smpte") + half("b", "ball"));
  std::multiset<std::string> alone(a.answers.begin(), a.answers.end()),
      together(both.answers.begin(), both.answers.end());
  alone.insert(b.answers.begin(), b.answers.end());
  EXPECT_EQ(alone, together);
  EXPECT_EQ(together.size(), 4u);
}

struct Collected {
  std::mutex lock;
  std::vector<GstEventType> events;
  std::vector<std::pair<GstClockTime, GstClockTime>> gaps, buffers;
  bool sparse = false;
};

void collect(GstElement* pipeline, const char* sink, Collected& c) {
  GstElement* e = gst_bin_get_by_name(GST_BIN(pipeline), sink);
  GstPad* pad = gst_element_get_static_pad(e, "sink");
  gst_pad_add_probe(
      pad, GstPadProbeType(GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM | GST_PAD_PROBE_TYPE_BUFFER),
      [](GstPad*, GstPadProbeInfo* info, gpointer data) -> GstPadProbeReturn {
        auto& out = *static_cast<Collected*>(data);
        std::lock_guard guard(out.lock);
        if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER) {
          GstBuffer* b = GST_PAD_PROBE_INFO_BUFFER(info);
          out.buffers.emplace_back(GST_BUFFER_PTS(b), GST_BUFFER_DURATION(b));
          return GST_PAD_PROBE_OK;
        }
        GstEvent* ev = GST_PAD_PROBE_INFO_EVENT(info);
        out.events.push_back(GST_EVENT_TYPE(ev));
        GstStreamFlags flags{};
        GstClockTime start = 0, duration = 0;
        if (GST_EVENT_TYPE(ev) == GST_EVENT_STREAM_START)
          gst_event_parse_stream_flags(ev, &flags), out.sparse = flags & GST_STREAM_FLAG_SPARSE;
        if (GST_EVENT_TYPE(ev) == GST_EVENT_GAP)
          gst_event_parse_gap(ev, &start, &duration), out.gaps.emplace_back(start, duration);
        return GST_PAD_PROBE_OK;
      },
      &c, nullptr);
  gst_object_unref(pad);
  gst_object_unref(e);
}

TEST_F(Model, TextPadsAreSparseAndGapsFillTheSilence) {
  Collected c;
  const Outcome o =
      run("omnimodel name=m trigger=prompt model-path=" NANO
          " videotestsrc num-buffers=240 ! video/x-raw,width=320,height=180,framerate=30/1 ! "
          "omnivideotokenizer ! m.video_0 "
          "m.text_0 ! fakesink name=out",
          kMost, [&](GstElement* p) { collect(p, "out", c); });
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_TRUE(c.sparse);
  EXPECT_TRUE(c.buffers.empty());
  GstClockTime at = 0;
  for (auto [start, duration] : c.gaps) {
    EXPECT_EQ(start, at);
    at = start + duration;
  }
  EXPECT_EQ(at, 8 * GST_SECOND);
  ASSERT_GE(c.events.size(), 4u);
  EXPECT_EQ(c.events[0], GST_EVENT_STREAM_START);
  EXPECT_EQ(c.events[1], GST_EVENT_CAPS);
  EXPECT_EQ(c.events[2], GST_EVENT_SEGMENT);
  EXPECT_EQ(c.events.back(), GST_EVENT_EOS);
}

TEST_F(Model, QuestionsOnAPromptPadAndBySignal) {
  const std::string question = out_file() + ".q";
  std::ofstream(question) << "Any fault?";
  const Outcome o =
      run("omnimodel name=m trigger=manual model-path=" NANO
          " videotestsrc num-buffers=120 pattern=smpte ! "
          "video/x-raw,width=320,height=180,framerate=30/1 ! omnivideotokenizer ! m.video_0 "
          "audiotestsrc freq=1000 num-buffers=200 ! omniaudiotokenizer ! m.audio_0 "
          "filesrc location=" +
              question + " ! text/x-raw,format=utf8 ! m.prompt_0  m.text_0 ! fakesink",
          kMost, [](GstElement* p) {
            GstElement* m = gst_bin_get_by_name(GST_BIN(p), "m");
            g_signal_emit_by_name(m, "ask", "Describe the feed.");
            gst_object_unref(m);
          });
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.answers.size(), 2u);
  std::remove(question.c_str());
}

TEST_F(Model, IntervalAsksNowAndThen) {
  const Outcome o = run("omnimodel name=m trigger=interval interval=6000 model-path=" NANO
                        " videotestsrc num-buffers=480 pattern=smpte ! "
                        "video/x-raw,width=320,height=180,framerate=30/1 ! omnivideotokenizer "
                        "! m.video_0 m.text_0 ! fakesink");
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.times, (std::vector<GstClockTime>{0, 6 * GST_SECOND, 12 * GST_SECOND}));
}

TEST_F(Model, FlushDuringAnAnswerAndSeek) {
  std::atomic<int> seeks{0};
  std::atomic<bool> stop{false};
  std::thread seeker;
  const Outcome o = run(
      "omnimodel name=m trigger=chunk max-tokens=1000 context-duration=4 temperature=100 "
      "model-path=" FIXTURE_A
      " videotestsrc num-buffers=1000000 ! video/x-raw,width=64,height=48,framerate=30/1 ! "
      "omnivideotokenizer ! m.video_0 m.text_0 ! fakesink name=out sync=false",
      kMost,
      [&](GstElement* p) {
        seeker = std::thread([p, &seeks, &stop] {
          for (; seeks < 10 && !stop; ++seeks) {
            g_usleep(gulong(200000 + 13000 * seeks));
            gst_element_seek_simple(p, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH,
                                    seeks * gint64(GST_SECOND));
          }
          gst_element_post_message(p, gst_message_new_eos(GST_OBJECT(p)));  // it is over
        });
      },
      [&](GstElement*) {
        stop = true;
        seeker.join();
      });
  EXPECT_EQ(o.error, "");
  EXPECT_EQ(seeks, 10);  // no seek blocked
}

TEST_F(Model, StateChangesWhileLoadingAndWhileAnswering) {
  for (int i = 0; i < 20; ++i) {
    GstElement* p = gst_parse_launch(
        "omnimodel name=m model-path=" NANO
        " videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 ! "
        "omnivideotokenizer ! m.video_0 "
        "audiotestsrc is-live=true ! omniaudiotokenizer ! m.audio_0 m.text_0 ! fakesink",
        nullptr);
    gst_element_set_state(p, i % 3 ? GST_STATE_PLAYING : GST_STATE_PAUSED);
    g_usleep(gulong(i * i * 2500));
    gst_element_set_state(p, i % 2 ? GST_STATE_READY : GST_STATE_NULL);
    gst_element_set_state(p, GST_STATE_PLAYING);
    g_usleep(1000);
    gst_element_set_state(p, GST_STATE_NULL);
    gst_object_unref(p);
  }
}

TEST_F(Model, OneElementIsToldTheCheckpointTheOthersAskForIt) {
  for (const char* where :
       {"omnimodel name=m model-path=" NANO " videotestsrc num-buffers=70 ! omnivideotokenizer",
        "omnimodel name=m videotestsrc num-buffers=70 ! omnivideotokenizer model-path=" NANO}) {
    const Outcome o = run(std::string(where) + " ! m.video_0 m.text_0 ! fakesink");
    EXPECT_TRUE(o.eos) << o.error;
    EXPECT_GE(o.answers.size(), 1u);
  }
}

TEST_F(Model, AnApplicationMaySetTheContext) {
  const Outcome o =
      run("omnimodel name=m videotestsrc num-buffers=70 ! omnivideotokenizer ! m.video_0 m.text_0 "
          "! fakesink",
          kMost, [](GstElement* p) {
            GstContext* c = gst_context_new("omni.engine", TRUE);
            gst_structure_set(gst_context_writable_structure(c), "model-path", G_TYPE_STRING, NANO,
                              nullptr);
            gst_element_set_context(p, c);
            gst_context_unref(c);
          });
  EXPECT_TRUE(o.eos) << o.error;
}

TEST_F(Model, TextMayBeLateOrFree) {
  for (const char* timing : {"lateness=3000", "latency=4294967295"}) {
    Collected c;
    const Outcome o =
        run(std::string("omnimodel name=m ") + timing +
                " model-path=" NANO
                " videotestsrc num-buffers=120 ! video/x-raw,width=320,height=180,framerate=30/1 ! "
                "omnivideotokenizer ! m.video_0 "
                "audiotestsrc samplesperbuffer=480 num-buffers=400 ! audio/x-raw,rate=48000 ! "
                "omniaudiotokenizer ! m.audio_0 m.text_0 ! fakesink name=out",
            kMost, [&](GstElement* p) { collect(p, "out", c); });
    EXPECT_TRUE(o.eos) << o.error;
    EXPECT_EQ(c.buffers.size(), 2u);
  }
}

TEST_F(Model, AHalfChunkAtTheEndIsAnsweredToo) {
  const Outcome o = run(
      "omnimodel name=m model-path=" NANO
      " videotestsrc num-buffers=95 ! video/x-raw,framerate=30/1 ! omnivideotokenizer ! m.video_0 "
      "audiotestsrc samplesperbuffer=480 num-buffers=310 ! audio/x-raw,rate=48000 ! "
      "omniaudiotokenizer ! m.audio_0 m.text_0 ! fakesink");
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.times, (std::vector<GstClockTime>{0, 2 * GST_SECOND}));
}

TEST_F(Model, LatencyIsTheDocumentedSum) {
  GstElement* p = gst_parse_launch("omnimodel name=m latency=700 model-path=" NANO
                                   " videotestsrc is-live=true ! video/x-raw,framerate=25/1 ! "
                                   "omnivideotokenizer latency=100 ! m.video_0 "
                                   "audiotestsrc is-live=true ! omniaudiotokenizer latency=50 ! "
                                   "m.audio_0 m.text_0 ! fakesink name=out "
                                   "m.speech_0 ! fakesink name=loudspeaker",
                                   nullptr);
  gst_element_set_state(p, GST_STATE_PLAYING);
  // Each says so when it knows how much that is: with the checkpoint.
  GstBus* bus = gst_element_get_bus(p);
  for (std::set<GstObject*> known; known.size() < 3;) {
    GstMessage* m = gst_bus_timed_pop_filtered(bus, kMost, GST_MESSAGE_LATENCY);
    ASSERT_TRUE(m);
    if (GST_IS_ELEMENT(GST_MESSAGE_SRC(m)) && !GST_IS_BIN(GST_MESSAGE_SRC(m)) &&
        g_str_has_prefix(G_OBJECT_TYPE_NAME(GST_MESSAGE_SRC(m)), "GstOmni"))
      known.insert(GST_MESSAGE_SRC(m));
    gst_message_unref(m);
  }
  gst_object_unref(bus);
  const auto latency_at = [p](const char* sink) {
    GstQuery* q = gst_query_new_latency();
    GstElement* out = gst_bin_get_by_name(GST_BIN(p), sink);
    GstPad* pad = gst_element_get_static_pad(out, "sink");
    EXPECT_TRUE(gst_pad_peer_query(pad, q));
    gboolean live = FALSE;
    GstClockTime min = 0;
    gst_query_parse_latency(q, &live, &min, nullptr);
    EXPECT_TRUE(live);
    gst_query_unref(q);
    gst_object_unref(pad);
    gst_object_unref(out);
    return double(min) / GST_MSECOND;
  };
  // audiotestsrc: its buffer of 1024 samples at 44.1 kHz
  EXPECT_NEAR(latency_at("out"), 23.2 + 2000 + 12.5 + 50 + 700, 1);
  EXPECT_EQ(latency_at("loudspeaker"), 0) << "stamped when it is there";
  gst_element_set_state(p, GST_STATE_NULL);
  gst_object_unref(p);
}

TEST_F(Model, TokensOfAnotherCheckpointAreRefused) {
  const Outcome o =
      run("omnimodel name=m model-path=" NANO
          " videotestsrc num-buffers=60 ! video/x-raw,width=320,height=180,framerate=30/1 ! "
          "omnivideotokenizer model-path=" FIXTURE_A " ! m.video_0 m.text_0 ! fakesink");
  EXPECT_NE(o.error, "");
}

TEST_F(Model, PadsComeAndGo) {
  GstElement* m = gst_element_factory_make("omnimodel", nullptr);
  GstPad* a = gst_element_request_pad_simple(m, "video_%u");
  GstPad* t0 = gst_element_request_pad_simple(m, "text_%u");
  GstPad* t1 = gst_element_request_pad_simple(m, "text_%u");
  ASSERT_TRUE(a && t0 && t1);
  EXPECT_STRNE(GST_PAD_NAME(t0), GST_PAD_NAME(t1));
  EXPECT_EQ(gst_element_request_pad_simple(m, "video_%u"), nullptr);  // one video stream
  gst_element_release_request_pad(m, a);
  gst_object_unref(a);
  a = gst_element_request_pad_simple(m, "video_%u");
  ASSERT_TRUE(a);
  for (GstPad* p : {a, t0, t1}) {
    gst_element_release_request_pad(m, p);
    gst_object_unref(p);
  }
  gst_object_unref(m);
}

// Frames of an odd rate: a document's PTS is that of the last frame that was sampled (2 a second),
// to less than a frame of the source; GAPs in between; text pads go on.
TEST_F(Model, SpatialDocumentsAreStampedWithTheLastFrameSeen) {
  static std::vector<GstClockTime> times;
  static std::vector<std::string> documents;
  times.clear(), documents.clear();
  const Outcome o =
      run("omnimodel name=m json-schema=boxes model-path=" NANO
          " videotestsrc pattern=ball num-buffers=240 ! "
          "video/x-raw,width=320,height=180,framerate=30000/1001 ! omnivideotokenizer ! m.video_0 "
          "audiotestsrc num-buffers=350 ! audio/x-raw,rate=44100 ! omniaudiotokenizer ! m.audio_0  "
          "m.spatial_0 ! fakesink name=end signal-handoffs=true  m.text_0 ! fakesink",
          kMost, [](GstElement* pipeline) {
            GstElement* end = gst_bin_get_by_name(GST_BIN(pipeline), "end");
            g_signal_connect(end, "handoff",
                             G_CALLBACK(+[](GstElement*, GstBuffer* b, GstPad*, gpointer) {
                               times.push_back(GST_BUFFER_PTS(b));
                               std::string text(gst_buffer_get_size(b), 0);
                               gst_buffer_extract(b, 0, text.data(), text.size());
                               documents.push_back(text);
                             }),
                             nullptr);
            gst_object_unref(end);
          });
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(o.answers.size(), 8u) << "a caption and a document for each of 4 chunks";
  ASSERT_EQ(times.size(), 4u);
  for (size_t i = 0; i < times.size(); ++i) {
    // The sampled frame: the first at or after a multiple of half a second.
    const GstClockTime period = gst_util_uint64_scale(GST_SECOND, 1001, 30000),
                       sampled =
                           (i * 2 * GST_SECOND + 1500 * GST_MSECOND + period - 1) / period * period;
    EXPECT_LT(GST_CLOCK_DIFF(times[i], sampled), GstClockTimeDiff(period)) << i;
    EXPECT_GE(GST_CLOCK_DIFF(times[i], sampled), -GstClockTimeDiff(period)) << i;
    EXPECT_EQ(documents[i].front(), '{');
    EXPECT_EQ(documents[i].back(), '\n');
    EXPECT_NE(documents[i].find("\"frame\":{\"time\":" + std::to_string(times[i])),
              std::string::npos);
  }
}

TEST_F(Model, AnUnknownSchemaIsOneError) {
  const Outcome o =
      run("omnimodel name=m json-schema=\"{\\\"type\\\":\\\"sound\\\"}\" model-path=" NANO
          " videotestsrc num-buffers=90 ! omnivideotokenizer ! m.video_0  m.text_0 ! fakesink");
  EXPECT_NE(o.error.find("json-schema at #: the type \"sound\" is unknown"), std::string::npos)
      << o.error;
}

}  // namespace
}  // namespace omni_test
