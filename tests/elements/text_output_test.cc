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
};

GstFlowReturn receive(GstPad* pad, GstObject*, GstBuffer* buffer) {
  auto& r = *static_cast<Received*>(gst_pad_get_element_private(pad));
  GstMapInfo map;
  gst_buffer_map(buffer, &map, GST_MAP_READ);
  std::lock_guard guard(r.lock);
  r.texts.emplace_back(reinterpret_cast<const char*>(map.data), map.size);
  r.changed.notify_all();
  gst_buffer_unmap(buffer, &map);
  gst_buffer_unref(buffer);
  return GST_FLOW_OK;
}

std::vector<std::string> pushed(GstOmniOutput::Kind kind, const std::vector<std::string>& results) {
  Received received;
  GstPad *src = gst_pad_new("src", GST_PAD_SRC), *sink = gst_pad_new("sink", GST_PAD_SINK);
  gst_pad_set_element_private(sink, &received);
  gst_pad_set_chain_function(sink, receive);
  gst_pad_link(src, sink);
  gst_pad_set_active(sink, TRUE);
  gst_pad_set_active(src, TRUE);
  {
    GstOmniTextOutput output(src, kind);
    output.set_active(true);
    for (const std::string& r : results) output.push_result(r, 0, GST_SECOND);
    std::unique_lock lock(received.lock);
    received.changed.wait(lock, [&] { return received.texts.size() == results.size(); });
    lock.unlock();
    output.set_active(false);
  }
  gst_pad_set_active(src, FALSE);
  gst_pad_set_active(sink, FALSE);
  gst_object_unref(src);
  gst_object_unref(sink);
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

}  // namespace
}  // namespace omni_test
