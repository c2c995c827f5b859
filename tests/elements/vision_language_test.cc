// Checkpoints that see and do not hear, as a pipeline meets them.
#include <unistd.h>

#include <cstdio>

#include "elements/harness.h"

namespace omni_test {
namespace {

class VisionLanguage : public GstTest {};

struct Fixture {
  const char *name, *frame_rate, *tokenizer = "", *model = "";  // properties
};
// Of "b" the rate is what its video processor asks for, and sampling what its generation_config
// asks for.
// The pixels of a whole video are those of its five frames.
constexpr Fixture kCases[] = {
    {"qwen2_5_vl/a", "1/1"},
    {"qwen2_5_vl/b", ""},
    {"qwen2_vl/a", "1/1"},
    {"qwen2_vl/b", ""},
    {"qwen3_vl/a", "1/1", "max-pixels=8000 "},
    {"qwen3_vl/b", "", "min-pixels=20000 max-pixels=80000 ", "temperature=0 "},
    {"qwen3_vl_moe/a", "1/1", "max-pixels=8000 "},
    {"qwen3_vl_moe/b", "", "min-pixels=20000 max-pixels=80000 ", "temperature=0 "}};

std::string checkpoint(const std::string& fixture) {
  return OMNI_SOURCE_DIR "/tests/fixtures/" + fixture + "/checkpoint";
}

TEST_F(VisionLanguage, WritesTheReferenceTextFromRawFrames) {
  const std::string out =
      std::string(OMNI_BINARY_DIR) + "/vision_language_test_" + std::to_string(::getpid()) + ".txt";
  for (const Fixture& f : kCases) {
    const std::string name = f.name, rate = f.frame_rate;
    const Outcome o = run(
        "omnimodel name=m trigger=eos precision=float32 max-tokens=16 " + std::string(f.model) +
        "system-prompt=\"You watch a live feed.\" prompt=\"Describe what you see.\" model-path=" +
        checkpoint(name) + " filesrc location=" OMNI_SOURCE_DIR "/tests/fixtures/" + name +
        "/input/video.rgb ! rawvideoparse format=rgb width=168 height=92 framerate=" +
        (rate.empty() ? "2/1" : rate) + " ! omnivideotokenizer " + f.tokenizer +
        (rate.empty() ? "" : "frame-rate=" + rate) +
        " ! m.video_0 m.text_0 ! filesink location=" + out);
    EXPECT_TRUE(o.eos) << name << ": " << o.error;
    EXPECT_EQ(read_file(out), expected_text("../" + name, "video")) << name;
  }
  std::remove(out.c_str());
}

// The frames of the fixtures, a second apart, among three others each: evenly spread ones of the
// whole recording. Of Qwen2-VL they may lie as far apart as they like, and are whole pairs: the
// fifth comes twice, as its processor repeats it. Of Qwen3-VL the last is the end.
TEST_F(VisionLanguage, LooksAtSoManyFramesOfARecording) {
  const std::string scratch =
      std::string(OMNI_BINARY_DIR) + "/frames_test_" + std::to_string(::getpid());
  constexpr size_t kFrame = 168 * 92 * 3;
  struct Case {
    const char *name, *rate;
    size_t n_behind;  // others behind the last
  };
  for (const auto& [name, rate, n_behind] :
       {Case{"qwen2_5_vl/a", "4/1", 3}, {"qwen2_vl/a", "4/7", 3}, {"qwen3_vl/a", "4/1", 0}}) {
    const std::string frames =
        read_file(OMNI_SOURCE_DIR "/tests/fixtures/" + std::string(name) + "/input/video.rgb");
    const size_t n_stored = frames.size() / kFrame, n = n_behind == 0 ? n_stored : n_stored + 1;
    std::string whole;
    for (size_t i = 0; i < n; ++i)
      whole += frames.substr(std::min(i, n_stored - 1) * kFrame, kFrame) +
               std::string((i + 1 < n ? 3 : n_behind) * kFrame, char(40 * i));
    ASSERT_TRUE(g_file_set_contents((scratch + ".rgb").c_str(), whole.data(), gssize(whole.size()),
                                    nullptr));
    const Outcome made =
        run("filesrc location=" + scratch +
            ".rgb ! rawvideoparse format=rgb width=168 height=92 framerate=" + rate +
            " ! matroskamux ! filesink location=" + scratch + ".mkv");
    ASSERT_TRUE(made.eos) << made.error;
    const Outcome o =
        run("omnimodel name=m trigger=eos precision=float32 max-tokens=16 "
            "system-prompt=\"You watch a live feed.\" prompt=\"Describe what you see.\" "
            "model-path=" +
            checkpoint(name) + " filesrc location=" + scratch +
            ".mkv ! matroskademux ! omnivideotokenizer frames=" + std::to_string(n) +
            " ! m.video_0 m.text_0 ! filesink location=" + scratch + ".txt");
    EXPECT_TRUE(o.eos) << name << ": " << o.error;
    EXPECT_EQ(read_file(scratch + ".txt"), expected_text("../" + std::string(name), "video"))
        << name;
  }
  for (const char* suffix : {".rgb", ".mkv", ".txt"}) std::remove((scratch + suffix).c_str());
}

TEST_F(VisionLanguage, FramesOfWhatHasNoEndAreRefused) {
  const Outcome o =
      run("videotestsrc ! omnivideotokenizer frames=8 model-path=" + checkpoint("qwen2_vl/a") +
          " ! fakesink");
  EXPECT_NE(o.error.find("frames=8 are spread over a recording whose duration is known"),
            std::string::npos)
      << o.error;
}

// The text of the one warning that asking for a pad posts.
std::string refusal(const char* factory, const char* pad, const std::string& model_path) {
  GstElement* e = gst_element_factory_make(factory, nullptr);
  GstBus* bus = gst_bus_new();
  gst_element_set_bus(e, bus);
  g_object_set(e, "model-path", model_path.c_str(), nullptr);
  EXPECT_EQ(gst_element_request_pad_simple(e, pad), nullptr);
  std::string said;
  if (GstMessage* m = gst_bus_pop_filtered(bus, GST_MESSAGE_WARNING)) {
    GError* error = nullptr;
    gst_message_parse_warning(m, &error, nullptr);
    said = error->message;
    g_error_free(error);
    gst_message_unref(m);
  }
  gst_element_set_bus(e, nullptr);
  gst_object_unref(bus);
  gst_object_unref(e);
  return said;
}

TEST_F(VisionLanguage, AudioIsRefusedWhenItIsAskedFor) {
  for (const char* name : {"qwen2_vl/a", "qwen2_5_vl/a", "qwen3_vl/a", "qwen3_vl_moe/a"}) {
    const std::string folder = checkpoint(name),
                      says = folder + " takes no audio: it takes video and images and writes text";
    EXPECT_EQ(refusal("omnimodel", "audio_%u", folder), says);
    EXPECT_EQ(refusal("omnibin", "sink_audio", folder), says);
  }
}

TEST_F(VisionLanguage, ATokenizerOfAudioSaysWhatTheCheckpointTakes) {
  const Outcome o = run("audiotestsrc num-buffers=10 ! omniaudiotokenizer model-path=" +
                        checkpoint("qwen2_5_vl/a") + " ! fakesink");
  EXPECT_NE(o.error.find("takes no audio: it takes video and images"), std::string::npos)
      << o.error;
}

}  // namespace
}  // namespace omni_test
