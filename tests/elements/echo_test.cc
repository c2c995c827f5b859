// What leaks from the loudspeaker into the microphone, as in pipelines/talk.pipeline: GStreamer's
// webrtcdsp takes it out, so that an answer does not interrupt itself and who speaks over it still
// does. Piece by piece in one thread: no clock decides.
#include <gst/check/gstharness.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "omni/engine.h"
#include "omni/turn_detector.h"
#include "vad/speech.h"

namespace omni_test {
namespace {

using omni::kSecond;
using omni::Nanoseconds;

constexpr int kRate = 48000, kHeard = 16000;
constexpr size_t kPiece = kRate / 100;
constexpr float k10dB = .316f, k20dB = .1f;           // below the loudspeaker
constexpr Nanoseconds kToldAfter = kSecond * 3 / 10;  // `barge-in-delay`

using Samples = std::vector<float>;

Samples at_48_khz(const Samples& samples, int rate) {
  Samples out;
  const int times = kRate / rate;
  for (size_t i = 0; i < samples.size(); ++i)
    for (int k = 0; k < times; ++k) {
      const float next = i + 1 < samples.size() ? samples[i + 1] : 0;
      out.push_back(samples[i] + (next - samples[i]) * float(k) / float(times));
    }
  return out;
}

// What nano says, and rests of half a second.
const Samples& answer() {
  static const Samples samples = [] {
    const auto engine =
        omni::Engine::open({.model_path = OMNI_SOURCE_DIR "/models/nano", .threads = 2});
    omni::SessionOptions options;
    options.settings.wants_speech = true;
    const auto session = engine->make_session(options);
    Samples all;
    int rate = kRate;
    for (const char* reply : {"Video: red screen. Audio: silence.", "No signal. Eight nine.",
                              "Video: moving ball on black screen."}) {
      session->ask({.text = "?", .reply = reply});
      while (const auto event = session->next()) {
        const auto* u = std::get_if<omni::Utterance>(&event->what);
        if (!u) continue;
        rate = u->speech->sample_rate();
        for (Samples s; !(s = u->speech->read(4800)).empty();)
          all.insert(all.end(), s.begin(), s.end());
        session->put(omni::SpeechEnded{event->turn, omni::SpeechEnd::finished, 0, 0});
        break;
      }
      all.insert(all.end(), size_t(rate) / 2, 0.f);
    }
    return at_48_khz(all, rate);
  }();
  return samples;
}

// The loudspeaker, 60 ms late, and once more off a wall.
Samples leaked(const Samples& sound, float level) {
  Samples out(sound.size());
  for (const auto& [delay, part] : {std::pair(60, level), std::pair(83, .4f * level)})
    for (size_t i = size_t(delay * kRate / 1000); i < out.size(); ++i)
      out[i] += part * sound[i - size_t(delay * kRate / 1000)];
  return out;
}

Samples with(Samples sound, const Samples& voice, size_t at) {
  for (size_t i = 0; i < voice.size() && at + i < sound.size(); ++i) sound[at + i] += voice[i];
  return sound;
}

constexpr const char* kCaps = "audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved";

class Chain {
 public:
  explicit Chain(const char* line) : h_(gst_harness_new_parse(line)) {
    gst_harness_set_src_caps_str(h_, kCaps);
  }
  ~Chain() { gst_harness_teardown(h_); }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  void push(std::span<const float> samples, GstClockTime pts) {
    GstBuffer* b = gst_harness_create_buffer(h_, samples.size() * 2);
    GstMapInfo map;
    gst_buffer_map(b, &map, GST_MAP_WRITE);
    std::transform(samples.begin(), samples.end(), reinterpret_cast<gint16*>(map.data),
                   [](float x) { return gint16(std::lrint(32767 * std::clamp(x, -1.f, 1.f))); });
    gst_buffer_unmap(b, &map);
    GST_BUFFER_PTS(b) = pts;
    GST_BUFFER_DURATION(b) = gst_util_uint64_scale(samples.size(), GST_SECOND, kRate);
    gst_harness_push(h_, b);
  }
  // float32
  Samples pull() {
    Samples out;
    while (GstBuffer* b = gst_harness_try_pull(h_)) {
      const size_t before = out.size(), n = gst_buffer_get_size(b) / sizeof(float);
      out.resize(before + n);
      gst_buffer_extract(b, 0, out.data() + before, n * sizeof(float));
      gst_buffer_unref(b);
    }
    return out;
  }

 private:
  GstHarness* h_;
};

const std::string kToTheDetector =
    "audioconvert ! audioresample ! capsfilter caps=audio/x-raw,format=F32LE,rate=16000";

// As the pipeline has it.
std::string canceller() {
  const std::string line =
      omni::read_text_file(OMNI_SOURCE_DIR "/pipelines/talk.pipeline", size_t{1} << 16);
  const size_t begin = line.find("webrtcdsp ");
  return line.substr(begin, line.find(" !", begin) - begin);
}

// When voices are told of that would interrupt what the loudspeaker says.
std::vector<double> voices(const Samples& loudspeaker, const Samples& microphone, bool cancels) {
  Chain far("webrtcechoprobe name=loudspeaker");
  Chain near(((cancels ? canceller() + " ! " : "") + kToTheDetector).c_str());
  const auto detector = omni::make_turn_detector(kSecond / 2, nullptr, kToldAfter);
  detector->start(0);
  std::vector<double> out;
  size_t n_heard = 0;
  for (size_t at = 0; at + kPiece <= microphone.size(); at += kPiece) {
    const GstClockTime pts = gst_util_uint64_scale(at, GST_SECOND, kRate);
    far.push(std::span(loudspeaker).subspan(at, kPiece), pts);
    far.pull();
    near.push(std::span(microphone).subspan(at, kPiece), pts);
    const Samples heard = near.pull();
    for (const omni::TurnMark& mark : detector->push(heard))
      if (std::holds_alternative<omni::VoiceBegan>(mark.what))
        out.push_back(double(n_heard + mark.at) / kHeard);
    n_heard += heard.size();
  }
  return out;
}

class Echo : public testing::Test {
 protected:
  void SetUp() override {
    GstElementFactory* factory = gst_element_factory_find("webrtcdsp");
    if (!factory) GTEST_SKIP() << "no webrtcdsp here (gst-plugins-bad)";
    gst_object_unref(factory);
  }
};

TEST_F(Echo, AnAnswerThatLeaksDoesNotInterruptItself) {
  for (const float level : {k20dB, k10dB})
    EXPECT_EQ(voices(answer(), leaked(answer(), level), true), std::vector<double>()) << level;
}

TEST_F(Echo, WithoutACancellerItDoes) {
  EXPECT_FALSE(voices(answer(), leaked(answer(), k20dB), false).empty());
}

TEST_F(Echo, WhoSpeaksOverItIsHeard) {
  const double at = 2;
  const Samples voice = at_48_khz(omni::jfk(), kHeard);
  const auto told =
      voices(answer(), with(leaked(answer(), k20dB), voice, size_t(at * kRate)), true);
  ASSERT_FALSE(told.empty());
  EXPECT_GE(told[0], at);
  EXPECT_LE(told[0], at + 1.5);
}

}  // namespace
}  // namespace omni_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gst_init(&argc, &argv);
  g_log_set_always_fatal(GLogLevelFlags(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR));
  return RUN_ALL_TESTS();
}
