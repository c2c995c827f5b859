// trigger=turn from sound to text: who has finished speaking is answered.
#include "elements/harness.h"

#define JFK OMNI_SOURCE_DIR "/examples/media/jfk.wav"

namespace omni_test {
namespace {

class Turn : public GstTest {};

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

TEST_F(Turn, OtherTriggersAreAsBefore) {
  const Answers a = answers("omniaudiotokenizer turn-silence=100", "trigger=chunk");
  ASSERT_EQ(a.pts.size(), 6u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(a.pts[i], i * 2 * GST_SECOND);
}

}  // namespace
}  // namespace omni_test
