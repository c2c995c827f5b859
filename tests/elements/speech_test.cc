// omnimodel speaks: time stamps, marks, interruptions, turns. Live dialogues have a clock that goes
// on with what is heard, so that no machine is too slow for them.
#include <gst/app/gstappsrc.h>
#include <gst/check/gsttestclock.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>

#include "elements/harness.h"

namespace omni_test {
namespace {

class Speech : public GstTest {};

// What comes out of a pad.
struct Heard {
  std::mutex lock;
  std::condition_variable changed;
  std::vector<GstClockTime> pts, duration;
  std::vector<float> samples;
  std::vector<std::pair<GstClockTime, GstClockTime>> gaps;
  int n_marked = 0, n_discont = 0;
  std::string caps;
  bool tagged = false;
  // goes on with gaps, and with the sound while less than `until` was heard
  GstTestClock* clock = nullptr;
  size_t until = 0;

  size_t n_samples() {
    std::lock_guard guard(lock);
    return samples.size();
  }
  // Under the lock.
  void advance(GstClockTime to) {
    if (clock && to > gst_clock_get_time(GST_CLOCK(clock))) gst_test_clock_set_time(clock, to);
  }
  void follow() {
    if (!pts.empty() && samples.size() < until) advance(pts.back() + duration.back());
  }
};

GstPadProbeReturn listen(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto& h = *static_cast<Heard*>(data);
  std::lock_guard guard(h.lock);
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    GstBuffer* b = GST_PAD_PROBE_INFO_BUFFER(info);
    h.pts.push_back(GST_BUFFER_PTS(b));
    h.duration.push_back(GST_BUFFER_DURATION(b));
    h.n_discont += GST_BUFFER_FLAG_IS_SET(b, GST_BUFFER_FLAG_DISCONT);
    GstCustomMeta* meta = gst_buffer_get_custom_meta(b, "GstOmniGeneratedMeta");
    const char* checkpoint =
        meta ? gst_structure_get_string(gst_custom_meta_get_structure(meta), "checkpoint")
             : nullptr;
    h.n_marked += checkpoint && std::strlen(checkpoint) == 16;
    GstMapInfo map;
    gst_buffer_map(b, &map, GST_MAP_READ);
    for (size_t i = 0; i < map.size / 2; ++i)
      h.samples.push_back(float(reinterpret_cast<const gint16*>(map.data)[i]) / 32768.f);
    gst_buffer_unmap(b, &map);
    h.follow();
    h.changed.notify_all();
  } else {
    GstEvent* e = GST_PAD_PROBE_INFO_EVENT(info);
    if (GST_EVENT_TYPE(e) == GST_EVENT_CAPS) {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(e, &caps);
      gchar* text = gst_caps_to_string(caps);
      h.caps = text;
      g_free(text);
    } else if (GST_EVENT_TYPE(e) == GST_EVENT_GAP) {
      GstClockTime t = 0, d = 0;
      gst_event_parse_gap(e, &t, &d);
      h.gaps.emplace_back(t, d);
      h.advance(t + d);
    } else if (GST_EVENT_TYPE(e) == GST_EVENT_TAG) {
      h.tagged = true;
    }
  }
  return GST_PAD_PROBE_OK;
}

void listen_at(GstElement* pipeline, const char* name, Heard& heard) {
  GstElement* e = gst_bin_get_by_name(GST_BIN(pipeline), name);
  GstPad* pad = gst_element_get_static_pad(e, "sink");
  gst_pad_add_probe(
      pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM), listen,
      &heard, nullptr);
  gst_object_unref(pad);
  gst_object_unref(e);
}

const char* kFeed =
    "videotestsrc num-buffers=70 ! video/x-raw,width=320,height=180,framerate=30/1 ! "
    "omnivideotokenizer ! m.video_0 "
    "audiotestsrc freq=1000 samplesperbuffer=4800 num-buffers=23 ! audio/x-raw,rate=48000 ! "
    "omniaudiotokenizer ! m.audio_0 ";

TEST_F(Speech, AnswersAloudWithTimesAndMarks) {
  Heard speech, text;
  const Outcome o = run(std::string("omnimodel name=m model-path=" NANO " ") + kFeed +
                            " m.speech_0 ! fakesink name=speech m.text_0 ! fakesink name=text",
                        kMost, [&](GstElement* p) {
                          listen_at(p, "speech", speech);
                          listen_at(p, "text", text);
                        });
  ASSERT_TRUE(o.eos) << o.error;
  EXPECT_EQ(speech.caps,
            "audio/x-raw, format=(string)S16LE, rate=(int)24000, channels=(int)1, "
            "layout=(string)interleaved");
  EXPECT_TRUE(speech.tagged);
  ASSERT_GT(speech.pts.size(), 20u);
  EXPECT_EQ(size_t(speech.n_marked), speech.pts.size())
      << "every buffer says that it was generated";
  EXPECT_GT(*std::max_element(speech.samples.begin(), speech.samples.end()), 0.02f);
  ASSERT_GE(text.pts.size(), 1u);
  // Each text has the span of its sound; within it there is no gap.
  size_t i = 0;
  for (size_t t = 0; t < text.pts.size(); ++t) {
    ASSERT_LT(i, speech.pts.size());
    EXPECT_EQ(speech.pts[i], text.pts[t]);
    GstClockTime end = speech.pts[i];
    for (; i < speech.pts.size() && speech.pts[i] == end && end < text.pts[t] + text.duration[t];
         ++i)
      end = speech.pts[i] + speech.duration[i];
    EXPECT_EQ(end, text.pts[t] + text.duration[t]);
  }
  EXPECT_EQ(i, speech.pts.size());
  EXPECT_EQ(size_t(speech.n_discont), text.pts.size());
  ASSERT_GE(speech.gaps.size(), 1u);
  EXPECT_EQ(speech.gaps[0].first + speech.gaps[0].second, speech.pts[0])
      << "before it speaks there is a gap";
}

TEST_F(Speech, FloatWhereIntegersAreNotTaken) {
  Heard heard;
  const Outcome o = run(std::string("omnimodel name=m trigger=eos model-path=" NANO " ") + kFeed +
                            " m.speech_0 ! audio/x-raw,format=F32LE ! fakesink name=speech",
                        kMost, [&](GstElement* p) { listen_at(p, "speech", heard); });
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_NE(heard.caps.find("F32LE"), std::string::npos) << heard.caps;
}

TEST_F(Speech, AnUnknownVoiceIsOneErrorThatListsThem) {
  const Outcome o = run(std::string("omnimodel name=m voice=Nobody model-path=" NANO " ") + kFeed +
                        " m.speech_0 ! fakesink");
  EXPECT_EQ(o.error, "no voice \"Nobody\"; the checkpoint has slt");
  EXPECT_EQ(o.error_domain, GST_LIBRARY_ERROR);
}

TEST_F(Speech, ACheckpointWithoutAVoiceIsOneError) {
  const Outcome o =
      run("omnimodel name=m model-path=" FIXTURE_A
          " audiotestsrc num-buffers=100 ! omniaudiotokenizer ! m.audio_0 m.speech_0 ! fakesink");
  EXPECT_NE(o.error.find("has no voice"), std::string::npos) << o.error;
  EXPECT_EQ(o.error_domain, GST_STREAM_ERROR);
}

// A live dialogue: questions on a prompt pad, a sink that takes what is due. The clock stands still
// until it is let go on.
class Dialogue {
 public:
  explicit Dialogue(const std::string& properties = "") {
    GError* error = nullptr;
    pipeline = gst_parse_launch(
        ("omnimodel name=m trigger=prompt max-tokens=24 latency=0 model-path=" NANO " " +
         properties +
         " appsrc name=q is-live=true do-timestamp=true format=time caps=text/x-raw,format=utf8 ! "
         "m.prompt_0  m.speech_0 ! fakesink name=speech sync=false")
            .c_str(),
        &error);
    if (error) ADD_FAILURE() << error->message;
    heard.clock = GST_TEST_CLOCK(gst_test_clock_new());
    gst_pipeline_use_clock(GST_PIPELINE(pipeline), GST_CLOCK(heard.clock));
    gst_element_set_start_time(pipeline, GST_CLOCK_TIME_NONE);
    gst_element_set_base_time(pipeline, 0);
    listen_at(pipeline, "speech", heard);
    model = gst_bin_get_by_name(GST_BIN(pipeline), "m");
    questions = gst_bin_get_by_name(GST_BIN(pipeline), "q");
    bus = gst_element_get_bus(pipeline);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    // The first question is asked when the weights are there.
    while (GstMessage* m = gst_bus_timed_pop_filtered(
               bus, kMost, GstMessageType(GST_MESSAGE_LATENCY | GST_MESSAGE_ERROR))) {
      const bool ready = GST_MESSAGE_SRC(m) == GST_OBJECT(model);
      gst_bin_recalculate_latency(GST_BIN(pipeline));
      gst_message_unref(m);
      if (ready) break;
    }
  }
  ~Dialogue() {
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(bus);
    gst_object_unref(questions);
    gst_object_unref(model);
    gst_object_unref(pipeline);
    gst_object_unref(heard.clock);
  }
  void ask(const char* text) {
    gst_app_src_push_buffer(GST_APP_SRC(questions), gst_buffer_new_memdup(text, std::strlen(text)));
  }
  // How the next answer ended, and how long it was. Empty: none in time.
  std::string next_end(GstClockTime* duration = nullptr, GstClockTime wait = kMost) {
    const gint64 until = g_get_monotonic_time() + gint64(wait / 1000);
    while (GstMessage* m = gst_bus_timed_pop_filtered(
               bus, GstClockTime(std::max<gint64>(0, until - g_get_monotonic_time())) * 1000,
               GstMessageType(GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR))) {
      std::string end;
      if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR) {
        GError* e = nullptr;
        gst_message_parse_error(m, &e, nullptr);
        ADD_FAILURE() << e->message;
        g_error_free(e);
        end = "error";
      } else if (gst_message_has_name(m, "omni/speech")) {
        end = gst_structure_get_string(gst_message_get_structure(m), "end");
        guint64 d = 0;
        gst_structure_get_uint64(gst_message_get_structure(m), "duration", &d);
        if (duration) *duration = d;
      }
      gst_message_unref(m);
      if (!end.empty()) return end;
    }
    return {};
  }
  // The clock goes on until so much has been heard, or for good.
  void go_on(size_t until = SIZE_MAX) {
    std::lock_guard guard(heard.lock);
    heard.until = until;
    heard.follow();
  }
  // Waits until more than this has been heard.
  bool wait_for_sound(size_t beyond) {
    std::unique_lock lock(heard.lock);
    return heard.changed.wait_for(lock, std::chrono::nanoseconds(kMost),
                                  [&] { return heard.samples.size() > beyond; });
  }

  GstElement *pipeline, *model, *questions;
  GstBus* bus;
  Heard heard;
};

TEST_F(Speech, InterruptedAtAnyMomentItStopsAtOnceAndGoesOn) {
  Dialogue d;
  std::mt19937 random(11);
  const int n = g_getenv("OMNI_MANY") ? 200 : 12;
  const auto interrupt = [&](int i) {
    if (i % 3 == 0)
      gst_element_send_event(d.pipeline,
                             gst_event_new_custom(GST_EVENT_CUSTOM_UPSTREAM,
                                                  gst_structure_new_empty("omni-interrupt")));
    else
      g_signal_emit_by_name(d.model, "interrupt");
  };
  for (int i = 0; i < n; ++i) {
    const size_t before = d.heard.n_samples();
    if (random() % 4 == 0) {  // before there is a sound
      d.ask("Describe the feed.");
      g_usleep(random() % 30000);
      // the question may not have been taken yet: then it is answered, and that is cut
      do interrupt(i);
      while (d.next_end(nullptr, 100 * GST_MSECOND).empty());
      continue;
    }
    const size_t moment = before + 1 + random() % 9600;
    d.go_on(moment);
    d.ask("Describe the feed.");
    ASSERT_TRUE(d.wait_for_sound(moment)) << i;
    interrupt(i);
    const size_t at = d.heard.n_samples();
    EXPECT_EQ(d.next_end(), "interrupted") << i;
    EXPECT_LE(d.heard.n_samples() - at, size_t(0.05 * 24000))
        << i << ": more than 50 ms after the interruption";
    std::lock_guard guard(d.heard.lock);
    EXPECT_LT(std::abs(d.heard.samples.back()), 0.02f) << i << ": it fades out";
  }
  const size_t before = d.heard.n_samples();
  d.go_on();
  d.ask("Describe the feed.");
  EXPECT_TRUE(d.wait_for_sound(before)) << "ready for the next question";
}

TEST_F(Speech, AQuestionBargesIn) {
  Dialogue d;
  d.ask("Describe the feed.");
  ASSERT_TRUE(d.wait_for_sound(0));
  d.ask("Describe the feed.");
  EXPECT_EQ(d.next_end(), "interrupted");
  d.go_on();
  EXPECT_EQ(d.next_end(), "finished") << "the second is spoken to its end";
}

TEST_F(Speech, WithoutBargeInTheyFollowOneAnother) {
  Dialogue d("barge-in=false");
  d.ask("Describe the feed.");
  ASSERT_TRUE(d.wait_for_sound(0));
  d.ask("What is on air?");
  d.go_on();
  GstClockTime first = 0, second = 0;
  EXPECT_EQ(d.next_end(&first), "finished");
  EXPECT_EQ(d.next_end(&second), "finished");
  std::lock_guard guard(d.heard.lock);
  EXPECT_NEAR(double(d.heard.samples.size()) / 24000, double(first + second) / GST_SECOND, 0.01);
}

TEST_F(Speech, FlushSilencesIt) {
  Dialogue d;
  d.ask("Describe the feed.");
  ASSERT_TRUE(d.wait_for_sound(0));
  GstPad* pad = gst_element_get_static_pad(d.questions, "src");
  gst_pad_push_event(pad, gst_event_new_flush_start());
  gst_pad_push_event(pad, gst_event_new_flush_stop(FALSE));
  const size_t at = d.heard.n_samples();
  d.go_on();
  g_usleep(100000);
  EXPECT_EQ(d.heard.n_samples(), at) << "nothing stale afterwards";
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_push_event(pad, gst_event_new_segment(&segment));
  d.ask("Describe the feed.");
  EXPECT_TRUE(d.wait_for_sound(at)) << "ready for the next question";
  gst_object_unref(pad);
}

// A dialogue of ten turns: every answer is heard without a hole, from first to last sound.
TEST_F(Speech, TenTurnsWithoutAHole) {
  Dialogue d;
  d.go_on();
  const int n = g_getenv("OMNI_MANY") ? 10 : 2;
  for (int i = 0; i < n; ++i) {
    const size_t before = d.heard.n_samples();
    d.ask(i % 2 ? "What is on air?" : "Describe the feed.");
    GstClockTime duration = 0;
    ASSERT_EQ(d.next_end(&duration), "finished");
    std::lock_guard guard(d.heard.lock);
    EXPECT_NEAR(double(d.heard.samples.size() - before) / 24000, double(duration) / GST_SECOND,
                0.001);
  }
  GstStructure* stats = nullptr;
  g_object_get(d.model, "stats", &stats, nullptr);
  guint64 underruns = 99, spoken = 0;
  gst_structure_get(stats, "underruns", G_TYPE_UINT64, &underruns, "spoken", G_TYPE_UINT64, &spoken,
                    nullptr);
  gst_structure_free(stats);
  EXPECT_EQ(underruns, 0u);
  EXPECT_EQ(spoken, guint64(n));
}

}  // namespace
}  // namespace omni_test
