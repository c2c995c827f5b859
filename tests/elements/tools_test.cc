// Tools of omnimodel and omnibin: calls on the bus, as a signal and on a pad; results by a signal
// and on a pad; results that do not come.
#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "elements/harness.h"

namespace omni_test {
namespace {

constexpr const char* kCheckpoint = OMNI_SOURCE_DIR "/tests/fixtures/qwen3_omni/tools/checkpoint";
constexpr const char* kTools =
    R"([{"type":"function","function":{"name":"show","parameters":{"type":"object","properties":)"
    R"({"camera":{"type":"string","enum":["door","yard"]}},"required":["camera"]}}}])";

struct Call {
  std::string id, name, arguments;
  guint64 turn = 0;
  bool operator==(const Call&) const = default;
};

// A pipeline with an element `m` that has tools; messages from the bus.
class Calling {
 public:
  explicit Calling(const std::string& description, const char* tools = kTools,
                   const char* checkpoint = kCheckpoint)
      : pipeline_(gst_parse_launch(description.c_str(), nullptr)),
        model_(gst_bin_get_by_name(GST_BIN(pipeline_), "m")),
        bus_(gst_element_get_bus(pipeline_)) {
    g_object_set(model_, "tools", tools, "model-path", checkpoint, "max-tokens", 64, nullptr);
    g_signal_connect(model_, "tool-call", G_CALLBACK(on_call), this);
  }
  ~Calling() {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    for (gpointer o : {gpointer(bus_), gpointer(model_), gpointer(pipeline_)}) gst_object_unref(o);
  }
  Calling(const Calling&) = delete;
  Calling& operator=(const Calling&) = delete;

  void play() { gst_element_set_state(pipeline_, GST_STATE_PLAYING); }
  GstElement* model() const { return model_; }
  GstElement* element(const char* name) const {
    GstElement* e = gst_bin_get_by_name(GST_BIN(pipeline_), name);
    gst_object_unref(e);  // the pipeline has it
    return e;
  }
  void ask() const { g_signal_emit_by_name(model_, "ask", "Do it."); }
  bool answer(const std::string& id, const char* result) const {
    gboolean taken = FALSE;
    g_signal_emit_by_name(model_, "tool-result", id.c_str(), result, &taken);
    return taken;
  }
  // The next message of these types; of elements, of that name.
  GstMessage* next(GstMessageType types, const char* name = nullptr) {
    while (GstMessage* m =
               gst_bus_timed_pop_filtered(bus_, kMost, GstMessageType(types | GST_MESSAGE_ERROR))) {
      if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR && !(types & GST_MESSAGE_ERROR)) {
        ADD_FAILURE() << text_of(m);
        gst_message_unref(m);
        return nullptr;
      }
      if (GST_MESSAGE_TYPE(m) != GST_MESSAGE_ELEMENT || gst_message_has_name(m, name)) return m;
      gst_message_unref(m);
    }
    return nullptr;
  }
  Call next_call() {
    GstMessage* m = next(GST_MESSAGE_ELEMENT, "omni/tool-call");
    if (!m) return {};
    const GstStructure* s = gst_message_get_structure(m);
    Call call{gst_structure_get_string(s, "id"), gst_structure_get_string(s, "name"),
              gst_structure_get_string(s, "arguments")};
    gst_structure_get_uint64(s, "turn", &call.turn);
    gst_message_unref(m);
    return call;
  }
  std::string next_answer() {
    GstMessage* m = next(GST_MESSAGE_ELEMENT, "omni/answer");
    if (!m) return {};
    const std::string text = gst_structure_get_string(gst_message_get_structure(m), "text");
    gst_message_unref(m);
    return text;
  }
  // Of a warning or an error.
  std::string next_text(GstMessageType type) {
    GstMessage* m = next(type);
    const std::string text = m ? text_of(m) : "";
    if (m) gst_message_unref(m);
    return text;
  }
  std::vector<Call> signalled() {
    std::lock_guard guard(lock_);
    return signalled_;
  }

 private:
  static std::string text_of(GstMessage* m) {
    GError* e = nullptr;
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR)
      gst_message_parse_error(m, &e, nullptr);
    else
      gst_message_parse_warning(m, &e, nullptr);
    const std::string text = e->message;
    g_error_free(e);
    return text;
  }
  static void on_call(GstElement*, const gchar* id, const gchar* name, const gchar* arguments,
                      guint64 turn, gpointer data) {
    auto* self = static_cast<Calling*>(data);
    std::lock_guard guard(self->lock_);
    self->signalled_.push_back({id, name, arguments, turn});
  }

  GstElement *pipeline_, *model_;
  GstBus* bus_;
  std::mutex lock_;
  std::vector<Call> signalled_;
};

struct Pulled {
  std::string text;
  GstClockTime pts = GST_CLOCK_TIME_NONE, duration = GST_CLOCK_TIME_NONE;
};
Pulled pull(GstElement* sink) {
  GstSample* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(sink), kMost);
  if (!sample) return {};
  GstBuffer* buffer = gst_sample_get_buffer(sample);
  Pulled out{{}, GST_BUFFER_PTS(buffer), GST_BUFFER_DURATION(buffer)};
  GstMapInfo map;
  gst_buffer_map(buffer, &map, GST_MAP_READ);
  out.text.assign(reinterpret_cast<const char*>(map.data), map.size);
  gst_buffer_unmap(buffer, &map);
  gst_sample_unref(sample);
  return out;
}

const std::string kModel = "omnimodel name=m trigger=manual m.text_0 ! fakesink async=false ";

void expect_shows_a_camera(const Call& call) {
  EXPECT_EQ(call.name, "show");
  EXPECT_TRUE(
      call.arguments == R"({"camera":"door"})" || call.arguments == R"({"camera":"yard"})" ||
      call.arguments == R"({"camera": "door"})" || call.arguments == R"({"camera": "yard"})")
      << call.arguments;
}

TEST(Tools, ACallIsToldAndItsResultAnswered) {
  Calling p(kModel);
  p.play();
  p.ask();
  const Call call = p.next_call();
  expect_shows_a_camera(call);
  EXPECT_EQ(call.turn, 1u);
  EXPECT_TRUE(p.answer(call.id, R"({"ok": true})"));
  const std::string answer = p.next_answer();
  EXPECT_NE(answer, "");
  EXPECT_EQ(answer.find("camera"), std::string::npos) << "a call is no text";
  EXPECT_EQ(p.signalled(), std::vector<Call>{call});
  EXPECT_FALSE(p.answer(call.id, "again"));
  EXPECT_NE(p.next_text(GST_MESSAGE_WARNING).find("were not taken"), std::string::npos);
  GstStructure* stats = nullptr;
  g_object_get(p.model(), "stats", &stats, nullptr);
  guint64 n = 0;
  EXPECT_TRUE(gst_structure_get_uint64(stats, "tool-calls", &n));
  EXPECT_EQ(n, 1u);
  gst_structure_free(stats);
}

TEST(Tools, NoResultIsTakenWhereNothingRuns) {
  Calling p(kModel);
  EXPECT_FALSE(p.answer("call_1", "1"));
}

void answer_at_once(GstElement* m, const gchar* id, const gchar*, const gchar*, guint64, gpointer) {
  gboolean taken = FALSE;
  g_signal_emit_by_name(m, "tool-result", id, "1", &taken);
  EXPECT_TRUE(taken);
}

// A buffer a call, with the time of the media that the answer is about. They are answered from
// within the signal.
TEST(Tools, CallsLeaveOnAPadInTheTimeOfTheirTurn) {
  Calling p(
      "videotestsrc num-buffers=40 ! video/x-raw,format=RGB,width=64,height=64,framerate=2/1 ! "
      "omnivideotokenizer ! m.video_0 omnimodel name=m prompt=What? temperature=1 m.text_0 ! "
      "fakesink "
      "async=false "
      "m.tool_0 ! appsink name=tool wait-on-eos=false async=false sync=false");
  g_signal_connect(p.model(), "tool-call", G_CALLBACK(answer_at_once), nullptr);
  p.play();
  GstMessage* end = p.next(GST_MESSAGE_EOS);
  ASSERT_TRUE(end);
  gst_message_unref(end);
  const std::vector<Call> calls = p.signalled();
  ASSERT_GE(calls.size(), 2u);
  for (const Call& call : calls) {
    const Pulled told = pull(p.element("tool"));
    EXPECT_EQ(told.text, "{\"id\": \"" + call.id + "\", \"name\": \"show\", \"arguments\": " +
                             call.arguments + ", \"turn\": " + std::to_string(call.turn) + "}\n");
    EXPECT_EQ(told.pts, (call.turn - 1) * GST_SECOND) << "a chunk of the family a turn";
    EXPECT_EQ(told.duration, GST_SECOND);
  }
}

void push(GstElement* src, const std::string& text) {
  GstBuffer* b = gst_buffer_new_memdup(text.data(), text.size());
  gst_app_src_push_buffer(GST_APP_SRC(src), b);
}

TEST(Tools, ResultsComeOnAPadOfTheBin) {
  Calling p(
      "omnibin name=m trigger=manual m.src_text ! fakesink async=false "
      "m.src_tool ! appsink name=tool async=false sync=false "
      "appsrc name=results caps=application/json format=time ! m.sink_tool");
  p.play();
  p.ask();
  const Call call = p.next_call();
  expect_shows_a_camera(call);
  EXPECT_NE(pull(p.element("tool")).text.find(call.id), std::string::npos);
  push(p.element("results"), "no JSON");
  EXPECT_NE(p.next_text(GST_MESSAGE_WARNING).find("a tool result"), std::string::npos);
  push(p.element("results"), R"({"id": "call_99", "result": 1})");
  EXPECT_NE(p.next_text(GST_MESSAGE_WARNING).find("were not taken"), std::string::npos);
  push(p.element("results"), "{\"id\": \"" + call.id + "\", \"result\": {\"ok\": true}}");
  EXPECT_NE(p.next_answer(), "");
  EXPECT_EQ(p.signalled(), std::vector<Call>{call});
  gst_app_src_end_of_stream(GST_APP_SRC(p.element("results")));
  p.ask();
  EXPECT_TRUE(p.answer(p.next_call().id, "2")) << "the end of results is not that of the model";
  EXPECT_NE(p.next_answer(), "");
}

TEST(Tools, AResultThatNeverComesIsAWarningAndTheEndComes) {
  Calling p(
      "appsrc name=in caps=text/x-raw,format=utf8 format=time ! m.prompt_0 omnimodel name=m "
      "tool-timeout=50 m.text_0 ! fakesink async=false");
  p.play();
  push(p.element("in"), "Do it.");
  gst_app_src_end_of_stream(GST_APP_SRC(p.element("in")));
  EXPECT_NE(p.next_text(GST_MESSAGE_WARNING).find("within `tool-timeout`"), std::string::npos);
  GstMessage* end = p.next(GST_MESSAGE_EOS);
  EXPECT_TRUE(end);
  if (end) gst_message_unref(end);
}

TEST(Tools, AnElementStopsWhileACallWaits) {
  Calling p(kModel);
  g_object_set(p.model(), "tool-timeout", 0u, nullptr);
  p.play();
  p.ask();
  const Call call = p.next_call();
  g_signal_emit_by_name(p.model(), "interrupt");
  p.next_answer();
  EXPECT_FALSE(p.answer(call.id, "late"));
  p.ask();
  p.next_call();
}

TEST(Tools, WhatCannotBeIsOneError) {
  {
    Calling p(kModel, kTools, FIXTURE_A);
    p.play();
    EXPECT_EQ(p.next_text(GST_MESSAGE_ERROR),
              "tools: this checkpoint's family has no template for tools");
  }
  Calling p(kModel, R"([{"type":"function"}])");
  p.play();
  EXPECT_NE(p.next_text(GST_MESSAGE_ERROR).find("tools[0]"), std::string::npos);
}

TEST(Tools, PadsOfCallsAndResultsComeAndGo) {
  GstElement* m = gst_element_factory_make("omnimodel", nullptr);
  for (int round = 0; round < 2; ++round)
    for (const char* name : {"tool_%u", "tool_sink_%u", "tool_7", "tool_sink_9"}) {
      GstPad* pad = gst_element_request_pad_simple(m, name);
      ASSERT_TRUE(pad) << name;
      const std::string got = GST_PAD_NAME(pad);
      EXPECT_TRUE(got.starts_with(std::string(name).substr(0, std::string(name).find('%')))) << got;
      gst_element_release_request_pad(m, pad);
      gst_object_unref(pad);
    }
  gst_object_unref(m);
}

}  // namespace
}  // namespace omni_test
