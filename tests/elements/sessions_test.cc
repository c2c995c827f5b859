// The context of omnimodel in a file and out of it: action signals, the property, messages, states.
#include <unistd.h>

#include <fstream>
#include <optional>
#include <vector>

#include "elements/harness.h"

namespace omni_test {
namespace {

constexpr int kFramesOfAChunk = 4;  // at two a second

// Frames by hand, answers from the bus.
class Watching {
 public:
  explicit Watching(const std::string& properties = {}) {
    pipeline_ = gst_parse_launch(
        ("appsrc name=in format=time caps=video/x-raw,format=RGB,width=64,height=48,framerate=2/1 "
         "! "
         "omnivideotokenizer ! m.video_0 omnimodel name=m prompt=What? max-tokens=4 remember=true "
         "temperature=1 model-path=" FIXTURE_A " " +
         properties + " m.text_0 ! fakesink async=false")
            .c_str(),
        nullptr);
    in_ = gst_bin_get_by_name(GST_BIN(pipeline_), "in");
    model_ = gst_bin_get_by_name(GST_BIN(pipeline_), "m");
    bus_ = gst_element_get_bus(pipeline_);
  }
  ~Watching() {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    gst_object_unref(bus_);
    gst_object_unref(model_);
    gst_object_unref(in_);
    gst_object_unref(pipeline_);
  }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;

  void play() { gst_element_set_state(pipeline_, GST_STATE_PLAYING); }
  void stop() { gst_element_set_state(pipeline_, GST_STATE_READY); }
  void emit(const char* signal, const std::string& path) const {
    g_signal_emit_by_name(model_, signal, path.c_str());
  }
  GstElement* model() const { return model_; }

  // Of chunks [begin, end), each of its own brightness; `shift` chunks later.
  void show(int begin, int end, int shift = 0) {
    for (int i = begin * kFramesOfAChunk; i < end * kFramesOfAChunk; ++i) {
      GstBuffer* frame = gst_buffer_new_allocate(nullptr, 64 * 48 * 3, nullptr);
      gst_buffer_memset(frame, 0, guint8(20 + 23 * (i / kFramesOfAChunk)), 64 * 48 * 3);
      GST_BUFFER_PTS(frame) = guint64(i + shift * kFramesOfAChunk) * GST_SECOND / 2;
      GST_BUFFER_DURATION(frame) = GST_SECOND / 2;
      GstFlowReturn flow = GST_FLOW_OK;
      g_signal_emit_by_name(in_, "push-buffer", frame, &flow);
      gst_buffer_unref(frame);
    }
  }
  std::vector<std::string> answers(int n) {
    std::vector<std::string> texts;
    while (int(texts.size()) < n) {
      const auto text = next("omni/answer", "text");
      if (!text) break;
      texts.push_back(*text);
    }
    return texts;
  }
  // A string of the next element message of that name; of a warning or error, its text. Nothing: it
  // never came.
  std::optional<std::string> next(const char* name, const char* field) {
    while (GstMessage* m = gst_bus_timed_pop_filtered(
               bus_, 60 * GST_SECOND,
               GstMessageType(GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR | GST_MESSAGE_WARNING))) {
      std::optional<std::string> found;
      if (gst_message_has_name(m, name)) {
        found = gst_structure_get_string(gst_message_get_structure(m), field);
        gboolean loaded = FALSE;
        gst_structure_get_boolean(gst_message_get_structure(m), "loaded", &loaded);
        was_loaded_ = loaded;
      } else if (GST_MESSAGE_TYPE(m) != GST_MESSAGE_ELEMENT) {
        GError* error = nullptr;
        is_error_ = GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR;
        is_error_ ? gst_message_parse_error(m, &error, nullptr)
                  : gst_message_parse_warning(m, &error, nullptr);
        found = error->message;
        g_error_free(error);
      }
      gst_message_unref(m);
      if (found) return found;
    }
    return std::nullopt;
  }
  bool was_loaded_ = false, is_error_ = false;

 private:
  GstElement *pipeline_, *in_, *model_;
  GstBus* bus_;
};

class Sessions : public GstTest {
 protected:
  Sessions() : path_(std::string(OMNI_BINARY_DIR) + "/session_" + std::to_string(::getpid())) {}
  ~Sessions() override { std::remove(path_.c_str()); }

  void save(Watching& w) const {
    w.emit("save-session", path_);
    EXPECT_EQ(w.next("omni/session", "path"), path_);
    EXPECT_FALSE(w.was_loaded_);
  }
  std::string loading() const { return "load-session=" + path_; }
  // Of six chunks, never interrupted.
  static std::vector<std::string> expected() {
    Watching all;
    all.play();
    all.show(0, 6);
    return all.answers(6);
  }

  const std::string path_;
};

TEST_F(Sessions, GoOnFromAFileAsIfNothingHadComeBetween) {
  const std::vector<std::string> expected = this->expected();
  ASSERT_EQ(expected.size(), 6u);
  std::vector<std::string> said;
  {
    Watching first;
    first.play();
    first.show(0, 3);
    said = first.answers(3);
    save(first);
  }
  for (const int shift : {0, -3, 1000}) {  // another clock
    Watching behind(loading());
    behind.play();
    EXPECT_EQ(behind.next("omni/session", "path"), path_);
    EXPECT_TRUE(behind.was_loaded_);
    behind.show(3, 6, shift);
    std::vector<std::string> all = said;
    for (const std::string& text : behind.answers(3)) all.push_back(text);
    EXPECT_EQ(all, expected) << shift;
  }
}

// While it runs, and anew after READY.
TEST_F(Sessions, AreLoadedInAnyState) {
  const std::vector<std::string> expected = this->expected();
  Watching w;
  w.play();
  w.show(0, 3);
  w.answers(3);
  save(w);
  w.show(3, 6);
  const std::vector<std::string> behind(expected.begin() + 3, expected.end());
  EXPECT_EQ(w.answers(3), behind);
  w.emit("load-session", path_);
  EXPECT_EQ(w.next("omni/session", "path"), path_);
  EXPECT_TRUE(w.was_loaded_);
  w.show(3, 6, 3);
  EXPECT_EQ(w.answers(3), behind);
  w.stop();
  g_object_set(w.model(), "load-session", path_.c_str(), nullptr);
  for (int i = 0; i < 2; ++i) {
    w.play();
    EXPECT_EQ(w.next("omni/session", "path"), path_);
    w.show(3, 6);
    EXPECT_EQ(w.answers(3), behind);
    w.stop();
  }
}

TEST_F(Sessions, AFileThatDoesNotFitIsOneError) {
  std::ofstream(path_) << "nonsense";
  Watching damaged(loading());
  damaged.play();
  EXPECT_NE(damaged.next("omni/session", "path").value_or("").find(path_), std::string::npos);
  EXPECT_TRUE(damaged.is_error_);
  Watching none("load-session=/none/there");
  none.play();
  EXPECT_NE(none.next("omni/session", "path").value_or("").find("/none/there"), std::string::npos);
  EXPECT_TRUE(none.is_error_);
  {
    Watching first;
    first.play();
    first.show(0, 1);
    first.answers(1);
    save(first);
  }
  Watching other("system-prompt=Other. " + loading());
  other.play();
  EXPECT_NE(other.next("omni/session", "path").value_or("").find("system-prompt"),
            std::string::npos);
  EXPECT_TRUE(other.is_error_);
}

// The stream goes on.
TEST_F(Sessions, WhatCannotBeSavedIsAWarning) {
  Watching w;
  w.emit("save-session", path_);  // there is no session
  EXPECT_NE(w.next("omni/session", "path").value_or("").find("not saved"), std::string::npos);
  w.play();
  w.show(0, 1);
  w.answers(1);
  w.emit("save-session", "/none/there");
  const std::string why = w.next("omni/session", "path").value_or("");
  EXPECT_NE(why.find("/none/there"), std::string::npos) << why;
  EXPECT_FALSE(w.is_error_);
  w.show(1, 2);
  EXPECT_EQ(w.answers(1).size(), 1u);
}

}  // namespace
}  // namespace omni_test
