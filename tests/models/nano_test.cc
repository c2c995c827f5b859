// What nano says of what it was not made for: that it is that, and nothing invented.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "omni/engine.h"

namespace omni {
namespace {

constexpr int kWidth = 640, kHeight = 360, kRate = 16000;
constexpr size_t kChunk = 2 * kRate;  // samples

const Engine& nano() {
  static const auto engine =
      Engine::open({.model_path = OMNI_SOURCE_DIR "/models/nano", .precision = Precision::float32});
  return *engine;
}

// A chunk of 2 s of a feed that has both tracks: four pictures a second's half apart, 8-bit RGB of
// kWidth x kHeight, black from number `shown` on, or none; and samples at kRate, or none.
std::vector<std::string> answers(const std::vector<uint8_t>& picture,
                                 const std::vector<float>& samples,
                                 const std::vector<std::string>& questions, int shown = 4) {
  const std::vector<uint8_t> black(picture.size());
  SessionOptions options;
  options.system_prompt = nano().defaults().system_prompt.value_or("");
  options.settings.has_video = options.settings.has_audio = true;
  options.settings.sampling.max_tokens = 60;
  options.most_waiting = SIZE_MAX;
  const auto session = nano().make_session(options);
  const auto video = nano().make_video_tokenizer({});
  for (int i = 0; i < 4 && !picture.empty(); ++i)
    if (auto segment = video->push({PixelFormat::rgb,
                                    kWidth,
                                    kHeight,
                                    {(i < shown ? picture : black).data(), nullptr, nullptr},
                                    {kWidth * 3, 0, 0},
                                    ColourMatrix::bt601,
                                    false,
                                    i * kSecond / 2}))
      session->put(std::move(*segment));
  if (auto segment = picture.empty() ? std::nullopt : video->finish())
    session->put(std::move(*segment));
  session->put(TrackEnded{Track::video});
  const auto audio = nano().make_audio_tokenizer({});
  audio->start(0);
  for (Segment& segment : audio->push(samples)) session->put(std::move(segment));
  for (Segment& segment : audio->finish()) session->put(std::move(segment));
  session->put(TrackEnded{Track::audio});
  std::vector<std::string> out;
  for (const std::string& question : questions)
    out.push_back(ask_and_wait(*session, {question}).text);
  return out;
}

// Samples of a WAVE file of 16-bit samples, one channel, kRate.
std::vector<float> wave(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t begin = bytes.find("data") + 8;
  std::vector<float> out((bytes.size() - begin) / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    int16_t sample;
    std::memcpy(&sample, bytes.data() + begin + 2 * i, 2);
    out[i] = float(sample) / 32768;
  }
  return out;
}

// A square in the middle of a plain ground.
std::vector<uint8_t> square(std::array<uint8_t, 3> fill, std::array<uint8_t, 3> ground) {
  std::vector<uint8_t> out;
  for (int y = 0; y < kHeight; ++y)
    for (int x = 0; x < kWidth; ++x) {
      const bool inside = std::abs(x - kWidth / 2) < 80 && std::abs(y - kHeight / 2) < 80;
      out.insert(out.end(), inside ? fill.begin() : ground.begin(),
                 inside ? fill.end() : ground.end());
    }
  return out;
}

// A page: lines of dark strokes of many lengths on white, a dark bar above them.
std::vector<uint8_t> page() {
  std::vector<uint8_t> out(size_t(kWidth) * kHeight * 3, 255);
  const auto fill = [&](int left, int top, int width, int height, uint8_t grey) {
    for (int y = top; y < top + height; ++y)
      std::fill_n(&out[size_t(y * kWidth + left) * 3], width * 3, grey);
  };
  fill(0, 0, kWidth, 30, 60);
  for (int line = 0; line < 14; ++line)
    for (int x = 20, word = 0; x < 560; x += 12 + word % 45, ++word)
      fill(x, 50 + line * 21, 4 + (word * 29 + line * 13) % (8 + word % 45), 9, 40);
  return out;
}

TEST(Nano, SpeechInOtherWordsIsSpeech) {
  const auto all = wave(OMNI_SOURCE_DIR "/examples/media/jfk.wav");
  for (size_t at = 0; at + kChunk <= all.size(); at += kChunk)
    EXPECT_EQ(answers({}, {all.data() + at, all.data() + at + kChunk}, {"What do you hear?"}),
              std::vector<std::string>{"speech."})
        << at / kRate << " s";
}

TEST(Nano, APictureThatItWasNeverTaughtHasNoObjects) {
  EXPECT_EQ(
      answers(page(), std::vector<float>(kChunk),
              {"What does the video show?", "Detect all objects.", "Describe the feed."}),
      (std::vector<std::string>{"other picture.", "[]", "Video: other picture. Audio: silence."}));
}

// Pictures are looked at in pairs, and of such a pair one half is black.
TEST(Nano, AnObjectThatIsSeenForHalfASecondIsNamed) {
  const auto said = [](std::array<uint8_t, 3> fill, std::array<uint8_t, 3> ground) {
    return answers(square(fill, ground), std::vector<float>(kChunk), {"What does the video show?"},
                   1)
        .front();
  };
  EXPECT_EQ(said({255, 255, 255}, {255, 0, 0}), "square on red screen, black from 0.5 s.");
  EXPECT_EQ(said({255, 0, 0}, {0, 255, 0}), "square on green screen, black from 0.5 s.");
  EXPECT_EQ(said({255, 255, 255}, {0, 0, 255}), "square on blue screen, black from 0.5 s.");
}

TEST(Nano, InventsNothingForATrackThatHasNothing) {
  EXPECT_EQ(answers({}, std::vector<float>(kChunk), {"Describe the feed."}),
            std::vector<std::string>{"Audio: silence."});
  EXPECT_EQ(answers(page(), {}, {"Describe the feed."}),
            std::vector<std::string>{"Video: other picture."});
}

}  // namespace
}  // namespace omni
