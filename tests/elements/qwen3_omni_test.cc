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

// A harness is live unless it says otherwise.
TEST_F(Qwen3Omni, LiveSoundIsATokenBufferASecond) {
  const std::string checkpoint = folder("a") + "/checkpoint";
  for (const bool live : {true, false}) {
    Harness h("omniaudiotokenizer", checkpoint.c_str());
    gst_harness_set_live(h, live);
    gst_harness_set_src_caps_str(
        h, "audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved");
    for (int i = 0; i < 15; ++i) {
      GstBuffer* b = gst_buffer_new_allocate(nullptr, 1600 * 4, nullptr);
      gst_buffer_memset(b, 0, 0, 1600 * 4);
      GST_BUFFER_PTS(b) = GstClockTime(i) * 100 * GST_MSECOND;
      gst_harness_push(h, b);
    }
    if (live) {
      GstBuffer* second = gst_harness_pull(h);
      ASSERT_TRUE(second) << "a second that has ended waits for more";
      EXPECT_EQ(GST_BUFFER_PTS(second), 0u);
      EXPECT_EQ(GST_BUFFER_DURATION(second), GST_SECOND);
      gst_buffer_unref(second);
    }
    const std::vector<GstBuffer*> rest = h.drain();
    ASSERT_EQ(rest.size(), live ? 1u : 2u);
    EXPECT_EQ(GST_BUFFER_PTS(rest.back()), GST_SECOND);
    for (GstBuffer* b : rest) gst_buffer_unref(b);
  }
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
