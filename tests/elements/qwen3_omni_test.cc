// Qwen3-Omni as a pipeline meets it: raw frames and sound in, text and sound out.
#include <unistd.h>

#include <cstdio>

#include "elements/harness.h"

namespace omni_test {
namespace {

class Qwen3Omni : public GstTest {};

struct Fixture {
  const char *name, *frame_rate;
};
constexpr Fixture kCases[] = {{"a", "2/1"}, {"b", "1/1"}};

std::string folder(const std::string& fixture) {
  return OMNI_SOURCE_DIR "/tests/fixtures/qwen3_omni/" + fixture;
}
std::string model(const std::string& fixture) {
  return "omnimodel name=m trigger=eos precision=float32 temperature=0 max-tokens=16 "
         "system-prompt=\"You watch a live feed.\" model-path=" +
         folder(fixture) + "/checkpoint ";
}
std::string frames(const Fixture& f) {
  return " filesrc location=" + folder(f.name) +
         "/input/video.rgb ! rawvideoparse format=rgb width=168 height=92 framerate=" +
         f.frame_rate + " ! omnivideotokenizer frame-rate=" + f.frame_rate + " ! m.video_0 ";
}
std::string sound(const Fixture& f) {
  return " filesrc location=" + folder(f.name) +
         "/input/audio.wav ! wavparse ! omniaudiotokenizer ! m.audio_0 ";
}

TEST_F(Qwen3Omni, WritesTheReferenceTextFromRawFramesAndSound) {
  const std::string out =
      std::string(OMNI_BINARY_DIR) + "/qwen3_omni_test_" + std::to_string(::getpid()) + ".txt";
  const auto expect_text = [&](const Fixture& f, const std::string& question,
                               const std::string& media, const char* name) {
    const Outcome o = run(model(f.name) + "prompt=\"" + question + "\" " + media +
                          " m.text_0 ! filesink location=" + out);
    EXPECT_TRUE(o.eos) << f.name << ": " << o.error;
    EXPECT_EQ(read_file(out), expected_text("../qwen3_omni/" + std::string(f.name), name))
        << f.name << " " << name;
  };
  for (const Fixture& f : kCases) {
    expect_text(f, "Where is the ball?", frames(f), "video");
    expect_text(f, "What do you hear?", sound(f), "audio");
    expect_text(f, "Describe what you see and hear.", frames(f) + sound(f), "av");
  }
  std::remove(out.c_str());
}

TEST_F(Qwen3Omni, AnswersAloud) {
  const std::string out =
      std::string(OMNI_BINARY_DIR) + "/qwen3_omni_test_" + std::to_string(::getpid()) + ".raw";
  const Outcome o = run(model("speech") + "voice=alto " + " filesrc location=" + folder("speech") +
                        "/input/audio.wav ! wavparse ! omniaudiotokenizer ! m.audio_0 "
                        "m.text_0 ! fakesink m.speech_0 ! filesink location=" +
                        out);
  EXPECT_TRUE(o.eos) << o.error;
  EXPECT_GT(read_file(out).size(), 2000u);
  std::remove(out.c_str());
}

TEST_F(Qwen3Omni, ACheckpointWithoutItsVoiceIsOneError) {
  const Outcome o =
      run(model("b") + sound(kCases[1]) + "m.text_0 ! fakesink m.speech_0 ! fakesink");
  EXPECT_NE(o.error.find("has no voice"), std::string::npos) << o.error;
  EXPECT_EQ(o.error_domain, GST_STREAM_ERROR);
}

}  // namespace
}  // namespace omni_test
