// trigger=turn from sound to text: who has finished speaking is answered.
#include "elements/harness.h"

#define JFK OMNI_SOURCE_DIR "/examples/media/jfk.wav"

namespace omni_test {
namespace {

class Turn : public GstTest {};

std::vector<std::string> turns_of(GstElement* model) {
  GValue array = G_VALUE_INIT;
  g_value_init(&array, GST_TYPE_ARRAY);
  g_object_get_property(G_OBJECT(model), "turns", &array);
  std::vector<std::string> answers;
  for (guint i = 0; i < gst_value_array_get_size(&array); ++i)
    answers.emplace_back(gst_structure_get_string(
        gst_value_get_structure(gst_value_array_get_value(&array, i)), "answer"));
  g_value_unset(&array);
  return answers;
}

struct Answers {
  std::vector<GstClockTime> pts, end;
};

GstPadProbeReturn note(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto& a = *static_cast<Answers*>(data);
  GstBuffer* b = GST_PAD_PROBE_INFO_BUFFER(info);
  a.pts.push_back(GST_BUFFER_PTS(b));
  a.end.push_back(GST_BUFFER_PTS(b) + GST_BUFFER_DURATION(b));
  return GST_PAD_PROBE_OK;
}

Answers answers(const std::string& tokenizer, const std::string& model) {
  Answers a;
  const Outcome o =
      run("filesrc location=" JFK " ! wavparse ! " + tokenizer +
              " ! omnimodel model-path=" NANO " max-tokens=4 " + model + " ! fakesink name=out",
          120 * GST_SECOND, [&](GstElement* p) {
            GstElement* sink = gst_bin_get_by_name(GST_BIN(p), "out");
            GstPad* pad = gst_element_get_static_pad(sink, "sink");
            gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, note, &a, nullptr);
            gst_object_unref(pad);
            gst_object_unref(sink);
          });
  EXPECT_TRUE(o.eos) << o.error;
  return a;
}

// The speech ends at 2.24, 4.416, 7.648 and 11 s; its pauses are of 1.06, .99 and .54 s.
TEST_F(Turn, WhoHasFinishedIsAnswered) {
  const Answers a = answers("omniaudiotokenizer", "trigger=turn");
  const std::vector<double> ends{2.24 + 0.544, 4.416 + 0.544, 7.648 + 0.544, 11};
  ASSERT_EQ(a.end.size(), ends.size());
  for (size_t i = 0; i < ends.size(); ++i)
    EXPECT_NEAR(double(a.end[i]) / GST_SECOND, ends[i], 0.05) << i;
}

TEST_F(Turn, TheSilenceIsAProperty) {
  EXPECT_EQ(answers("omniaudiotokenizer turn-silence=800 ! queue", "trigger=turn").end.size(), 3u);
  EXPECT_EQ(answers("omniaudiotokenizer turn-silence=1500", "trigger=turn").end.size(), 1u);
}

#define TURN_MODEL OMNI_SOURCE_DIR "/tests/fixtures/turns/checkpoint"

// The model says of no pause that the turn is over (tests/vad/turn_model_test.cc), and all are
// shorter than 3 times `turn-silence`, until that is shorter itself.
TEST_F(Turn, AModelSaysWhoGoesOn) {
  const std::string tokenizer = "omniaudiotokenizer turn-model-path=" TURN_MODEL;
  const Answers a = answers(tokenizer, "trigger=turn");
  ASSERT_EQ(a.end.size(), 1u);
  EXPECT_NEAR(double(a.end[0]) / GST_SECOND, 11, 0.05);
  const Answers b = answers(tokenizer + " turn-silence=300", "trigger=turn");
  ASSERT_EQ(b.end.size(), 3u);
  EXPECT_NEAR(double(b.end[0]) / GST_SECOND, 2.24 + 0.96, 0.05);
}

TEST_F(Turn, AModelThatIsNotThereIsAnError) {
  const auto error = [](const char* trigger) {
    return run("filesrc location=" JFK
               " ! wavparse ! omniaudiotokenizer turn-model-path=nowhere ! omnimodel "
               "model-path=" NANO " max-tokens=4 trigger=" +
                   std::string(trigger) + " ! fakesink",
               120 * GST_SECOND)
        .error;
  };
  EXPECT_NE(error("turn").find("turn-model-path nowhere: "), std::string::npos) << error("turn");
  EXPECT_EQ(error("chunk"), "") << "turns are nobody's business";
}

TEST_F(Turn, OtherTriggersAreAsBefore) {
  const Answers a = answers("omniaudiotokenizer turn-silence=100", "trigger=chunk");
  ASSERT_EQ(a.pts.size(), 6u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(a.pts[i], i * 2 * GST_SECOND);
}

// The turns of a conversation stay, and are what the answers were.
TEST_F(Turn, TurnsAreRememberedWhereAsked) {
  for (const bool remember : {false, true}) {
    std::vector<std::string> answers, remembered;
    const Outcome o =
        run("filesrc location=" JFK
            " ! wavparse ! omniaudiotokenizer ! omnimodel name=m model-path=" NANO
            " max-tokens=4 trigger=turn " +
                std::string(remember ? "context-duration=60 remember=true" : "") +
                " ! fakesink name=out",
            120 * GST_SECOND, [&](GstElement* p) {
              GstElement* sink = gst_bin_get_by_name(GST_BIN(p), "out");
              GstPad* pad = gst_element_get_static_pad(sink, "sink");
              struct Told {
                std::vector<std::string>& answers;
                std::vector<std::string>& remembered;
                GstElement* model;
              };
              auto* told = new Told{answers, remembered, gst_bin_get_by_name(GST_BIN(p), "m")};
              gst_pad_add_probe(
                  pad, GST_PAD_PROBE_TYPE_BUFFER,
                  [](GstPad*, GstPadProbeInfo* info, gpointer data) {
                    auto& t = *static_cast<Told*>(data);
                    GstMapInfo map;
                    gst_buffer_map(GST_PAD_PROBE_INFO_BUFFER(info), &map, GST_MAP_READ);
                    t.answers.emplace_back(reinterpret_cast<char*>(map.data), map.size);
                    gst_buffer_unmap(GST_PAD_PROBE_INFO_BUFFER(info), &map);
                    t.remembered = turns_of(t.model);
                    return GST_PAD_PROBE_OK;
                  },
                  told,
                  [](gpointer data) {
                    gst_object_unref(static_cast<Told*>(data)->model);
                    delete static_cast<Told*>(data);
                  });
              gst_object_unref(pad);
              gst_object_unref(sink);
            });
    EXPECT_TRUE(o.eos) << o.error;
    EXPECT_EQ(answers.size(), 4u);
    remembered.resize(std::min(remembered.size(), answers.size()));
    EXPECT_EQ(remembered, remember ? answers : std::vector<std::string>());
  }
}

}  // namespace
}  // namespace omni_test
