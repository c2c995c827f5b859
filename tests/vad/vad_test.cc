// Voice activity against Silero VAD itself (tests/fixtures/vad,
// tools/fixtures/make_vad_fixture.py).
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "io/json.h"
#include "omni/turn_detector.h"
#include "transcription/voice_gate.h"
#include "vad/speech.h"
#include "vad/speech_segmenter.h"
#include "vad/voice_activity.h"

namespace omni {
namespace {

constexpr int64_t kSpeechSamples = 176000;

std::vector<float> probabilities(const std::vector<float>& samples, size_t piece) {
  VoiceActivity activity;
  std::vector<float> out;
  const auto keep = [&](float p) { out.push_back(p); };
  for (size_t at = 0; at < samples.size(); at += piece)
    activity.push(std::span(samples).subspan(at, std::min(piece, samples.size() - at)), keep);
  activity.finish(keep);
  return out;
}

const Json& reference() {
  static const Json json = Json::parse_file(OMNI_SOURCE_DIR "/tests/fixtures/vad/jfk.json");
  return json;
}

TEST(SileroVad, EveryWindowEqualsTheReference) {
  const std::vector<float> ours = probabilities(jfk(), 160);
  const Json theirs = reference().at("probabilities");
  ASSERT_EQ(ours.size(), theirs.size());
  for (size_t i = 0; i < ours.size(); ++i)
    EXPECT_NEAR(ours[i], theirs.at(i).number(0, 1), 1e-5) << "window " << i;
}

TEST(SileroVad, PiecesOfAnySizeAreTheWhole) {
  const std::vector<float> samples = jfk(), whole = probabilities(samples, samples.size());
  for (const size_t piece : {1u, 511u, 512u, 513u, 4000u})
    EXPECT_EQ(probabilities(samples, piece), whole) << piece;
}

TEST(SileroVad, AFinishedStreamIsForgotten) {
  const std::vector<float> samples = jfk();
  VoiceActivity activity;
  std::vector<float> first, second;
  for (std::vector<float>* out : {&first, &second}) {
    const auto keep = [&](float p) { out->push_back(p); };
    activity.push(std::span(samples).first(50000), keep);
    activity.finish(keep);
  }
  EXPECT_EQ(first.size(), 98u);  // 97.7 windows
  EXPECT_EQ(first, second);
}

TEST(SileroVad, SilenceAndLoudThingsAreNoVoice) {
  std::vector<float> silence(16000), square(16000);
  for (size_t i = 0; i < square.size(); ++i) square[i] = i / 40 % 2 ? 1.f : -1.f;
  for (const auto& samples : {silence, square})
    for (const float p : probabilities(samples, 512)) EXPECT_LT(p, .35f);
}

std::vector<SpeechSegment> segments(const std::vector<float>& p, const SpeechSegmenterOptions& o,
                                    int64_t n) {
  SpeechSegmenter segmenter(o);
  std::vector<SpeechSegment> out;
  for (const float x : p)
    if (const auto s = segmenter.push(x)) out.push_back(*s);
  if (const auto s = segmenter.finish(n)) out.push_back(*s);
  return out;
}

TEST(SpeechSegmenter, FindsWhatTheReferenceFinds) {
  const std::vector<float> p = probabilities(jfk(), 512);
  for (const auto& [name, min_silence] : {std::pair("100", 1600), std::pair("500", 8000)}) {
    const auto found = segments(p, {.min_silence = min_silence}, kSpeechSamples);
    const Json expected = reference().at("segments").at(name);
    ASSERT_EQ(found.size(), expected.size()) << name;
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].start, expected.at(i).integers(0, kSpeechSamples)[0]) << name;
      EXPECT_EQ(found[i].end, expected.at(i).integers(0, kSpeechSamples)[1]) << name;
    }
  }
}

// a window a sample, so that samples count windows
constexpr SpeechSegmenterOptions kByWindow{.window = 1, .min_silence = 3, .min_speech = 2};

TEST(SpeechSegmenter, ThePauseBeginsWithItsFirstUnlikelyWindow) {
  const std::vector<float> p{0, .9f, .9f, .9f, .3f, .4f, .3f, .3f, .9f};
  EXPECT_EQ(segments(p, kByWindow, 9), (std::vector<SpeechSegment>{{1, 4}}));
  // .4 is no voice that goes on, and no silence either
  EXPECT_EQ(segments({.9f, .9f, .9f, .4f, .4f, .4f, .4f, .4f}, kByWindow, 8),
            (std::vector<SpeechSegment>{{0, 8}}));
}

TEST(SpeechSegmenter, AShortPauseIsPartOfIt) {
  const std::vector<float> p{.9f, .9f, 0, 0, 0, .9f, 0, 0, 0, 0};
  EXPECT_EQ(segments(p, kByWindow, 10), (std::vector<SpeechSegment>{{0, 6}}));
}

TEST(SpeechSegmenter, WhatIsTooShortWasNoSpeech) {
  EXPECT_TRUE(segments({.9f, .9f, 0, 0, 0, 0}, kByWindow, 6).empty());
  EXPECT_EQ(segments({.9f, .9f, .9f, 0, 0, 0, 0}, kByWindow, 7),
            (std::vector<SpeechSegment>{{0, 3}}));
  EXPECT_TRUE(segments({0, .9f, .9f}, kByWindow, 3).empty());
}

TEST(SpeechSegmenter, SpeechThatGoesOnIsKnownOnceItIsLongEnough) {
  SpeechSegmenter s(kByWindow);
  for (const float p : {0.f, .9f, .9f}) s.push(p);
  EXPECT_EQ(s.speaking_since(), std::nullopt);
  s.push(.9f);
  EXPECT_EQ(s.speaking_since(), 1);
  for (const float p : {0.f, 0.f, 0.f}) s.push(p);
  EXPECT_EQ(s.speaking_since(), 1);  // the pause may be a short one
  EXPECT_EQ(s.push(0), (SpeechSegment{1, 4}));
  EXPECT_EQ(s.speaking_since(), std::nullopt);
  // a cough and a pause are no speech that goes on
  for (const float p : {.9f, .9f, 0.f, 0.f}) s.push(p);
  EXPECT_EQ(s.speaking_since(), std::nullopt);
}

TEST(VoiceGate, LetsVoicesThroughAndLittleElse) {
  const auto gate = [](const std::function<float(int)>& wave) {
    std::vector<float> samples(32000);
    for (int i = 0; i < 32000; ++i) samples[size_t(i)] = wave(i);
    VoiceGate g;
    g.push(samples);
    return g.may_hold_a_voice(0, 32000);
  };
  uint32_t seed = 1;
  const auto noise = [&] {
    return float(int32_t(seed = seed * 1664525 + 1013904223)) / 2147483648.f;
  };
  const auto sine = [](double f, int i) { return float(std::sin(2 * M_PI * f * i / 16000)); };
  const std::vector<float> voice = jfk();
  EXPECT_FALSE(gate([](int) { return 0.f; })) << "silence";
  EXPECT_FALSE(gate([&](int) { return 1e-4f * noise(); })) << "the noise of a converter";
  EXPECT_FALSE(gate([&](int) { return 0.3f * noise(); })) << "white noise";
  EXPECT_FALSE(gate([&](int i) { return 0.5f * sine(50, i) + 0.2f * sine(150, i); })) << "hum";
  EXPECT_FALSE(gate([&](int i) { return 0.5f * sine(1000, i); })) << "a tone";
  EXPECT_FALSE(gate([&](int i) { return i % 8000 < 800 ? 0.5f * noise() : 0.f; })) << "knocking";
  for (const float level : {1.f, 0.03f, 3.f})
    EXPECT_TRUE(gate([&](int i) { return level * voice[size_t(i)]; })) << "a voice, " << level;
  EXPECT_TRUE(gate([&](int i) { return voice[size_t(i)] + 0.05f * noise(); })) << "in noise";
}

TEST(VoiceGate, SaysWhereTheVoiceIs) {
  std::vector<float> samples(40000);
  const std::vector<float> voice = jfk();
  samples.insert(samples.end(), voice.begin() + 5632, voice.begin() + 35840);
  samples.insert(samples.end(), 40000, 0.f);
  VoiceGate gate;
  for (size_t at = 0; at < samples.size(); at += 1000)
    gate.push(std::span(samples).subspan(at, std::min<size_t>(1000, samples.size() - at)));
  const auto ask = [&](int64_t from, int64_t to) { return gate.may_hold_a_voice(from, to); };
  EXPECT_FALSE(ask(0, 39900));
  EXPECT_TRUE(ask(0, 50000));
  EXPECT_TRUE(ask(50000, 51000));
  EXPECT_FALSE(ask(74000, 110000));
  EXPECT_FALSE(ask(50000, 50000)) << "nothing";
  gate.forget(60000);
  EXPECT_TRUE(ask(60000, 61000));
  EXPECT_FALSE(ask(74000, 110000));
  gate.reset();
  EXPECT_FALSE(ask(0, 110000));
  gate.push(std::span(voice).first(16000));
  EXPECT_TRUE(ask(0, 16000));
}

TEST(VoiceGate, LooksAtTheWindowsOfTheStretch) {
  const std::vector<float> voice = jfk(), p = probabilities(voice, 512);
  VoiceGate gate;
  gate.push(voice);
  constexpr int64_t kWindow = 512, kForgotten = 110;
  const auto expect_all = [&](int64_t from) {
    for (int64_t w = from; w + 1 < int64_t(p.size()); ++w) {
      EXPECT_EQ(gate.may_hold_a_voice(w * kWindow, (w + 1) * kWindow), p[size_t(w)] >= .35f) << w;
      EXPECT_EQ(gate.may_hold_a_voice(w * kWindow + 511, (w + 1) * kWindow + 1),
                std::max(p[size_t(w)], p[size_t(w + 1)]) >= .35f)
          << "the ends of " << w;
    }
  };
  expect_all(0);
  gate.forget(kForgotten * kWindow + 511);
  expect_all(kForgotten);
  gate.forget(kForgotten * kWindow + 512);
  expect_all(kForgotten + 1);
}

struct Heard {
  std::vector<Nanoseconds> began;
  std::vector<TurnEnded> ended;
  std::vector<int64_t> at;  // samples, of every mark
};

Heard listen(const std::vector<float>& samples, size_t piece, Nanoseconds silence,
             Nanoseconds start = 0, Nanoseconds told_after = kShortestVoice) {
  const auto detector = make_turn_detector(silence, nullptr, told_after);
  detector->start(start);
  Heard out;
  for (size_t at = 0; at < samples.size(); at += piece) {
    const size_t n = std::min(piece, samples.size() - at);
    for (const TurnMark& m : detector->push(std::span(samples).subspan(at, n))) {
      EXPECT_GT(m.at, 0u);
      EXPECT_LE(m.at, n);
      out.at.push_back(int64_t(at + m.at));
      if (const auto* began = std::get_if<VoiceBegan>(&m.what))
        out.began.push_back(began->start);
      else
        out.ended.push_back(std::get<TurnEnded>(m.what));
    }
  }
  if (const auto last = detector->finish()) out.ended.push_back(*last);
  return out;
}

Nanoseconds at(int64_t sample) { return sample * kSecond / 16000; }

TEST(TurnDetector, TurnsEndAfterTheirSilence) {
  const Heard h = listen(jfk(), 512, 500 * kSecond / 1000, 10 * kSecond);
  const std::vector<std::pair<int64_t, int64_t>> spoken{
      {5632, 35840}, {52736, 70656}, {86528, 122368}, {131072, 176000}};
  ASSERT_EQ(h.ended.size(), spoken.size());
  ASSERT_EQ(h.began.size(), spoken.size());
  for (size_t i = 0; i < spoken.size(); ++i) {
    EXPECT_EQ(h.began[i], 10 * kSecond + at(spoken[i].first));
    EXPECT_EQ(h.ended[i].speech.start, h.began[i]);
    EXPECT_EQ(h.ended[i].speech.end(), 10 * kSecond + at(spoken[i].second));
    const bool last = i + 1 == spoken.size();
    // known with the window that makes the silence long enough; the last with the stream
    EXPECT_EQ(h.ended[i].time, 10 * kSecond + at(last ? 176000 : spoken[i].second + 8704));
  }
  EXPECT_EQ(h.at[0], 5632 + 4096) << "speech is told of once it is longer than 250 ms";
}

// One that is over before is a turn all the same.
TEST(TurnDetector, AVoiceIsToldOfWhenItHasLasted) {
  const Heard h = listen(jfk(), 512, kSecond / 2, 0, 300 * kSecond / 1000);
  EXPECT_EQ(h.began.size(), 4u);
  EXPECT_EQ(h.at[0], 5632 + 5120) << "the first window behind 300 ms";
  const Heard late = listen(jfk(), 512, kSecond / 2, 0, 1500 * kSecond / 1000);
  EXPECT_EQ(late.ended.size(), 4u);
  EXPECT_EQ(late.began, (std::vector<Nanoseconds>{at(5632), at(86528), at(131072)}))
      << "but for the one of 1.1 s";
  EXPECT_EQ(listen(jfk(), 512, kSecond / 2, 0, 0).at, listen(jfk(), 512, kSecond / 2).at);
}

TEST(TurnDetector, PausesInsideATurnDoNotEndIt) {
  const Heard h = listen(jfk(), 512, 1200 * kSecond / 1000);
  ASSERT_EQ(h.ended.size(), 1u);
  EXPECT_EQ(h.ended[0].speech.start, at(5632));
  EXPECT_EQ(h.ended[0].speech.end(), at(176000));
  EXPECT_EQ(h.began.size(), 1u);
}

TEST(TurnDetector, PiecesOfAnySizeAreTheWhole) {
  const Heard whole = listen(jfk(), kSpeechSamples, kSecond / 2);
  for (const size_t piece : {160u, 511u, 513u, 3000u}) {
    const Heard h = listen(jfk(), piece, kSecond / 2);
    EXPECT_EQ(h.at, whole.at) << piece;
    EXPECT_EQ(h.began, whole.began) << piece;
    ASSERT_EQ(h.ended.size(), whole.ended.size());
    for (size_t i = 0; i < h.ended.size(); ++i) {
      EXPECT_EQ(h.ended[i].speech, whole.ended[i].speech);
      EXPECT_EQ(h.ended[i].time, whole.ended[i].time);
    }
  }
}

TEST(TurnDetector, SilenceHasNoTurns) {
  const Heard h = listen(std::vector<float>(64000), 512, kSecond / 2);
  EXPECT_TRUE(h.began.empty() && h.ended.empty());
  EXPECT_THROW(make_turn_detector(0), Error);
}

}  // namespace
}  // namespace omni
