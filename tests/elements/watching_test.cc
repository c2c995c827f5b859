// omnimodel with trigger=event: what leaves, at which frame, and that time goes on where nothing
// does.
#include <mutex>
#include <vector>

#include "elements/harness.h"

namespace omni_test {
namespace {

class Watching : public GstTest {
 protected:
  struct Told {
    std::vector<std::string> texts;
    std::vector<GstClockTime> starts, ends;
    GstClockTime until = 0;  // of texts and GAPs, none of which leaves anything out
    bool has_hole = false;
    int n_gaps = 0;
    std::mutex lock;
  };

  // Test pictures one after the other, each for so many tenths of a second.
  static std::string feed(const std::vector<std::pair<const char*, int>>& scenes) {
    std::string line = "concat name=c ! omnivideotokenizer model-path=" NANO " ! m.video_0 ";
    for (const auto& [pattern, n] : scenes)
      line += "videotestsrc pattern=" + std::string(pattern) + " num-buffers=" + std::to_string(n) +
              " ! video/x-raw,format=RGB,width=320,height=180,framerate=10/1 ! c. ";
    return line;
  }
  static GstPadProbeReturn note(GstPad*, GstPadProbeInfo* info, gpointer data) {
    auto& told = *static_cast<Told*>(data);
    std::lock_guard guard(told.lock);
    GstClockTime start = 0, duration = 0;
    if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER) {
      GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
      GstMapInfo map;
      gst_buffer_map(buffer, &map, GST_MAP_READ);
      told.texts.emplace_back(reinterpret_cast<char*>(map.data), map.size);
      gst_buffer_unmap(buffer, &map);
      start = GST_BUFFER_PTS(buffer);
      duration = GST_BUFFER_DURATION(buffer);
      told.starts.push_back(start);
      told.ends.push_back(start + duration);
    } else if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_GAP) {
      gst_event_parse_gap(GST_PAD_PROBE_INFO_EVENT(info), &start, &duration);
      ++told.n_gaps;
    } else {
      return GST_PAD_PROBE_OK;
    }
    told.has_hole |= start > told.until;
    told.until = start + duration;
    return GST_PAD_PROBE_OK;
  }
  static void watch(Told& told, const std::string& properties, const std::string& feed) {
    const Outcome o = run(
        "omnimodel name=m trigger=event model-path=" NANO " " + properties +
            " m.text_0 ! fakesink name=out sync=false " + feed,
        120 * GST_SECOND, [&](GstElement* p) {
          GstElement* sink = gst_bin_get_by_name(GST_BIN(p), "out");
          GstPad* pad = gst_element_get_static_pad(sink, "sink");
          gst_pad_add_probe(
              pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
              note, &told, nullptr);
          gst_object_unref(pad);
          gst_object_unref(sink);
        });
    EXPECT_TRUE(o.eos) << o.error;
  }
};

TEST_F(Watching, EachChangeIsOneTextAtItsFrame) {
  Told told;
  watch(told, "", feed({{"red", 60}, {"blue", 70}, {"smpte", 50}, {"green", 90}, {"ball", 60}}));
  EXPECT_EQ(told.texts, (std::vector<std::string>{"Video: blue screen.", "Video: SMPTE color bars.",
                                                  "Video: green screen.",
                                                  "Video: moving ball on black screen."}));
  const GstClockTime half = GST_SECOND / 2;  // the second frame of the first pair
  EXPECT_EQ(told.starts,
            (std::vector<GstClockTime>{6 * GST_SECOND + half, 13 * GST_SECOND + half,
                                       18 * GST_SECOND + half, 27 * GST_SECOND + half}));
  EXPECT_EQ(told.ends, (std::vector<GstClockTime>{8 * GST_SECOND, 14 * GST_SECOND, 20 * GST_SECOND,
                                                  28 * GST_SECOND}));
  EXPECT_FALSE(told.has_hole);
  EXPECT_EQ(told.until, 33 * GST_SECOND);
}

TEST_F(Watching, WhereNothingChangesTimeGoesOn) {
  Told told;
  watch(told, "", feed({{"smpte", 200}}));
  EXPECT_TRUE(told.texts.empty());
  EXPECT_GE(told.n_gaps, 10);  // a chunk each
  EXPECT_FALSE(told.has_hole);
  EXPECT_EQ(told.until, 20 * GST_SECOND);
}

TEST_F(Watching, WhatSaysNothingNewIsAProperty) {
  Told told;
  watch(told, "nothing-new=\"video: blue screen\"", feed({{"red", 60}, {"blue", 60}, {"red", 60}}));
  EXPECT_EQ(told.texts, (std::vector<std::string>{"Video: red screen."}));
}

}  // namespace
}  // namespace omni_test
