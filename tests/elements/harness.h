// What the element tests share: GStreamer started once, a bus on a lone element, pipelines run to
// their end.
#pragma once

#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#define FIXTURES OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/"
#define FIXTURE_A FIXTURES "a/checkpoint"
#define NANO OMNI_SOURCE_DIR "/models/nano"

namespace omni_test {

using GstTest = testing::Test;

// How long a test waits for what has to come: far beyond what any takes, on a machine that does
// much else.
constexpr GstClockTime kMost = 300 * GST_SECOND;

// GStreamer runs from before the first test to after the last; the leak tracer reports at its end.
struct GstEnvironment : testing::Environment {
  void SetUp() override {
    // As tools/env does. Scanned in this process: the scanner is a program of its own, without the
    // sanitizer that a build may have.
    g_setenv("GST_PLUGIN_PATH", OMNI_BINARY_DIR "/gstreamer-1.0", TRUE);
    g_setenv("GST_REGISTRY", OMNI_BINARY_DIR "/registry-tests.bin", TRUE);
    g_setenv("GST_REGISTRY_FORK", "no", TRUE);
    gst_init(nullptr, nullptr);
    g_log_set_always_fatal(GLogLevelFlags(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR));
  }
  void TearDown() override { gst_deinit(); }
};

inline std::string read_file(const std::string& path) {
  std::stringstream s;
  s << std::ifstream(path, std::ios::binary).rdbuf();
  return s.str();
}

// A harness whose element posts to a bus of its own.
class Harness {
 public:
  explicit Harness(const char* factory, const char* model = FIXTURE_A) : bus(gst_bus_new()) {
    GstElement* e = gst_element_factory_make(factory, nullptr);
    gst_element_set_bus(e, bus);
    if (model) g_object_set(e, "model-path", model, nullptr);
    h = gst_harness_new_with_element(e, "sink", "src");
    gst_object_unref(e);
  }
  ~Harness() {
    gst_element_set_bus(h->element, nullptr);
    gst_harness_teardown(h);
    gst_object_unref(bus);
  }
  GstHarness* operator->() const { return h; }
  operator GstHarness*() const { return h; }

  // Text of the first error; empty if none comes.
  std::string error(GQuark* domain = nullptr, int* code = nullptr, GstClockTime wait = kMost) {
    GstMessage* m = gst_bus_timed_pop_filtered(bus, wait, GST_MESSAGE_ERROR);
    if (!m) return {};
    GError* e = nullptr;
    gst_message_parse_error(m, &e, nullptr);
    const std::string text = e->message;
    if (domain) *domain = e->domain;
    if (code) *code = e->code;
    g_error_free(e);
    gst_message_unref(m);
    return text;
  }
  // Offers caps that the element may refuse (gst_harness_set_src_caps would abort).
  void offer_caps(const char* text) {
    gst_harness_push_event(h, gst_event_new_stream_start("test"));
    GstCaps* caps = gst_caps_from_string(text);
    gst_harness_push_event(h, gst_event_new_caps(caps));
    gst_caps_unref(caps);
  }
  // Pulls buffers until EOS has come and the task is done.
  std::vector<GstBuffer*> drain() {
    gst_harness_push_event(h, gst_event_new_eos());
    std::vector<GstBuffer*> out;
    for (;;) {
      while (GstBuffer* b = gst_harness_try_pull(h)) out.push_back(b);
      GstEvent* e = gst_harness_try_pull_event(h);
      const bool eos = e && GST_EVENT_TYPE(e) == GST_EVENT_EOS;
      if (e)
        gst_event_unref(e);
      else
        g_usleep(1000);
      if (eos) break;
    }
    while (GstBuffer* b = gst_harness_try_pull(h)) out.push_back(b);
    return out;
  }

  GstHarness* h;
  GstBus* bus;
};

// What the meta GstOmniAnswerMeta of a buffer says, read as an application reads it; nothing where
// there is none.
struct AnswerMeta {
  std::string question;
  guint64 media_start = 0, media_duration = 0, turn = 0;
  bool operator==(const AnswerMeta&) const = default;
};
inline std::optional<AnswerMeta> answer_of(GstBuffer* b) {
  GstCustomMeta* meta = gst_buffer_get_custom_meta(b, "GstOmniAnswerMeta");
  if (!meta) return std::nullopt;
  const GstStructure* s = gst_custom_meta_get_structure(meta);
  AnswerMeta a{gst_structure_get_string(s, "question")};
  EXPECT_TRUE(gst_structure_get_uint64(s, "media-start", &a.media_start));
  EXPECT_TRUE(gst_structure_get_uint64(s, "media-duration", &a.media_duration));
  EXPECT_TRUE(gst_structure_get_uint64(s, "turn", &a.turn));
  return a;
}
inline void add_answer(GstBuffer* b, const AnswerMeta& a) {
  GstCustomMeta* meta = gst_buffer_add_custom_meta(b, "GstOmniAnswerMeta");
  gst_structure_set(gst_custom_meta_get_structure(meta), "question", G_TYPE_STRING,
                    a.question.c_str(), "media-start", G_TYPE_UINT64, a.media_start,
                    "media-duration", G_TYPE_UINT64, a.media_duration, "turn", G_TYPE_UINT64,
                    a.turn, nullptr);
}

inline void unref_all(std::vector<GstBuffer*>& v) {
  for (GstBuffer* b : v) gst_buffer_unref(b);
  v.clear();
}

struct Outcome {
  bool eos = false, timed_out = false;
  std::string error;
  int error_code = 0;
  GQuark error_domain = 0;
  std::vector<std::string> answers;  // of the element messages omni/answer
  std::vector<GstClockTime> times;
  std::vector<std::string> warnings;
};

// Parses a launch line, lets `setup` at it, runs it to EOS or error, or until there are `enough`
// answers (or for `most`), and takes it down.
inline Outcome run(const std::string& launch, GstClockTime most = kMost,
                   const std::function<void(GstElement*)>& setup = {},
                   const std::function<void(GstElement*)>& before_end = {},
                   size_t enough = SIZE_MAX) {
  Outcome o;
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch(launch.c_str(), &error);
  if (!pipeline || error) {
    o.error = error ? error->message : "no pipeline";
    if (error) g_error_free(error);
    if (pipeline) gst_object_unref(pipeline);
    return o;
  }
  if (setup) setup(pipeline);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus* bus = gst_element_get_bus(pipeline);
  const gint64 end = g_get_monotonic_time() + gint64(most / 1000);
  while (!o.eos && o.error.empty() && !o.timed_out && o.answers.size() < enough) {
    const gint64 left = end - g_get_monotonic_time();
    GstMessage* m = left > 0 ? gst_bus_timed_pop(bus, GstClockTime(left) * 1000) : nullptr;
    if (!m) {
      o.timed_out = true;
      break;
    }
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_EOS) o.eos = true;
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR) {
      GError* e = nullptr;
      gst_message_parse_error(m, &e, nullptr);
      o.error = e->message, o.error_code = e->code, o.error_domain = e->domain;
      g_error_free(e);
    }
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_WARNING) {
      GError* e = nullptr;
      gst_message_parse_warning(m, &e, nullptr);
      o.warnings.push_back(e->message);
      g_error_free(e);
    }
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ELEMENT && gst_message_has_name(m, "omni/answer")) {
      const GstStructure* s = gst_message_get_structure(m);
      guint64 time = 0;
      gst_structure_get_uint64(s, "running-time", &time);
      o.answers.push_back(gst_structure_get_string(s, "text"));
      o.times.push_back(time);
    }
    gst_message_unref(m);
  }
  if (before_end) before_end(pipeline);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(bus);
  gst_object_unref(pipeline);
  return o;
}

// "text" of one case of a fixture's expected.json, without a JSON library.
inline std::string expected_text(const std::string& fixture, const std::string& name) {
  const std::string all = read_file(FIXTURES + fixture + "/expected.json");
  size_t at = all.find("\"" + name + "\": {");
  at = all.find("\"text\": \"", at) + 9;
  std::string out;
  for (; all[at] != '"'; ++at) {
    if (all[at] != '\\') {
      out += all[at];
      continue;
    }
    const char c = all[++at];
    if (c == 'n')
      out += '\n';
    else if (c == 't')
      out += '\t';
    else if (c == 'r')
      out += '\r';
    // control characters only
    else if (c == 'u')
      out += char(std::stoi(all.substr(at + 1, 4), nullptr, 16)), at += 4;
    else
      out += c;
  }
  return out;
}

}  // namespace omni_test
