// Where the chat template of Qwen3-Omni puts media and markers, and what a window that slides
// leaves.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "models/registry.h"

namespace omni {
namespace {

const std::filesystem::path kCheckpoint = OMNI_SOURCE_DIR "/tests/fixtures/qwen3_omni/a/checkpoint";
const Tracks kBoth{.video = true, .audio = true};
constexpr Nanoseconds kMs = kSecond / 1000;

Family load(const std::filesystem::path& folder) {
  return load_family({folder, Precision::float32}, {});
}

Segment picture(Modality modality, Nanoseconds start, int grid_h, int grid_w) {
  Segment s;
  s.modality = modality, s.start = start;
  s.grid_h = grid_h, s.grid_w = grid_w, s.n_tokens = grid_h * grid_w;
  return s;
}
Segment sound(Nanoseconds start, int n_tokens) {
  Segment s;
  s.modality = Modality::audio, s.start = start;
  s.n_tokens = s.grid_t = n_tokens;
  return s;
}

Position at(int32_t i) { return {i, i, i}; }

std::string text_of(const Prompter& p, const std::vector<int32_t>& ids) {
  return p.tokenizer().decode(ids, false);
}

TEST(Qwen3OmniTemplate, FramesAndSoundLieInTheOrderOfTheirTimes) {
  const Family f = load(kCheckpoint);
  const Prompter& p = *f.prompter;
  Cursor c;
  c.next = 10;
  const Rows begin = p.begin_run(c, kBoth, Modality::video);
  EXPECT_EQ(text_of(p, begin.ids), "<|vision_start|><|audio_start|>");
  EXPECT_EQ(begin.positions, (std::vector<Position>{at(10), at(11)}));
  const Nanoseconds start = 5 * kSecond;
  const Rows frames = p.media(c, picture(Modality::video, start + kSecond, 1, 2), start);
  EXPECT_EQ(text_of(p, frames.ids), "<|video_pad|><|video_pad|>");
  EXPECT_EQ(frames.positions, (std::vector<Position>{{25, 12, 12}, {25, 12, 13}}));
  EXPECT_EQ(frames.lane, Lane::vision);
  const Rows heard = p.media(c, sound(start + kSecond, 13), start);
  EXPECT_EQ(text_of(p, {heard.ids[0]}), "<|audio_pad|>");
  EXPECT_EQ(heard.lane, Lane::audio);
  for (int i = 0; i < 13; ++i) EXPECT_EQ(heard.positions[size_t(i)], at(25 + i));
  EXPECT_EQ(c.next, 38);
  const Rows end = p.end_run(c, kBoth);
  EXPECT_EQ(text_of(p, end.ids), "<|audio_end|><|vision_end|>");
  EXPECT_EQ(end.positions, (std::vector<Position>{at(38), at(39)}));
}

TEST(Qwen3OmniTemplate, WhatFollowsCountsFromTheLastBlockAlone) {
  const Family f = load(kCheckpoint);
  Cursor c;
  f.prompter->begin_run(c, kBoth, Modality::video);
  f.prompter->media(c, picture(Modality::video, 0, 40, 2), 0);
  EXPECT_EQ(c.next, 42) << "as far as its rows reach";
  f.prompter->media(c, sound(0, 13), 0);
  EXPECT_EQ(c.next, 15);
  f.prompter->media(c, sound(kSecond, 4), 0);
  EXPECT_EQ(c.next, 19);
  f.prompter->media(c, picture(Modality::video, kSecond, 2, 2), 0);
  EXPECT_EQ(c.next, 16);
}

TEST(Qwen3OmniTemplate, OneTrackHasItsOwnMarkers) {
  const Family f = load(kCheckpoint);
  const Prompter& p = *f.prompter;
  for (const bool video : {false, true}) {
    const Tracks tracks{.video = video, .audio = !video};
    Cursor c;
    const Rows begin = p.begin_run(c, tracks, video ? Modality::video : Modality::audio);
    EXPECT_EQ(text_of(p, begin.ids), video ? "<|vision_start|>" : "<|audio_start|>");
    EXPECT_EQ(text_of(p, p.end_run(c, tracks).ids), video ? "<|vision_end|>" : "<|audio_end|>");
  }
}

TEST(Qwen3OmniTemplate, EachPictureHasMarkers) {
  const Family f = load(kCheckpoint);
  const Prompter& p = *f.prompter;
  Cursor c;
  EXPECT_EQ(p.begin_run(c, {.video = true}, Modality::image).size(), 0u);
  for (const int32_t base : {0, 4}) {
    const Rows rows = p.media(c, picture(Modality::image, 9 * kSecond, 2, 2), 0);
    EXPECT_EQ(text_of(p, {rows.ids[0], rows.ids[1], rows.ids.back()}),
              "<|vision_start|><|image_pad|><|vision_end|>");
    EXPECT_EQ(rows.n_before, 1u);
    EXPECT_EQ(rows.n_behind, 1u);
    const int32_t i = base + 1;
    EXPECT_EQ(rows.positions,
              (std::vector<Position>{
                  at(base), at(i), {i, i, i + 1}, {i, i + 1, i}, {i, i + 1, i + 1}, at(i + 2)}))
        << "no time";
    EXPECT_EQ(c.next, base + 4);
  }
  EXPECT_EQ(p.end_run(c, {.video = true}).size(), 0u);
  EXPECT_EQ(p.rebase(c, {.time = kSecond, .positions = 7})[size_t(Lane::vision)], at(7));
}

// A frame counts as soon as its time has begun, sound to the nearest position.
TEST(Qwen3OmniTemplate, MediaStandAtTheirTimeInTheRun) {
  const Family f = load(kCheckpoint);
  const auto first = [&](const Segment& s) {
    Cursor c;
    c.run_base = 100;
    return f.prompter->media(c, s, kSecond).positions[0];
  };
  const auto frame = [&](Nanoseconds start) {
    return first(picture(Modality::video, start, 1, 1));
  };
  EXPECT_EQ(frame(2 * kSecond), (Position{113, 100, 100}));
  EXPECT_EQ(frame(2 * kSecond + 70 * kMs), (Position{113, 100, 100}));
  EXPECT_EQ(frame(2 * kSecond - kMs), (Position{113, 100, 100}));
  EXPECT_EQ(frame(2 * kSecond + 77 * kMs), (Position{114, 100, 100}));
  EXPECT_EQ(frame(0), at(100)) << "before the run";
  EXPECT_EQ(first(sound(2 * kSecond + 38 * kMs, 1)), at(113));
  EXPECT_EQ(first(sound(2 * kSecond + 39 * kMs, 1)), at(114));
  EXPECT_EQ(first(sound(0, 1)), at(100)) << "before the run";
}

TEST(Qwen3OmniTemplate, ASlideTakesTheTimeThatLeft) {
  const Family f = load(kCheckpoint);
  Cursor c;
  f.prompter->begin_run(c, kBoth, Modality::audio);
  const LaneShift shift = f.prompter->rebase(c, {.time = 4 * kSecond, .positions = 7});
  EXPECT_EQ(shift[size_t(Lane::text)], at(0));
  EXPECT_EQ(shift[size_t(Lane::vision)], (Position{52, 0, 0}));
  EXPECT_EQ(shift[size_t(Lane::audio)], at(52));
}

}  // namespace
}  // namespace omni
