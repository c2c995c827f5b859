// The source pad of texts, without an element around it.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "streams/gstomnioutput.h"

namespace omni_test {
namespace {

struct Received {
  std::mutex lock;
  std::condition_variable changed;
  std::vector<std::string> texts;
  std::vector<BufferPtr> buffers;
};

GstFlowReturn receive(GstPad* pad, GstObject*, GstBuffer* buffer) {
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
  gst_pad_set_chain_function(sink, receive);
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

std::vector<std::string> pushed(GstOmniOutput::Kind kind, const std::vector<std::string>& results) {
  Received received;
  with_output(kind, results.size(), received, [&](GstOmniTextOutput& output) {
    for (const std::string& r : results) output.push_result(r, 0, GST_SECOND);
  });
  return received.texts;
}

TEST(TextOutput, AModelsTextIsOneCue) {
  gst_init(nullptr, nullptr);
  const std::string answer = "hi\n\n00:01:00.000 --> 00:02:00.000\nINJECTED";
  EXPECT_EQ(
      pushed(GstOmniOutput::Kind::text, {answer, "two\nlines"}),
      (std::vector<std::string>{"hi\n00:01:00.000 -- > 00:02:00.000\nINJECTED", "two\nlines"}));
  EXPECT_EQ(pushed(GstOmniOutput::Kind::spatial, {"{\"label\":\"-->\"}\n"}),
            (std::vector<std::string>{"{\"label\":\"-->\"}\n"}));
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
