// The source pad of texts, without an element around it.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "streams/gstomnioutput.h"

namespace omni_test {
namespace {

constexpr GstClockTime kS = GST_SECOND;
constexpr std::chrono::minutes kLongest(1);

// An output, and who is behind its pad: writes down what comes. Times are in ms.
class Rig {
 public:
  explicit Rig(GstOmniOutput::Kind kind = GstOmniOutput::Kind::text) {
    gst_pad_set_element_private(sink_, this);
    gst_pad_set_chain_function(sink_, receive);
    gst_pad_set_event_function(sink_, note);
    gst_pad_link(src_, sink_);
    gst_pad_set_active(sink_, TRUE);
    gst_pad_set_active(src_, TRUE);
    output = std::make_unique<GstOmniTextOutput>(src_, kind);
    output->set_active(true);
  }
  ~Rig() {
    output->set_active(false);
    gst_pad_set_active(src_, FALSE);
    gst_pad_set_active(sink_, FALSE);
    gst_object_unref(src_);
    gst_object_unref(sink_);
  }
  // All that came since the last call, once `last` has, or what there is if it never comes.
  std::string up_to(const std::string& last) {
    std::unique_lock lock(lock_);
    changed_.wait_for(lock, kLongest, [&] { return log_.ends_with(last); });
    return std::exchange(log_, "");
  }

  std::unique_ptr<GstOmniTextOutput> output;

 private:
  void write(const std::string& what) {
    std::lock_guard guard(lock_);
    log_ += (log_.empty() ? "" : " ") + what;
    changed_.notify_all();
  }
  static std::string span(GstClockTime start, GstClockTime duration) {
    return ":" + std::to_string(start / GST_MSECOND) + "-" +
           std::to_string((start + duration) / GST_MSECOND);
  }
  static GstFlowReturn receive(GstPad* pad, GstObject*, GstBuffer* buffer) {
    std::string text(gst_buffer_get_size(buffer), 0);
    gst_buffer_extract(buffer, 0, text.data(), text.size());
    text += span(GST_BUFFER_PTS(buffer), GST_BUFFER_DURATION(buffer));
    if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_MARKER)) text += "!";
    gst_buffer_unref(buffer);
    static_cast<Rig*>(gst_pad_get_element_private(pad))->write(text);
    return GST_FLOW_OK;
  }
  static gboolean note(GstPad* pad, GstObject*, GstEvent* event) {
    std::string text = GST_EVENT_TYPE_NAME(event);
    GstClockTime start = 0, duration = 0;
    if (GST_EVENT_TYPE(event) == GST_EVENT_GAP) {
      gst_event_parse_gap(event, &start, &duration);
      text += span(start, duration);
    }
    if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT) {
      const GstSegment* segment = nullptr;
      gst_event_parse_segment(event, &segment);
      text += ":" + std::to_string(segment->base / GST_MSECOND);
    }
    gst_event_unref(event);
    static_cast<Rig*>(gst_pad_get_element_private(pad))->write(text);
    return TRUE;
  }

  GstPad *src_ = gst_pad_new("src", GST_PAD_SRC), *sink_ = gst_pad_new("sink", GST_PAD_SINK);
  std::mutex lock_;
  std::condition_variable changed_;
  std::string log_;
};

constexpr const char* kHead = "stream-start caps segment:0 ";

struct Received {
  std::mutex lock;
  std::condition_variable changed;
  std::vector<std::string> texts;
  std::vector<BufferPtr> buffers;
};

GstFlowReturn keep(GstPad* pad, GstObject*, GstBuffer* buffer) {
  auto& r = *static_cast<Received*>(gst_pad_get_element_private(pad));
  GstMapInfo map;
  gst_buffer_map(buffer, &map, GST_MAP_READ);
  std::lock_guard guard(r.lock);
  r.texts.emplace_back(reinterpret_cast<const char*>(map.data), map.size);
  r.changed.notify_all();
  gst_buffer_unmap(buffer, &map);
  r.buffers.emplace_back(buffer);
  return GST_FLOW_OK;
}

// What leaves the pad of an output that is used so, `n` buffers.
template <class Use>
void with_output(GstOmniOutput::Kind kind, size_t n, Received& received, const Use& use) {
  GstPad *src = gst_pad_new("src", GST_PAD_SRC), *sink = gst_pad_new("sink", GST_PAD_SINK);
  gst_pad_set_element_private(sink, &received);
  gst_pad_set_chain_function(sink, keep);
  gst_pad_link(src, sink);
  gst_pad_set_active(sink, TRUE);
  gst_pad_set_active(src, TRUE);
  {
    GstOmniTextOutput output(src, kind);
    output.set_active(true);
    use(output);
    std::unique_lock lock(received.lock);
    received.changed.wait(lock, [&] { return received.texts.size() == n; });
    lock.unlock();
    output.set_active(false);
  }
  gst_pad_set_active(src, FALSE);
  gst_pad_set_active(sink, FALSE);
  gst_object_unref(src);
  gst_object_unref(sink);
}

TEST(TextOutput, AModelsTextIsOneCue) {
  Rig text;
  text.output->push_result("hi\n\n00:01:00.000 --> 00:02:00.000\nINJECTED", 0, kS);
  text.output->push_result("two\nlines", kS, kS);
  EXPECT_EQ(text.up_to("lines:1000-2000"),
            std::string(kHead) +
                "hi\n00:01:00.000 -- > 00:02:00.000\nINJECTED:0-1000 "
                "two\nlines:1000-2000");
  Rig spatial(GstOmniOutput::Kind::spatial);
  spatial.output->push_result("{\"label\":\"-->\"}\n", 0, kS);
  EXPECT_EQ(spatial.up_to("-1000"), std::string(kHead) + "{\"label\":\"-->\"}\n:0-1000");
}

TEST(TextOutput, ATextOfNothingButSpaceIsAGap) {
  Rig r;
  for (const char* blank : {"", "\n", " \t\r\n\n "}) r.output->push_result(blank, kS, kS);
  r.output->push_piece("\n", 2 * kS, kS, true, {});
  EXPECT_EQ(r.up_to("!"), std::string(kHead) + "gap:0-2000 \n:2000-3000!");
}

TEST(TextOutput, ResultsFollowOneAnotherAndGapsFillTheRest) {
  Rig r;
  EXPECT_EQ(r.output->push_result("a", kS, 2 * kS), kS);
  EXPECT_EQ(r.output->push_result("b", 2 * kS, 3 * kS), 3 * kS) << "behind what is there";
  EXPECT_EQ(r.output->push_result("c", kS, kS), 5 * kS) << "its time is over";
  r.output->push_gap(4 * kS);
  r.output->push_gap(8 * kS);
  r.output->push_result("d", 8 * kS, kS);
  r.output->push_eos();
  EXPECT_EQ(r.up_to("eos"), std::string(kHead) +
                                "gap:0-1000 a:1000-3000 b:3000-5000 c:5000-6000 gap:6000-8000 "
                                "d:8000-9000 eos");
}

TEST(TextOutput, BehindAFlushTimeBeginsAnew) {
  Rig r;
  r.output->push_result("a", 0, 5 * kS);
  EXPECT_EQ(r.up_to("a:0-5000"), std::string(kHead) + "a:0-5000");
  r.output->flush_start(gst_event_new_flush_start());
  r.output->push_result("void", 5 * kS, kS);
  r.output->flush_stop(gst_event_new_flush_stop(TRUE));
  r.output->push_result("b", 0, kS);
  EXPECT_EQ(r.up_to("b:0-1000"), "flush-start flush-stop segment:0 b:0-1000");
}

TEST(TextOutput, LatenessIsTheBaseOfTheNextSegment) {
  Rig r;
  r.output->push_result("a", 0, kS);
  r.up_to("a:0-1000");
  for (int i = 0; i < 2; ++i) r.output->set_lateness(500 * GST_MSECOND);
  r.output->push_result("b", kS, kS);
  r.output->set_lateness(500 * GST_MSECOND);
  r.output->push_result("c", 2 * kS, kS);
  EXPECT_EQ(r.up_to("c:2000-3000"), "segment:500 b:1000-2000 c:2000-3000");
}

TEST(TextOutput, TheLastPieceIsMarked) {
  Rig r;
  r.output->push_piece("On", 0, kS, false, {});
  r.output->push_piece("e", kS, kS, true, {});
  EXPECT_EQ(r.up_to("!"), std::string(kHead) + "On:0-1000 e:1000-2000!");
}

TEST(TextOutput, ATextSaysWhatItAnswersWhereverItsTimeIs) {
  gst_init(nullptr, nullptr);
  const GstOmniAnswered first{"What?", 0, 2 * GST_SECOND, 3},
      second{"Where?", GST_SECOND, GST_SECOND, 4};
  Received received;
  with_output(GstOmniOutput::Kind::text, 2, received, [&](GstOmniTextOutput& output) {
    output.push_result("A ball.", 0, 2 * GST_SECOND, &first);
    output.push_piece("Here.", GST_SECOND, GST_SECOND, true, second);
  });
  GstBuffer* moved = received.buffers.at(1).get();
  EXPECT_EQ(GST_BUFFER_PTS(moved), 2 * GST_SECOND) << "behind the answer before";
  const GstStructure* s =
      gst_custom_meta_get_structure(gst_buffer_get_custom_meta(moved, kGstOmniAnswerMeta));
  guint64 start = 0, duration = 0, turn = 0;
  gst_structure_get(s, "media-start", G_TYPE_UINT64, &start, "media-duration", G_TYPE_UINT64,
                    &duration, "turn", G_TYPE_UINT64, &turn, nullptr);
  EXPECT_STREQ(gst_structure_get_string(s, "question"), "Where?");
  EXPECT_EQ(start, GST_SECOND);
  EXPECT_EQ(duration, GST_SECOND);
  EXPECT_EQ(turn, 4u);
  EXPECT_TRUE(gst_omni_has_answer(received.buffers.at(0).get()));
}

}  // namespace
}  // namespace omni_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gst_init(nullptr, nullptr);
  g_log_set_always_fatal(GLogLevelFlags(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR));
  return RUN_ALL_TESTS();
}
