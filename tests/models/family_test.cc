// Families as facets: what a checkpoint has and lacks, where a segment stands in time, how a frame
// is cut.
#include <gtest/gtest.h>

#include <string>

#include "models/registry.h"
#include "omni/engine.h"

namespace omni {
namespace {

const std::string kFixtures = OMNI_SOURCE_DIR "/tests/fixtures/";
const std::string kThinker = kFixtures + "qwen2_5_omni/c/checkpoint",
                  kSpeaks = OMNI_SOURCE_DIR "/models/nano",
                  kWhisper = kFixtures + "whisper/checkpoint";

Family load(const std::string& checkpoint) {
  return load_family({checkpoint, Precision::float32}, {});
}

template <class Call>
void expect_refusal(const Call& call, const std::string& says) {
  try {
    call();
    ADD_FAILURE() << "no error: " << says;
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(ErrorCode::unsupported));
    EXPECT_EQ(e.what(), says);
  }
}

Segment segment(Modality modality, Nanoseconds start, int n_tokens) {
  Segment s;
  s.modality = modality, s.n_tokens = s.grid_t = n_tokens, s.start = start;
  return s;
}

TEST(Family, HasTheFacetsOfItsCheckpoint) {
  const Family thinker = load(kThinker);
  EXPECT_TRUE(thinker.prompter && thinker.text && thinker.vision && thinker.audio);
  EXPECT_EQ(thinker.load_voice, nullptr) << "a Thinker alone";
  EXPECT_EQ(thinker.recogniser, nullptr);
  EXPECT_NE(load(kSpeaks).load_voice, nullptr);
  const Family whisper = load(kWhisper);
  EXPECT_TRUE(whisper.recogniser);
  EXPECT_FALSE(whisper.prompter || whisper.text || whisper.vision || whisper.audio);
  EXPECT_EQ(whisper.load_voice, nullptr);
}

TEST(Family, TheEngineNamesWhatACheckpointLacks) {
  const auto whisper = Engine::open({.model_path = kWhisper, .threads = 1});
  const std::string only = kWhisper + " transcribes and does nothing else: use omnitranscriber";
  expect_refusal([&] { whisper->hidden(); }, only);
  expect_refusal([&] { whisper->chunk_duration(); }, only);
  expect_refusal([&] { whisper->make_video_tokenizer({}); }, only);
  expect_refusal([&] { whisper->make_audio_tokenizer({}); }, only);
  expect_refusal([&] { whisper->make_session({}); }, only);
  expect_refusal([&] { whisper->load_speech(); }, only);
  expect_refusal([&] { whisper->voices(); }, only);
  const auto thinker = Engine::open({.model_path = kThinker, .threads = 1});
  expect_refusal([&] { thinker->make_transcriber({}); },
                 kThinker + " is no transcriber: use omnimodel");
  expect_refusal([&] { thinker->make_speech({}); },
                 kThinker + " has no voice: it holds no Talker and Token2Wav");
}

// 25 positions a second: a frame counts as soon as its time has begun, audio to the nearest.
TEST(Prompter, MediaStandAtTheirTimeInTheRun) {
  const Family family = load(kThinker);
  const Prompter& prompter = *family.prompter;
  const auto first = [&](Modality modality, Nanoseconds start) {
    Cursor cursor;
    cursor.run_base = 100;
    return prompter.media(cursor, segment(modality, start, 1), kSecond).positions[0];
  };
  constexpr Nanoseconds kMs = kSecond / 1000;
  EXPECT_EQ(first(Modality::video, 2 * kSecond), (Position{125, 100, 100}));
  EXPECT_EQ(first(Modality::video, 2 * kSecond + 38 * kMs), (Position{125, 100, 100}));
  EXPECT_EQ(first(Modality::video, 2 * kSecond - kMs / 2), (Position{125, 100, 100}));
  EXPECT_EQ(first(Modality::video, 2 * kSecond + 40 * kMs), (Position{126, 100, 100}));
  EXPECT_EQ(first(Modality::audio, 2 * kSecond + 19 * kMs), (Position{125, 125, 125}));
  EXPECT_EQ(first(Modality::audio, 2 * kSecond + 21 * kMs), (Position{126, 126, 126}));
  EXPECT_EQ(first(Modality::video, 0), (Position{100, 100, 100})) << "before the run";
  EXPECT_EQ(first(Modality::audio, 0), (Position{100, 100, 100}));
  Cursor cursor;
  const LaneShift shift = prompter.rebase(cursor, {.time = 2 * kSecond});
  EXPECT_EQ(shift[size_t(Lane::text)], (Position{0, 0, 0}));
  EXPECT_EQ(shift[size_t(Lane::vision)], (Position{50, 0, 0}));
  EXPECT_EQ(shift[size_t(Lane::audio)], (Position{50, 50, 50}));
}

TEST(VisionEncoder, AFrameIsCutIntoWholeTokens) {
  const Family family = load(kThinker);
  const VisionSpec& spec = family.vision->spec();
  const int64_t token = int64_t{spec.layout.patch} * spec.layout.merge;
  const PixelLimits limits{4 * token * token, 64 * token * token};
  for (const PictureSize source : {PictureSize{1080, 1920}, {33, 47}, {480, 64}}) {
    const ImagePlan plan = family.vision->plan(source, limits);
    EXPECT_EQ(plan.size.height, plan.tokens_h * token);
    EXPECT_EQ(plan.size.width, plan.tokens_w * token);
    EXPECT_EQ(plan.grid_h, plan.tokens_h * spec.layout.merge);
    EXPECT_EQ(plan.grid_w, plan.tokens_w * spec.layout.merge);
    EXPECT_EQ(plan.patch_size,
              int64_t{3} * spec.temporal_patch * spec.layout.patch * spec.layout.patch);
    EXPECT_GE(plan.tokens_h * plan.tokens_w, 4);
    EXPECT_LE(plan.tokens_h * plan.tokens_w, 64);
  }
  EXPECT_THROW(family.vision->plan({10, 4000}, limits), Error) << "an aspect ratio above 200";
}

}  // namespace
}  // namespace omni
