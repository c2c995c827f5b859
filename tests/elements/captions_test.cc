// The caption elements: what leaves, when, and what others read in it.
#include <algorithm>
#include <cstring>
#include <random>
#include <sstream>

#include "elements/harness.h"

namespace omni_test {
namespace {

class Captions : public GstTest {};

GstBuffer* text(const std::string& s, GstClockTime start, GstClockTime duration) {
  GstBuffer* b = gst_buffer_new_allocate(nullptr, s.size(), nullptr);
  gst_buffer_fill(b, 0, s.data(), s.size());
  GST_BUFFER_PTS(b) = start;
  GST_BUFFER_DURATION(b) = duration;
  return b;
}

std::string bytes(GstBuffer* b) {
  GstMapInfo map;
  gst_buffer_map(b, &map, GST_MAP_READ);
  const std::string s(reinterpret_cast<const char*>(map.data), map.size);
  gst_buffer_unmap(b, &map);
  return s;
}

void begin(Harness& h, const char* sink_caps = nullptr,
           const char* caps = "text/x-raw,format=utf8") {
  if (sink_caps) gst_harness_set_sink_caps_str(h, sink_caps);
  gst_harness_set_src_caps_str(h, caps);
}

struct Piece {
  std::string text;
  GstClockTime start, end;
  bool gap;
};

// What left since the last call, buffers and gaps apart from each other.
std::vector<Piece> pieces(Harness& h) {
  std::vector<Piece> out;
  while (GstBuffer* b = gst_harness_try_pull(h)) {
    out.push_back({bytes(b), GST_BUFFER_PTS(b), GST_BUFFER_PTS(b) + GST_BUFFER_DURATION(b), false});
    gst_buffer_unref(b);
  }
  return out;
}

std::vector<Piece> gaps(Harness& h) {
  std::vector<Piece> out;
  while (GstEvent* e = gst_harness_try_pull_event(h)) {
    if (GST_EVENT_TYPE(e) == GST_EVENT_GAP) {
      GstClockTime start = 0, duration = 0;
      gst_event_parse_gap(e, &start, &duration);
      out.push_back({"", start, start + duration, true});
    }
    gst_event_unref(e);
  }
  return out;
}

void say(Harness& h, const std::string& sentence, GstClockTime from, GstClockTime each) {
  std::istringstream words(sentence);
  for (std::string w; words >> w; from += each)
    ASSERT_EQ(gst_harness_push(h, text(w, from, each)), GST_FLOW_OK);
}

// Puts texts into the appsrc `in` of a pipeline and waits for its end; takes it down.
void feed(GstElement* p, const std::vector<GstBuffer*>& texts) {
  GstElement* in = gst_bin_get_by_name(GST_BIN(p), "in");
  gst_element_set_state(p, GST_STATE_PLAYING);
  GstFlowReturn flow = GST_FLOW_OK;
  for (GstBuffer* b : texts) {
    g_signal_emit_by_name(in, "push-buffer", b, &flow);
    gst_buffer_unref(b);
  }
  g_signal_emit_by_name(in, "end-of-stream", &flow);
  GstBus* bus = gst_element_get_bus(p);
  GstMessage* m =
      gst_bus_timed_pop_filtered(bus, kMost, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  EXPECT_TRUE(m && GST_MESSAGE_TYPE(m) == GST_MESSAGE_EOS);
  if (m) gst_message_unref(m);
  gst_element_set_state(p, GST_STATE_NULL);
  gst_object_unref(bus);
  gst_object_unref(in);
  gst_object_unref(p);
}

TEST_F(Captions, FormatMakesLinesAndGaps) {
  Harness h("omnicaptionformat", nullptr);
  begin(h);
  say(h,
      "This is the first sentence. And this one is so long that it takes two lines, which is well.",
      2 * GST_SECOND, 250 * GST_MSECOND);
  gst_harness_push_event(h, gst_event_new_gap(10 * GST_SECOND, 5 * GST_SECOND));
  std::vector<Piece> p = pieces(h), g = gaps(h);
  ASSERT_EQ(p.size(), 2u);
  EXPECT_EQ(p[0].text, "This is the first sentence.");
  EXPECT_EQ(p[0].start, 2 * GST_SECOND);
  EXPECT_EQ(p[1].text, "And this one is so long that\nit takes two lines, which is well.");
  EXPECT_GE(p[1].start, p[0].end);
  p.insert(p.end(), g.begin(), g.end());
  std::sort(p.begin(), p.end(), [](const Piece& a, const Piece& b) { return a.start < b.start; });
  EXPECT_EQ(p.front().start, 0u);
  for (size_t i = 1; i < p.size(); ++i) EXPECT_EQ(p[i].start, p[i - 1].end) << "without a hole";
  EXPECT_EQ(p.back().end, 15 * GST_SECOND);
}

TEST_F(Captions, ACaptionCarriesWhatItAnswers) {
  Harness h("omnicaptionformat", nullptr);
  begin(h);
  const AnswerMeta first{"What is on air?", 0, 2 * GST_SECOND, 1},
      second{"Any fault?", 2 * GST_SECOND, 2 * GST_SECOND, 2};
  const auto push = [&](const char* words, GstClockTime start, const AnswerMeta* answers) {
    GstBuffer* b = text(words, start, 4 * GST_SECOND);
    if (answers) add_answer(b, *answers);
    gst_harness_push(h, b);
  };
  push(
      "Colour bars and a very loud tone that goes on and on until somebody ends it at last, which "
      "may well take an hour or two.",
      10 * GST_SECOND, &first);
  push("No fault.", 14 * GST_SECOND, &second);
  push("Nobody asked for this.", 18 * GST_SECOND, nullptr);
  std::vector<GstBuffer*> out = h.drain();
  ASSERT_EQ(out.size(), 4u);
  EXPECT_EQ(answer_of(out[0]), first);
  EXPECT_EQ(answer_of(out[1]), first) << "a caption of a long answer";
  EXPECT_EQ(answer_of(out[2]), second);
  EXPECT_FALSE(answer_of(out[3]));
  GstBuffer* copy = gst_buffer_copy(out[0]);
  EXPECT_EQ(answer_of(copy), first) << "whoever copies a buffer keeps it";
  gst_buffer_unref(copy);
  unref_all(out);
}

TEST_F(Captions, ACaptionOfSeveralAnswersCarriesEach) {
  Harness h("omnicaptionformat", nullptr);
  begin(h);
  const AnswerMeta one{"One?", 0, GST_SECOND, 1}, two{"Two?", GST_SECOND, GST_SECOND, 2};
  for (const AnswerMeta* a : {&one, &one, &two}) {
    GstBuffer* b = text("word ", a->media_start, GST_SECOND);
    add_answer(b, *a);
    gst_harness_push(h, b);
  }
  std::vector<GstBuffer*> out = h.drain();
  ASSERT_EQ(out.size(), 1u);
  std::vector<std::string> questions;
  gpointer state = nullptr;
  const GType api = gst_meta_get_info("GstOmniAnswerMeta")->api;
  while (GstMeta* m = gst_buffer_iterate_meta_filtered(out[0], &state, api))
    questions.emplace_back(gst_structure_get_string(
        gst_custom_meta_get_structure(reinterpret_cast<GstCustomMeta*>(m)), "question"));
  EXPECT_EQ(questions, (std::vector<std::string>{"One?", "Two?"}));
  unref_all(out);
}

TEST_F(Captions, FormatMarksSpeakersAndSounds) {
  Harness h("omnicaptionformat", nullptr);
  begin(h);
  say(h, "Good evening", 0, GST_SECOND / 2);
  gst_harness_push_event(
      h, gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                              gst_structure_new("rstranscribe/speaker-change", "speaker",
                                                G_TYPE_STRING, "2", nullptr)));
  say(h, "Hello [applause]", GST_SECOND, GST_SECOND / 2);
  std::vector<GstBuffer*> out = h.drain();
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(bytes(out[0]), "Good evening");
  EXPECT_EQ(bytes(out[1]), ">> Hello");
  EXPECT_EQ(bytes(out[2]), "[APPLAUSE]");
  unref_all(out);
}

TEST_F(Captions, LineEndsAreForATerminal) {
  for (const bool line_ends : {false, true}) {
    Harness h("omnicaptionformat", nullptr);
    g_object_set(h->element, "line-ends", gboolean(line_ends), nullptr);
    begin(h);
    say(h, "One sentence. Another.", 0, GST_SECOND);
    std::vector<GstBuffer*> out = h.drain();
    std::string all;
    for (GstBuffer* b : out) all += bytes(b);
    unref_all(out);
    EXPECT_EQ(all, line_ends ? "One sentence.\nAnother.\n" : "One sentence.Another.");
  }
}

TEST_F(Captions, FlushForgetsAndEndDelivers) {
  Harness h("omnicaptionformat", nullptr);
  begin(h);
  say(h, "to be forgotten", 0, GST_SECOND / 4);
  gst_harness_push_event(h, gst_event_new_flush_start());
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.start = segment.time = segment.position = 60 * GST_SECOND;
  gst_harness_push_event(h, gst_event_new_segment(&segment));
  say(h, "to be said", 60 * GST_SECOND, GST_SECOND / 4);
  std::vector<GstBuffer*> out = h.drain();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(bytes(out[0]), "to be said");
  EXPECT_EQ(GST_BUFFER_PTS(out[0]), 60 * GST_SECOND);
  unref_all(out);
}

// A buffer that no segment came before, or none since a flush, is at home in a segment from 0 on;
// one behind an end and a stream-start in the segment that was. In any order, any number of times.
TEST_F(Captions, TextNeedsNoSegment) {
  for (const char* factory : {"omnicaptionformat", "omnicea608enc", "omniebuttdenc"})
    for (const std::string order :
         {"b", "fb", "sbfb", "sbeb", "gb", "sgfgb", "fe", "se", "sefgbeb", "sbebfbeb", "ffee"}) {
      SCOPED_TRACE(std::string(factory) + " " + order);
      Harness h(factory, nullptr);
      gst_harness_push_event(h, gst_event_new_stream_start("first"));
      GstCaps* caps = gst_caps_from_string("text/x-raw,format=utf8");
      gst_harness_push_event(h, gst_event_new_caps(caps));
      gst_caps_unref(caps);
      bool wanted = false;
      for (size_t i = 0; i < order.size(); ++i) {
        const GstClockTime at = i * GST_SECOND;
        GstSegment segment;
        gst_segment_init(&segment, GST_FORMAT_TIME);
        switch (order[i]) {
          case 's':
            EXPECT_TRUE(gst_harness_push_event(h, gst_event_new_segment(&segment)));
            break;
          case 'g':
            EXPECT_TRUE(gst_harness_push_event(h, gst_event_new_gap(at, GST_SECOND / 2)));
            break;
          case 'f':
            EXPECT_TRUE(gst_harness_push_event(h, gst_event_new_flush_start()));
            EXPECT_TRUE(gst_harness_push_event(h, gst_event_new_flush_stop(TRUE)));
            wanted = false;
            break;
          case 'e':
            EXPECT_TRUE(gst_harness_push_event(h, gst_event_new_eos()));
            EXPECT_TRUE(gst_harness_push_event(h, gst_event_new_stream_start("again")));
            break;
          default:
            EXPECT_EQ(gst_harness_push(h, text("Hello there.", at, GST_SECOND / 2)), GST_FLOW_OK);
            wanted = true;
        }
      }
      std::vector<GstBuffer*> out = h.drain();
      if (wanted) {
        EXPECT_FALSE(out.empty());
        GstEvent* told = gst_pad_get_sticky_event(h->sinkpad, GST_EVENT_SEGMENT, 0);
        EXPECT_NE(told, nullptr) << "downstream knows what the times mean";
        if (told) gst_event_unref(told);
      }
      unref_all(out);
    }
}

TEST_F(Captions, TextAheadOfTheSegmentBeginsWithIt) {
  for (const char* factory : {"omnicaptionformat", "omniebuttdenc"}) {
    Harness h(factory, nullptr);
    begin(h);
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    segment.start = segment.time = 10 * GST_SECOND;
    gst_harness_push_event(h, gst_event_new_segment(&segment));
    gst_harness_push(h, text("Early.", 8 * GST_SECOND, GST_SECOND));
    std::vector<GstBuffer*> out = h.drain();
    const auto early = std::find_if(out.begin(), out.end(), [](GstBuffer* b) {
      return bytes(b).find("Early.") != std::string::npos;
    });
    ASSERT_NE(early, out.end()) << factory;
    EXPECT_EQ(GST_BUFFER_PTS(*early), 10 * GST_SECOND) << factory;
    unref_all(out);
  }
}

TEST_F(Captions, OtherSegmentsAreOneError) {
  for (const char* factory : {"omnicaptionformat", "omnicea608enc", "omniebuttdenc"}) {
    Harness h(factory, nullptr);
    begin(h);
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_BYTES);
    gst_harness_push_event(h, gst_event_new_segment(&segment));
    EXPECT_EQ(gst_harness_push(h, text("Hello.", 0, GST_SECOND)), GST_FLOW_ERROR);
    EXPECT_NE(h.error().find("not in time format"), std::string::npos);
    EXPECT_EQ(h.error(nullptr, nullptr, 0), "");
  }
}

TEST_F(Captions, AStoppedElementForgets) {
  for (const char* factory : {"omnicaptionformat", "omnicea608enc", "omniebuttdenc"}) {
    Harness h(factory, nullptr);
    begin(h);
    gst_harness_push(h, text("of before", 0, GST_SECOND));
    gst_element_set_state(h->element, GST_STATE_READY);
    for (auto p = pieces(h); !p.empty(); p = pieces(h)) continue;
    gst_element_set_state(h->element, GST_STATE_PLAYING);
    begin(h);
    std::string all;
    for (const Piece& p : pieces(h)) all += p.text;
    EXPECT_EQ(all, "") << factory;
  }
}

TEST_F(Captions, LatencyIsWhatACaptionWaits) {
  for (const auto& [launch, own] : std::vector<std::pair<std::string, GstClockTime>>{
           {"omnicaptionformat maximum-duration=3000", 3 * GST_SECOND},
           {"omnicea608enc mode=pop-on", 1600 * GST_MSECOND},
           {"omnicea608enc mode=roll-up-2", 0}}) {
    GstElement* p = gst_parse_launch(
        ("appsrc is-live=true format=time min-latency=100000000 caps=text/x-raw,format=utf8 ! " +
         launch + " name=e ! fakesink")
            .c_str(),
        nullptr);
    gst_element_set_state(p, GST_STATE_PLAYING);
    GstElement* e = gst_bin_get_by_name(GST_BIN(p), "e");
    GstPad* src = gst_element_get_static_pad(e, "src");
    GstQuery* query = gst_query_new_latency();
    ASSERT_TRUE(gst_pad_query(src, query));
    GstClockTime min = 0;
    gst_query_parse_latency(query, nullptr, &min, nullptr);
    EXPECT_EQ(min, own + 100 * GST_MSECOND) << launch;
    gst_query_unref(query);
    gst_object_unref(src);
    gst_object_unref(e);
    gst_element_set_state(p, GST_STATE_NULL);
    gst_object_unref(p);
  }
}

TEST_F(Captions, PairsComeAtTheFrameRateWithoutAHole) {
  for (const auto& [rate, pairs] : std::vector<std::pair<std::string, int>>{{"30/1", 30},
                                                                            {"30000/1001", 30},
                                                                            {"25/1", 25},
                                                                            {"24000/1001", 24},
                                                                            {"60/1", 30},
                                                                            {"50/1", 25}}) {
    Harness h("omnicea608enc", nullptr);
    begin(h, ("closedcaption/x-cea-608,format=raw,framerate=" + rate).c_str());
    gst_harness_push(h, text("Hello", 0, GST_SECOND));
    gst_harness_push_event(h, gst_event_new_gap(0, GST_SECOND));
    const std::vector<Piece> p = pieces(h);
    EXPECT_EQ(int(p.size()), pairs) << rate;
    for (size_t i = 1; i < p.size(); ++i) EXPECT_EQ(p[i].start, p[i - 1].end);
    EXPECT_EQ(p[0].text, "\x94\x25") << "roll-up, two rows";
  }
}

TEST_F(Captions, FormatsCarryTheSamePairs) {
  std::vector<std::string> raw;
  for (const char* caps :
       {"closedcaption/x-cea-608,format=raw", "closedcaption/x-cea-608,format=s334-1a",
        "closedcaption/x-cea-708,format=cc_data"})
    for (const char* channel : {"cc1", "cc3"}) {
      const bool second = std::string(channel) == "cc3";
      Harness h("omnicea608enc", nullptr);
      gst_util_set_object_arg(G_OBJECT(h->element), "channel", channel);
      if (second && std::string(caps).find("raw") != std::string::npos) {
        gst_harness_set_sink_caps_str(h, (std::string(caps) + ",framerate=30/1").c_str());
        h.offer_caps("text/x-raw,format=utf8");
        EXPECT_NE(h.error().find("field 2"), std::string::npos);
        continue;
      }
      begin(h, (std::string(caps) + ",framerate=30/1").c_str());
      gst_harness_push(h, text("Hello", 0, GST_SECOND));
      std::vector<GstBuffer*> out = h.drain();
      ASSERT_GT(out.size(), 6u);
      for (size_t i = 0; i < out.size(); ++i) {
        const std::string b = bytes(out[i]);
        if (b.size() == 2)
          raw.push_back(b);
        else if (b.size() == 3 && !second)
          EXPECT_EQ(b, "\x80" + raw[i]);
        else if (b.size() == 3)
          EXPECT_EQ(b[0], '\0');
        else if (!second)
          EXPECT_EQ(b, "\xfc" + raw[i] + "\xfd\x80\x80");
        else
          EXPECT_EQ(b.substr(0, 4), "\xfc\x80\x80\xfd");
      }
      unref_all(out);
    }
}

// GStreamer's own converter takes them for what they are.
TEST_F(Captions, CcconverterFindsTheSamePairsInCcData) {
  const auto pairs = [&](const std::string& caps) {
    std::string all;
    GstElement* p = gst_parse_launch(
        ("appsrc name=in format=time caps=text/x-raw,format=utf8 ! omnicea608enc mode=pop-on ! " +
         caps +
         " ! ccconverter ! closedcaption/x-cea-608,format=raw,framerate=30/1 ! fakesink name=out "
         "signal-handoffs=true")
            .c_str(),
        nullptr);
    GstElement* out = gst_bin_get_by_name(GST_BIN(p), "out");
    g_signal_connect(
        out, "handoff",
        G_CALLBACK(+[](GstElement*, GstBuffer* b, GstPad*, std::string* s) { *s += bytes(b); }),
        &all);
    gst_object_unref(out);
    feed(p, {text("A caption\nof two lines", 3 * GST_SECOND, 2 * GST_SECOND)});
    std::string sent;
    for (size_t i = 0; i + 1 < all.size(); i += 2)
      if (all.substr(i, 2) != "\x80\x80") sent += all.substr(i, 2);
    return sent;
  };
  const std::string raw = pairs("closedcaption/x-cea-608,format=raw,framerate=30/1"),
                    data = pairs("closedcaption/x-cea-708,format=cc_data,framerate=30/1");
  EXPECT_GT(raw.size(), 30u);
  EXPECT_EQ(raw, data);
}

TEST_F(Captions, TooMuchTextIsReportedAndDelivered) {
  Harness h("omnicea608enc", nullptr);
  gst_util_set_object_arg(G_OBJECT(h->element), "mode", "pop-on");
  begin(h, "closedcaption/x-cea-608,format=raw,framerate=30/1");
  for (int i = 0; i < 40; ++i)
    gst_harness_push(
        h, text("More text than can be sent in time", guint64(i) * GST_SECOND / 4, GST_SECOND / 4));
  std::vector<GstBuffer*> out = h.drain();
  int flips = 0;
  for (size_t i = 1; i < out.size(); ++i)
    flips += bytes(out[i]) == "\x94\x2f" && bytes(out[i - 1]) == "\x94\x2f";
  EXPECT_EQ(flips, 40);
  GstMessage* m = gst_bus_pop_filtered(h.bus, GST_MESSAGE_WARNING);
  ASSERT_NE(m, nullptr);
  GError* e = nullptr;
  gst_message_parse_warning(m, &e, nullptr);
  EXPECT_NE(std::string(e->message).find("late"), std::string::npos);
  g_error_free(e);
  gst_message_unref(m);
  EXPECT_EQ(gst_bus_pop_filtered(h.bus, GST_MESSAGE_WARNING), nullptr) << "once";
  GstStructure* stats = nullptr;
  g_object_get(h->element, "stats", &stats, nullptr);
  guint most = 0;
  gst_structure_get_uint(stats, "delay-max", &most);
  EXPECT_GT(most, 3000u);
  gst_structure_free(stats);
  unref_all(out);
}

TEST_F(Captions, OddTimesAndTextsDoNoHarm) {
  for (const char* factory : {"omnicaptionformat", "omnicea608enc", "omniebuttdenc"}) {
    Harness h(factory, nullptr);
    begin(h, std::string(factory) == "omnicea608enc"
                 ? "closedcaption/x-cea-608,format=raw,framerate=30/1"
                 : nullptr);
    gst_harness_push(h, text("back", 5 * GST_SECOND, 0));
    gst_harness_push(h, text("and forth", 2 * GST_SECOND, GST_CLOCK_TIME_NONE));
    gst_harness_push(h, text("no time", GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE));
    gst_harness_push(h, text("", 6 * GST_SECOND, GST_SECOND));
    gst_harness_push(h, text("\xff\xfe\x01 broken \xc3", 7 * GST_SECOND, GST_SECOND));
    gst_harness_push(h, text(std::string(5000, 'x'), 8 * GST_SECOND, GST_SECOND));
    gst_harness_push(h, text("ten days later", 240 * 3600 * GST_SECOND, GST_SECOND));
    gst_harness_push_event(h, gst_event_new_gap(240 * 3600 * GST_SECOND, GST_CLOCK_TIME_NONE));
    std::vector<GstBuffer*> out = h.drain();
    EXPECT_GT(out.size(), 3u) << factory;
    EXPECT_LT(out.size(), 5000u) << factory << ": time without captions is a gap";
    GstClockTime end = 0;
    for (GstBuffer* b : out) {
      EXPECT_GE(GST_BUFFER_PTS(b) + GST_SECOND * 8, end) << factory;
      end = GST_BUFFER_PTS(b);
    }
    unref_all(out);
    Harness other(factory, nullptr);
    begin(other, std::string(factory) == "omnicea608enc"
                     ? "closedcaption/x-cea-608,format=raw,framerate=30/1"
                     : nullptr);
    EXPECT_EQ(gst_harness_push(other, text(std::string(100000, 'x'), 0, GST_SECOND)),
              GST_FLOW_ERROR);
    EXPECT_NE(other.error().find("65536"), std::string::npos);
    EXPECT_EQ(gst_harness_push(other, text("x", G_MAXUINT64 / 2, GST_SECOND)), GST_FLOW_ERROR);
  }
}

// What ends when the next begins, else when it is read: 20 characters a second, a second at least.
TEST_F(Captions, TextWithoutADurationStaysUntilTheNextOrUntilItIsRead) {
  const std::string sixty(60, 'x');
  for (const char* factory : {"omnicaptionformat", "omniebuttdenc"}) {
    Harness h(factory, nullptr);
    if (std::string(factory) == "omnicaptionformat")
      g_object_set(h->element, "reading-speed", 0.0, nullptr);
    begin(h);
    for (const GstClockTime duration : {GST_CLOCK_TIME_NONE, GstClockTime(0)}) {
      const GstClockTime base = duration == 0 ? 20 * GST_SECOND : GST_SECOND;
      gst_harness_push(h, text(sixty, base, duration));
      gst_harness_push_event(h, gst_event_new_gap(base, GST_SECOND));
      for (const Piece& gap : gaps(h)) EXPECT_LE(gap.end, base) << factory << ": there is a text";
      gst_harness_push(h, text(sixty, base + 2 * GST_SECOND, duration));
      gst_harness_push_event(h, gst_event_new_gap(base + 2 * GST_SECOND, 10 * GST_SECOND));
      std::vector<Piece> p = pieces(h);
      std::erase_if(p, [](const Piece& x) { return x.end == x.start; });  // the document's head
      ASSERT_EQ(p.size(), 2u) << factory;
      EXPECT_EQ(p[0].start, base);
      EXPECT_EQ(p[0].end, base + 2 * GST_SECOND) << factory << ": until the next";
      EXPECT_EQ(p[1].start, base + 2 * GST_SECOND);
      EXPECT_EQ(p[1].end, base + 5 * GST_SECOND) << factory << ": until it is read";
    }
    gst_harness_push(h, text("Held at the end", 50 * GST_SECOND, GST_CLOCK_TIME_NONE));
    std::vector<GstBuffer*> out = h.drain();
    ASSERT_GE(out.size(), 1u);
    EXPECT_NE(bytes(out[0]).find("Held at the end"), std::string::npos);
    EXPECT_EQ(GST_BUFFER_DURATION(out[0]), GST_SECOND);
    unref_all(out);
  }
}

TEST_F(Captions, AFlushForgetsTextWhoseEndIsNotKnown) {
  Harness h("omnicaptionformat", nullptr);
  begin(h);
  gst_harness_push(h, text("to be forgotten", 0, GST_CLOCK_TIME_NONE));
  gst_harness_push_event(h, gst_event_new_flush_start());
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(h, gst_event_new_segment(&segment));
  std::vector<GstBuffer*> out = h.drain();
  EXPECT_EQ(out.size(), 0u);
  unref_all(out);
}

TEST_F(Captions, RollUpWordsWithoutADurationDoNotWait) {
  Harness h("omnicea608enc", nullptr);
  begin(h, "closedcaption/x-cea-608,format=raw,framerate=30/1");
  gst_harness_push(h, text("Word", 0, GST_CLOCK_TIME_NONE));
  gst_harness_push_event(h, gst_event_new_gap(0, GST_SECOND / 2));
  const std::vector<Piece> p = pieces(h);
  EXPECT_TRUE(std::any_of(p.begin(), p.end(), [](const Piece& x) { return x.text == "\x57\xef"; }))
      << "Wo";
}

TEST_F(Captions, PopOnTextWithoutADurationIsReadBeforeItIsErased) {
  Harness h("omnicea608enc", nullptr);
  gst_util_set_object_arg(G_OBJECT(h->element), "mode", "pop-on");
  begin(h, "closedcaption/x-cea-608,format=raw,framerate=30/1");
  gst_harness_push(h, text(std::string(32, 'a'), 3 * GST_SECOND, GST_CLOCK_TIME_NONE));
  gst_harness_push(h, text("Another one.", 8 * GST_SECOND, GST_CLOCK_TIME_NONE));
  gst_harness_push(h, text("At once.", 8 * GST_SECOND + GST_SECOND / 2, GST_CLOCK_TIME_NONE));
  std::vector<GstBuffer*> out = h.drain();
  std::string codes;
  for (size_t i = 1; i < out.size(); ++i) {
    if (bytes(out[i]) != bytes(out[i - 1])) continue;  // control codes come twice
    const std::string code = bytes(out[i]) == "\x94\x2f"   ? "shown"
                             : bytes(out[i]) == "\x94\x2c" ? "erased"
                                                           : "";
    if (!code.empty())
      codes += code + " " + std::to_string(GST_BUFFER_PTS(out[i - 1]) / (GST_SECOND / 10)) + ", ";
  }
  EXPECT_EQ(codes, "shown 30, erased 46, shown 80, shown 85, erased 95, ");
  unref_all(out);
}

// A model's text, and any other, is one cue.
TEST_F(Captions, TextAddsNoCues) {
  Harness h("omnicaptionformat", nullptr);
  begin(h);
  const std::string given = "hi\n\n00:01:00.000 --> 00:02:00.000\nINJECTED";
  gst_harness_push(h, text(given, 0, 2 * GST_SECOND));
  std::vector<GstBuffer*> out = h.drain();
  for (GstBuffer* b : out) {
    EXPECT_EQ(bytes(b).find("-->"), std::string::npos) << bytes(b);
    EXPECT_EQ(bytes(b).find("\n\n"), std::string::npos) << bytes(b);
  }
  unref_all(out);
}

struct Markup {
  std::string text;
  std::vector<std::string> begins;
};

TEST_F(Captions, EbuTtDIsOneDocumentThatParses) {
  Harness h("omniebuttdenc", nullptr);
  begin(h);
  gst_harness_push(h, text("One < two &\nthree", GST_SECOND, GST_SECOND));
  gst_harness_push(h, text("Four", 3 * GST_SECOND, GST_SECOND));
  std::vector<GstBuffer*> out = h.drain();
  std::string all;
  for (GstBuffer* b : out) all += bytes(b);
  unref_all(out);
  Markup found;
  GMarkupParser parser{};
  parser.start_element = [](GMarkupParseContext*, const gchar* name, const gchar** names,
                            const gchar** values, gpointer data, GError**) {
    auto& m = *static_cast<Markup*>(data);
    for (; std::string(name) == "tt:p" && *names; ++names, ++values)
      if (std::string(*names) == "begin") m.begins.push_back(*values);
  };
  parser.text = [](GMarkupParseContext*, const gchar* t, gsize n, gpointer data, GError**) {
    static_cast<Markup*>(data)->text.append(t, n);
  };
  GMarkupParseContext* context =
      g_markup_parse_context_new(&parser, GMarkupParseFlags(0), &found, nullptr);
  GError* error = nullptr;
  EXPECT_TRUE(g_markup_parse_context_parse(context, all.data(), gssize(all.size()), &error) &&
              g_markup_parse_context_end_parse(context, &error))
      << (error ? error->message : "");
  g_clear_error(&error);
  g_markup_parse_context_free(context);
  EXPECT_EQ(found.begins, (std::vector<std::string>{"00:00:01.000", "00:00:03.000"}));
  EXPECT_NE(found.text.find("One < two &three"), std::string::npos);
}

// Whatever a model writes, and however it is cut into words: a file has a cue for each caption and
// none of the model's own.
TEST_F(Captions, NoTextAddsACue) {
  const std::vector<std::string> pieces = {"-",
                                           "--",
                                           ">",
                                           "->",
                                           "-->",
                                           "\n\n",
                                           "\r\r",
                                           "\n",
                                           " ",
                                           "hi",
                                           "ไทย",
                                           "日",
                                           "00:01:00.000 --> 00:02:00.000",
                                           "\xe2\x80\xa9",
                                           "\x85",
                                           "\x1b[2J",
                                           "<b>",
                                           "&"};
  std::mt19937 random(7);
  for (const char* encoder : {"webvttenc", "srtenc"})
    for (int round = 0; round < 40; ++round) {
      GstElement* p = gst_parse_launch(
          (std::string("appsrc name=in format=time caps=text/x-raw,format=utf8 ! omnicaptionformat "
                       "name=f ! ") +
           encoder + " ! fakesink name=out signal-handoffs=true")
              .c_str(),
          nullptr);
      std::vector<GstBuffer*> texts;
      std::string all, file;
      for (GstClockTime i = 0; i < 12; ++i) {
        std::string s;
        for (size_t k = random() % 4; k < 4; ++k) s += pieces[random() % pieces.size()];
        all += s + "|";
        texts.push_back(text(s, i * GST_SECOND / 4, GST_SECOND / 4));
      }
      GstElement *out = gst_bin_get_by_name(GST_BIN(p), "out"),
                 *formatter = gst_bin_get_by_name(GST_BIN(p), "f");
      g_signal_connect(out, "handoff",
                       G_CALLBACK(+[](GstElement*, GstBuffer* b, GstPad*, gpointer f) {
                         *static_cast<std::string*>(f) += bytes(b);
                       }),
                       &file);
      feed(p, texts);
      GstStructure* stats = nullptr;
      g_object_get(formatter, "stats", &stats, nullptr);
      guint64 captions = 0;
      gst_structure_get_uint64(stats, "captions", &captions);
      gst_structure_free(stats);
      gst_object_unref(out);
      gst_object_unref(formatter);
      size_t arrows = 0;
      for (size_t at = 0; (at = file.find("-->", at)) != std::string::npos; ++at) ++arrows;
      ASSERT_EQ(arrows, captions) << all << "\n" << file;
      size_t blocks = 0;
      for (size_t at = 0; (at = file.find("\n\n", at)) != std::string::npos; ++at) ++blocks;
      ASSERT_EQ(blocks, captions + (encoder == std::string("webvttenc"))) << all << "\n" << file;
      ASSERT_EQ(file.find('\x1b'), std::string::npos);
    }
}

// The files of webvttenc and srtenc, read again by subparse.
TEST_F(Captions, SubtitleFilesReadBack) {
  for (const char* encoder : {"srtenc", "webvttenc"}) {
    const std::string file = testing::TempDir() + "captions." + encoder;
    GstElement* p = gst_parse_launch(
        ("appsrc name=in format=time caps=text/x-raw,format=utf8 ! omnicaptionformat ! " +
         std::string(encoder) + " ! filesink location=" + file)
            .c_str(),
        nullptr);
    const std::vector<std::string> words = {"It",    "works.", "Zwölf",  "Boxkämpfer",
                                            "jagen", "Viktor", "quer",   "über",
                                            "den",   "großen", "Sylter", "Deich."};
    std::vector<GstBuffer*> texts;
    for (size_t i = 0; i < words.size(); ++i)
      texts.push_back(text(words[i], i * GST_SECOND / 2, GST_SECOND / 2));
    feed(p, texts);

    std::vector<std::string> read;
    const Outcome o = run(
        "filesrc location=" + file + " ! subparse ! fakesink name=out signal-handoffs=true", kMost,
        [&](GstElement* pipeline) {
          GstElement* sink = gst_bin_get_by_name(GST_BIN(pipeline), "out");
          g_signal_connect(sink, "handoff",
                           G_CALLBACK(+[](GstElement*, GstBuffer* b, GstPad*,
                                          std::vector<std::string>* v) { v->push_back(bytes(b)); }),
                           &read);
          gst_object_unref(sink);
        });
    EXPECT_TRUE(o.eos) << o.error;
    EXPECT_EQ(read, (std::vector<std::string>{
                        "It works.",
                        "Zwölf Boxkämpfer jagen Viktor\nquer über den großen Sylter Deich."}))
        << encoder;
  }
}

}  // namespace
}  // namespace omni_test
