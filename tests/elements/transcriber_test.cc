// omnitranscriber on a tiny random checkpoint: the protocol, not the words. With
// models/whisper-base (tools/fetch-model) beside it, the words too.
#include <filesystem>

#include "elements/harness.h"

#define TINY OMNI_SOURCE_DIR "/tests/fixtures/whisper/checkpoint"
#define BASE OMNI_SOURCE_DIR "/models/whisper-base"
#define JFK OMNI_SOURCE_DIR "/examples/media/jfk.wav"

namespace omni_test {
namespace {

class Transcriber : public GstTest {};

struct Text {
  std::string all;
  std::vector<GstClockTime> pts, duration;
  GstClockTime gap_end = 0;
  bool ordered = true;
};

GstPadProbeReturn read(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto& t = *static_cast<Text*>(data);
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    GstBuffer* b = GST_PAD_PROBE_INFO_BUFFER(info);
    GstMapInfo map;
    gst_buffer_map(b, &map, GST_MAP_READ);
    t.all +=
        (t.all.empty() ? "" : " ") + std::string(reinterpret_cast<const char*>(map.data), map.size);
    gst_buffer_unmap(b, &map);
    if (!t.pts.empty() && GST_BUFFER_PTS(b) < t.pts.back() + t.duration.back()) t.ordered = false;
    t.pts.push_back(GST_BUFFER_PTS(b));
    t.duration.push_back(GST_BUFFER_DURATION(b));
  } else if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_GAP) {
    GstClockTime start = 0, d = 0;
    gst_event_parse_gap(GST_PAD_PROBE_INFO_EVENT(info), &start, &d);
    t.gap_end = start + d;
  }
  return GST_PAD_PROBE_OK;
}

Outcome transcribe(const std::string& source, const std::string& properties, Text& text,
                   GstClockTime most = kMost) {
  return run(source + " ! omnitranscriber name=t " + properties + " ! fakesink name=out", most,
             [&](GstElement* p) {
               GstElement* sink = gst_bin_get_by_name(GST_BIN(p), "out");
               GstPad* pad = gst_element_get_static_pad(sink, "sink");
               gst_pad_add_probe(
                   pad,
                   GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
                   read, &text, nullptr);
               gst_object_unref(pad);
               gst_object_unref(sink);
             });
}

const std::string kJfk = "filesrc location=" JFK " ! wavparse";

TEST_F(Transcriber, ReachesTheEndWithGapsUpToIt) {
  for (const char* policy : {"auto", "align-att", "local-agreement"}) {
    Text text;
    const Outcome o = transcribe(kJfk, std::string("model-path=" TINY " policy=") + policy, text);
    EXPECT_TRUE(o.eos) << policy << ": " << o.error;
    EXPECT_TRUE(text.ordered);
    const GstClockTime end =
        std::max(text.gap_end, text.pts.empty() ? 0 : text.pts.back() + text.duration.back());
    EXPECT_NEAR(double(end) / GST_SECOND, 11.0, 0.1) << policy;
  }
}

TEST_F(Transcriber, VocabularyAndMaskedWordsAreArrays) {
  GstElement* t = gst_element_factory_make("omnitranscriber", nullptr);
  gst_util_set_object_arg(G_OBJECT(t), "masked-words", "<fellow, COUNTRY>");
  GValue value = G_VALUE_INIT;
  g_value_init(&value, GST_TYPE_ARRAY);
  g_object_get_property(G_OBJECT(t), "masked-words", &value);
  ASSERT_EQ(gst_value_array_get_size(&value), 2u);
  EXPECT_STREQ(g_value_get_string(gst_value_array_get_value(&value, 1)), "COUNTRY");
  g_value_unset(&value);
  gst_object_unref(t);
  Text text;
  std::string many = "vocabulary=<word";
  for (int i = 0; i < 300; ++i) many += ",word" + std::to_string(i);
  EXPECT_NE(transcribe(kJfk, many + "> model-path=" TINY, text).error.find("vocabulary"),
            std::string::npos);
  if (!std::filesystem::exists(BASE "/config.json"))
    GTEST_SKIP() << "words need models/whisper-base: tools/fetch-model whisper-base";
  const Outcome o = transcribe(
      kJfk, "masked-words=<fellow,COUNTRY> vocabulary=<Americans> model-path=" BASE, text);
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_NE(text.all.find("my f*****"), std::string::npos) << text.all;
  EXPECT_NE(text.all.find("for your c******."), std::string::npos) << text.all;
}

TEST_F(Transcriber, SilenceSaysNothing) {
  Text text;
  const Outcome o = transcribe("audiotestsrc wave=silence num-buffers=200",
                               "policy=align-att model-path=" TINY, text);
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(text.all, "");
  EXPECT_GT(text.gap_end, 4 * GST_SECOND) << "but that time passes";
}

TEST_F(Transcriber, ErrorsSayWhatToDo) {
  Text text;
  EXPECT_NE(transcribe(kJfk, "model-path=" NANO, text).error.find("use a Whisper checkpoint"),
            std::string::npos);
  EXPECT_NE(transcribe(kJfk, "language-code=tlh model-path=" TINY, text)
                .error.find("the checkpoint has de, en, fr"),
            std::string::npos);
  EXPECT_NE(transcribe(kJfk, "", text).error.find("model-path"), std::string::npos);
  EXPECT_NE(run("audiotestsrc num-buffers=10 ! omniaudiotokenizer model-path=" TINY " ! fakesink")
                .error.find("use omnitranscriber"),
            std::string::npos);
}

TEST_F(Transcriber, OddSoundIsTakenOrIsOneError) {
  for (const char* caps :
       {"audio/x-raw,rate=8000,channels=1,format=S16LE",
        "audio/x-raw,rate=48000,channels=6,channel-mask=(bitmask)0x3f,format=F32LE",
        "audio/x-raw,rate=44100,channels=2,format=U8"}) {
    Text text;
    const Outcome o =
        transcribe(std::string("audiotestsrc num-buffers=100 ! audioconvert ! ") + caps,
                   "policy=align-att model-path=" TINY, text);
    EXPECT_TRUE(o.eos) << caps << ": " << o.error;
  }
}

// What hosts a transcriber does (transcriberbin of gst-plugins-rs): LATENCY asked in PAUSED behind
// a live source, language-code set while running.
TEST_F(Transcriber, KeepsTheContractOfAHost) {
  GstElement* p = gst_parse_launch(
      "audiotestsrc is-live=true ! audio/x-raw,rate=48000 ! omnitranscriber name=t latency=3000 "
      "model-path=" TINY " ! fakesink sync=true",
      nullptr);
  gst_element_set_state(p, GST_STATE_PAUSED);
  gst_element_get_state(p, nullptr, nullptr, kMost);
  GstElement* t = gst_bin_get_by_name(GST_BIN(p), "t");
  GstPad* src = gst_element_get_static_pad(t, "src");
  GstQuery* query = gst_query_new_latency();
  bool answered = false;
  for (int i = 0; i < 30000 && !(answered = gst_pad_query(src, query)); ++i) g_usleep(10000);
  EXPECT_TRUE(answered);
  gboolean live = FALSE;
  GstClockTime min = 0;
  gst_query_parse_latency(query, &live, &min, nullptr);
  EXPECT_TRUE(live);
  EXPECT_GE(min, 3 * GST_SECOND);
  EXPECT_LT(min, 3200 * GST_MSECOND);
  gst_query_unref(query);
  gst_element_set_state(p, GST_STATE_PLAYING);
  g_usleep(300000);
  g_object_set(t, "language-code", "de-DE", "latency", 5000, "lateness", 100, nullptr);
  g_usleep(300000);
  GstBus* bus = gst_element_get_bus(p);
  GstMessage* m = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  EXPECT_EQ(m, nullptr);
  g_object_set(t, "language-code", "xx", nullptr);
  m = gst_bus_timed_pop_filtered(bus, kMost, GST_MESSAGE_ERROR);
  EXPECT_NE(m, nullptr) << "an unknown language is an error, on which a host falls back";
  if (m) gst_message_unref(m);
  gst_object_unref(bus);
  gst_element_set_state(p, GST_STATE_NULL);
  gst_object_unref(src);
  gst_object_unref(t);
  gst_object_unref(p);
}

TEST_F(Transcriber, FlushAndDiscontinuities) {
  Harness h("omnitranscriber", TINY);
  g_object_set(h->element, "policy", 1, nullptr);
  gst_harness_set_src_caps_str(h,
                               "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved");
  const auto push = [&](GstClockTime pts) {
    GstBuffer* b = gst_buffer_new_allocate(nullptr, 3200, nullptr);
    GstMapInfo map;
    gst_buffer_map(b, &map, GST_MAP_WRITE);
    for (size_t i = 0; i < 1600; ++i)
      reinterpret_cast<gint16*>(map.data)[i] =
          gint16((i * 7919) % 8000 * (pts / (100 * GST_MSECOND) % 3));
    gst_buffer_unmap(b, &map);
    GST_BUFFER_PTS(b) = pts;
    GST_BUFFER_DURATION(b) = 100 * GST_MSECOND;
    GST_BUFFER_FLAG_SET(b, GST_BUFFER_FLAG_DISCONT);
    return gst_harness_push(h, b);
  };
  for (int i = 0; i < 30; ++i) EXPECT_EQ(push(guint64(i) * 100 * GST_MSECOND), GST_FLOW_OK);
  gst_harness_push_event(h, gst_event_new_flush_start());
  EXPECT_EQ(push(0), GST_FLOW_FLUSHING);
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(h, gst_event_new_segment(&segment));
  // Time stamps that jump ahead and back, and some that are not there.
  for (const guint64 ms : {0, 100, 9000, 9100, 200, 300, 60000, 0, 100})
    EXPECT_EQ(push(ms * GST_MSECOND), GST_FLOW_OK);
  EXPECT_EQ(push(GST_CLOCK_TIME_NONE), GST_FLOW_OK);
  auto left = h.drain();
  unref_all(left);
}

TEST_F(Transcriber, NotANumberIsOneError) {
  Harness h("omnitranscriber", TINY);
  gst_harness_set_src_caps_str(h,
                               "audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved");
  GstBuffer* b = gst_buffer_new_allocate(nullptr, 64000, nullptr);
  gst_buffer_memset(b, 0, 0xff, 64000);
  GST_BUFFER_PTS(b) = 0;
  gst_harness_push(h, b);
  EXPECT_NE(h.error().find("not numbers"), std::string::npos);
}

// Kennedy's words through what a bad line does to them: they are heard, and stay in their place.
TEST_F(Transcriber, BadLinesDoNotMoveWords) {
  if (!std::filesystem::exists(BASE "/model.safetensors"))
    GTEST_SKIP() << "no models/whisper-base: tools/fetch-model whisper-base";
  const std::string policy = "policy=align-att model-path=" BASE;
  for (const char* line :
       {" ! audioconvert ! audioresample ! audio/x-raw,rate=8000,format=S8",
        " ! audioconvert ! volume volume=6",
        " ! audioconvert ! audio/x-raw,format=F32LE,channels=6,channel-mask=(bitmask)0x3f"}) {
    Text text;
    const Outcome o = transcribe(kJfk + line, policy, text);
    EXPECT_TRUE(o.eos) << line << ": " << o.error;
    EXPECT_NE(text.all.find("country"), std::string::npos) << line << ": " << text.all;
    ASSERT_FALSE(text.pts.empty());
    EXPECT_NEAR(double(text.pts.back() + text.duration.back()) / GST_SECOND, 10.5, 0.7) << line;
  }
}

// Jumps of the time stamps are holes and new beginnings: the words behind them have the new times.
TEST_F(Transcriber, TimestampsThatJumpAreFollowed) {
  if (!std::filesystem::exists(BASE "/model.safetensors"))
    GTEST_SKIP() << "no models/whisper-base: tools/fetch-model whisper-base";
  const std::string wav = read_file(JFK).substr(44);
  for (const gint64 jump : {gint64(0), gint64(100 * GST_SECOND), -gint64(3 * GST_SECOND)}) {
    GstElement* e = gst_element_factory_make("omnitranscriber", nullptr);
    g_object_set(e, "model-path", BASE, "policy", 1, nullptr);
    GstHarness* h = gst_harness_new_with_element(e, "sink", "src");
    gst_harness_set_live(h, FALSE);  // it waits for the recogniser
    gst_object_unref(e);
    gst_harness_set_src_caps_str(
        h, "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved");
    const size_t piece = 3200;  // 100 ms, each with DISCONT
    for (size_t i = 0; (i + 1) * piece <= wav.size(); ++i) {
      GstBuffer* b = gst_buffer_new_allocate(nullptr, piece, nullptr);
      gst_buffer_fill(b, 0, wav.data() + i * piece, piece);
      GST_BUFFER_PTS(b) =
          GstClockTime(gint64(5 * GST_SECOND + i * 100 * GST_MSECOND) + (i >= 60 ? jump : 0));
      GST_BUFFER_DURATION(b) = 100 * GST_MSECOND;
      GST_BUFFER_FLAG_SET(b, GST_BUFFER_FLAG_DISCONT);
      ASSERT_EQ(gst_harness_push(h, b), GST_FLOW_OK);
    }
    gst_harness_push_event(h, gst_event_new_eos());
    std::string all;
    GstClockTime last = 0, before = 0;
    bool eos = false;
    for (const gint64 end = g_get_monotonic_time() + gint64(kMost / 1000);
         !eos && g_get_monotonic_time() < end;) {
      if (GstEvent* event = gst_harness_try_pull_event(h)) {
        eos = GST_EVENT_TYPE(event) == GST_EVENT_EOS;
        gst_event_unref(event);
      } else {
        g_usleep(1000);
      }
    }
    EXPECT_TRUE(eos);
    while (GstBuffer* b = gst_harness_try_pull(h)) {
      GstMapInfo map;
      gst_buffer_map(b, &map, GST_MAP_READ);
      all.append(" ").append(reinterpret_cast<const char*>(map.data), map.size);
      gst_buffer_unmap(b, &map);
      EXPECT_GE(GST_BUFFER_PTS(b), before) << "never back";
      before = last = GST_BUFFER_PTS(b);
      gst_buffer_unref(b);
    }
    EXPECT_NE(all.find("Americans"), std::string::npos) << jump << ":" << all;
    EXPECT_NE(all.find("country."), std::string::npos) << jump << ":" << all;
    EXPECT_NEAR(double(last) / GST_SECOND, 15 + double(std::max<gint64>(jump, 0)) / GST_SECOND,
                jump < 0 ? 4 : 1.2)
        << jump;
    gst_harness_teardown(h);
  }
}

// The real checkpoint, where somebody has fetched it.
TEST_F(Transcriber, HearsWhatKennedySaid) {
  if (!std::filesystem::exists(BASE "/model.safetensors"))
    GTEST_SKIP() << "no models/whisper-base: tools/fetch-model whisper-base";
  Text text;
  const Outcome o = transcribe(kJfk, "precision=float32 model-path=" BASE, text);
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(text.all,
            "And so my fellow Americans, ask not what your country can do for you, ask what you "
            "can do for your country.");
  EXPECT_TRUE(text.ordered);
}

TEST_F(Transcriber, LineEndsMakeItReadable) {
  if (!std::filesystem::exists(BASE "/model.safetensors")) GTEST_SKIP() << "no models/whisper-base";
  const std::string file = testing::TempDir() + "words.txt";
  const std::string line = kJfk +
                           " ! omnitranscriber line-ends=true precision=float32 model-path=" BASE
                           " ! filesink location=" +
                           file;
  const Outcome o = run(line);
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_EQ(read_file(file),
            "And so my fellow Americans, ask not what your country can do for you, ask what you "
            "can do for your "
            "country.\n");
}

}  // namespace
}  // namespace omni_test
