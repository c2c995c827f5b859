// Qwen3-VL beyond the boundaries that parity_test compares: what its files say, what stands between
// frames, what a window that slides leaves, thoughts, and files that are wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "decoding/scheduler.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "models/checkpoint_copy.h"
#include "models/load_error.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "session/session.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

const fs::path kFixture = OMNI_SOURCE_DIR "/tests/fixtures/qwen3_vl/a",
               kCheckpoint = kFixture / "checkpoint",
               kPublished = OMNI_SOURCE_DIR "/tests/fixtures/qwen3_vl/b/checkpoint";
const Tracks kVideo{.video = true};

Family load(const fs::path& folder) { return load_family({folder, Precision::float32}, {}); }

Segment picture(Modality modality, Nanoseconds start, Nanoseconds frames_apart, int grid_h,
                int grid_w) {
  Segment s;
  s.modality = modality, s.start = start, s.frames_apart = frames_apart;
  s.grid_h = grid_h, s.grid_w = grid_w, s.n_tokens = grid_h * grid_w;
  return s;
}

Position at(int32_t i) { return {i, i, i}; }

std::string text_of(const Prompter& p, const std::vector<int32_t>& ids) {
  return p.tokenizer().decode(ids, false);
}

TEST(Qwen3Vl, IsWhatItsFilesSay) {
  const Family f = load(kPublished);
  EXPECT_TRUE(f.prompter && f.text && f.vision);
  EXPECT_FALSE(f.audio || f.recogniser || f.load_voice);
  EXPECT_EQ(int(f.prompter->coordinates()), int(Coordinates::thousandths));
  EXPECT_EQ(f.prompter->end_of_thought(), std::nullopt);
  EXPECT_EQ(f.text->n_deep_levels(), 2);
  EXPECT_EQ(f.text->media_width(), 3 * f.text->hidden());
  const VisionSpec& spec = f.vision->spec();
  EXPECT_EQ(spec.layout.patch, 16);
  EXPECT_EQ(spec.image.max, 12 * 1024);
  EXPECT_EQ(spec.image.frames, 1);
  EXPECT_EQ(spec.video.min, 100000);
  EXPECT_EQ(spec.video.max, 400000);
  EXPECT_EQ(spec.video.frames, 768);
  ASSERT_TRUE(spec.frame_rate);
  EXPECT_EQ(spec.frame_rate->value(), 2) << "of the class";
  const auto engine = Engine::open({.model_path = kPublished.string(), .threads = 1});
  EXPECT_EQ(engine->hidden(), f.text->media_width());
  EXPECT_EQ(engine->defaults().top_k, 20);
}

TEST(Qwen3Vl, WhatAFolderDoesNotSayIsWhatTheClassesDo) {
  CheckpointCopy copy(kPublished, "q3_class_defaults");
  copy.write("preprocessor_config.json",
             R"({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})");
  fs::remove(copy.folder() / "video_preprocessor_config.json");
  const VisionSpec spec = load(copy.folder()).vision->spec();
  EXPECT_EQ(spec.image.min, 56 * 56);
  EXPECT_EQ(spec.image.max, 1280 * 28 * 28);
  EXPECT_EQ(spec.video.min, 128 * 32 * 32);
  EXPECT_EQ(spec.video.max, 768 * 32 * 32);
}

// (video_processing_qwen3_vl.py, smart_resize)
TEST(Qwen3Vl, AVideoSharesItsPixels) {
  struct Case {
    int frames, height, width;
    int64_t min, max;
    PictureSize size;
  };
  const Case cases[] = {
      {2, 92, 168, 4096, 40000, {96, 160}},          {5, 92, 168, 4096, 40000, {64, 96}},
      {5, 92, 168, 100000, 400000, {128, 192}},      {7, 92, 168, 100000, 110000, {64, 160}},
      {3, 20, 500, 4096, 40000, {32, 576}},          {768, 1080, 1920, 4096, 25165824, {128, 224}},
      {16, 1080, 1920, 4096, 25165824, {928, 1664}}, {6, 31, 31, 4096, 25165824, {32, 32}},
      {9, 720, 1280, 4096, 800000, {192, 384}},      {4, 16, 16, 131072, 786432, {192, 192}}};
  const Family f = load(kCheckpoint);
  for (const Case& c : cases)
    EXPECT_EQ(f.vision->plan({c.height, c.width}, {c.min, c.max, c.frames}).size, c.size)
        << c.frames << " of " << c.height << "x" << c.width;
  EXPECT_THROW(f.vision->plan({10, 4000}, {1, 1000000, 4}), Error);
}

// Where nobody says how long a video is, it is as long as the processor allows; a frame's own
// limits are its own.
TEST(Qwen3Vl, TheLengthOfAVideoMayBeTold) {
  const auto engine = Engine::open({.model_path = kCheckpoint.string(), .threads = 1});
  const auto tokens = [&](const VideoOptions& o) {
    const std::vector<uint8_t> grey(size_t(168) * 92 * 3, 128);
    VideoFrame frame{PixelFormat::rgb, 168, 92, {grey.data()}, {168 * 3}};
    const auto video = engine->make_video_tokenizer(o);
    video->push(frame);
    frame.time = kSecond / 2;
    const auto s = video->push(frame);
    EXPECT_EQ(s->frames_apart, kSecond / 2);
    EXPECT_EQ(int64_t(s->embeddings.size()), int64_t{s->n_tokens} * engine->hidden());
    return s->n_tokens;
  };
  EXPECT_EQ(tokens({.frames = 2}), 3 * 5);
  EXPECT_EQ(tokens({.frames = 5}), 2 * 3);
  EXPECT_EQ(tokens({}), 1);
  EXPECT_EQ(tokens({.max_pixels = 8000}), 2 * 3);
  EXPECT_EQ(tokens({.max_pixels = 100000}), 3 * 5);
}

TEST(Qwen3VlTemplate, TimeIsTextBetweenFrames) {
  const Family f = load(kCheckpoint);
  const Prompter& p = *f.prompter;
  constexpr Nanoseconds kMs = kSecond / 1000;
  const auto stamp = [&](Nanoseconds start, Nanoseconds apart, Nanoseconds run_start) {
    Cursor c;
    p.begin_run(c, kVideo, Modality::video);
    Rows rows = p.media(c, picture(Modality::video, start, apart, 1, 1), run_start);
    rows.ids.resize(rows.n_before - 1);
    return text_of(p, rows.ids);
  };
  EXPECT_EQ(stamp(0, 0, 0), "<0.0 seconds>");
  EXPECT_EQ(stamp(0, 500 * kMs, 0), "<0.2 seconds>") << "0.25, ties to even";
  EXPECT_EQ(stamp(1000 * kMs, 500 * kMs, 0), "<1.2 seconds>");
  EXPECT_EQ(stamp(2000 * kMs, 1000 * kMs, 0), "<2.5 seconds>");
  EXPECT_EQ(stamp(4000 * kMs, 0, 0), "<4.0 seconds>") << "an odd frame has no middle";
  EXPECT_EQ(stamp(7000 * kMs, 1000 * kMs, 5000 * kMs), "<2.5 seconds>");
  EXPECT_EQ(stamp(33333333, 33333334, 0), "<0.1 seconds>") << "frames 1 and 2 of 30 a second";
  EXPECT_EQ(stamp(4000 * kMs, 0, 5000 * kMs), "<0.0 seconds>") << "before the run";
}

// Each pair of frames, as each picture, lies behind what is before it.
TEST(Qwen3VlTemplate, FramesAreBlocks) {
  const Family f = load(kCheckpoint);
  const Prompter& p = *f.prompter;
  Cursor c;
  c.next = 10;
  EXPECT_EQ(p.begin_run(c, kVideo, Modality::video).positions, std::vector<Position>{at(10)});
  const Rows rows = p.media(c, picture(Modality::video, 0, 0, 2, 3), 0);
  EXPECT_EQ(rows.lane, Lane::vision);
  EXPECT_EQ(rows.n_behind, 1u);
  const auto first = int32_t(11 + rows.n_before);
  const std::vector<Position> media(rows.positions.begin() + std::ptrdiff_t(rows.n_before),
                                    rows.positions.end());
  EXPECT_EQ(media, (std::vector<Position>{{first, first, first},
                                          {first, first, first + 1},
                                          {first, first, first + 2},
                                          {first, first + 1, first},
                                          {first, first + 1, first + 1},
                                          {first, first + 1, first + 2},
                                          at(first + 3)}));
  EXPECT_EQ(c.next, first + 4);
  EXPECT_EQ(p.end_run(c, kVideo).positions, std::vector<Position>{at(first + 4)});
  Cursor still;
  EXPECT_EQ(p.begin_run(still, kVideo, Modality::image).size(), 0u);
  EXPECT_EQ(p.media(still, picture(Modality::image, kSecond, 0, 1, 1), 0).positions,
            (std::vector<Position>{at(0), at(1), at(2)}))
      << "no time";
  EXPECT_EQ(p.end_run(still, kVideo).size(), 0u);
}

// What stays comes nearer by what left, and time goes on.
TEST(Qwen3VlTemplate, ASlideKeepsTheTimeOfTheStream) {
  const Family f = load(kCheckpoint);
  Cursor c;
  f.prompter->begin_run(c, kVideo, Modality::video);
  for (int i = 0; i < 2; ++i) {
    const LaneShift shift =
        f.prompter->rebase(c, {.time = 4 * kSecond, .steps = 3, .positions = 7});
    EXPECT_EQ(shift[size_t(Lane::text)], at(0));
    EXPECT_EQ(shift[size_t(Lane::vision)], at(7));
  }
  Rows rows = f.prompter->media(c, picture(Modality::video, 9 * kSecond, 0, 1, 1), 8 * kSecond);
  rows.ids.resize(rows.n_before - 1);
  EXPECT_EQ(text_of(*f.prompter, rows.ids), "<9.0 seconds>");
  f.prompter->begin_run(c, kVideo, Modality::video);
  EXPECT_EQ(c.departed, 0);
}

TEST(Qwen3Vl, AnEndlessStreamKeepsTheWindow) {
  const std::vector<uint8_t> grey(size_t(64) * 64 * 3, 128);
  const auto engine = Engine::open({.model_path = kCheckpoint.string(), .threads = 1});
  for (const bool still : {false, true}) {
    SessionOptions o;
    o.settings.has_video = true;
    o.context_duration = 6 * kSecond;
    o.most_waiting = SIZE_MAX;
    const auto session = engine->make_session(o);
    const auto video = engine->make_video_tokenizer({.frame_rate = {1, 1}, .still = still});
    std::vector<int> prompt_tokens;
    for (int second = 0; second < 24; ++second) {
      VideoFrame frame{PixelFormat::rgb, 64, 64, {grey.data()}, {64 * 3}};
      frame.time = second * kSecond;
      if (auto s = video->push(frame)) session->put(std::move(*s));
      if (second % 8 != 7) continue;
      session->put(TrackEnded{Track::video});
      prompt_tokens.push_back(
          ask_and_wait(*session, {"What?", SamplingOptions{.max_tokens = 2}}).prompt_tokens);
      session->put(TrackBegan{Track::video});
    }
    // a stamp of two digits before the point is a token longer, three pairs are there
    EXPECT_GE(prompt_tokens[1], prompt_tokens[0]) << still;
    EXPECT_LE(prompt_tokens[1], prompt_tokens[0] + 3) << still;
    EXPECT_LE(prompt_tokens[2], prompt_tokens[0] + 3) << still;
  }
}

// --- thoughts

TEST(Qwen3VlThinking, AnswersOpenWithAThought) {
  const Json thinking = Json::parse_file(kFixture / "expected.json").at("thinking");
  for (const char* file : {"chat_template.jinja", "chat_template.json", "tokenizer_config.json"}) {
    CheckpointCopy copy(kCheckpoint, "q3_thinking");
    const std::string chat_template = thinking.at("chat_template").string();
    copy.write(file, std::string(file).ends_with("json")
                         ? nlohmann::json{{"chat_template", chat_template}}.dump()
                         : chat_template);
    const Family f = load(copy.folder());
    EXPECT_EQ(f.prompter->end_of_thought(), f.prompter->tokenizer().token_id("</think>"));
    Cursor c;
    Rows rows = f.prompter->begin_dialogue(c, "");
    const Rows ask = f.prompter->ask(c, thinking.at("user").string());
    rows.ids.insert(rows.ids.end(), ask.ids.begin(), ask.ids.end());
    const auto ids = thinking.at("ids").integers(0, INT32_MAX);
    EXPECT_EQ(rows.ids, std::vector<int32_t>(ids.begin(), ids.end())) << file;
    EXPECT_EQ(ask.positions.back(), at(int32_t(ids.size()) - 1));
    EXPECT_EQ(ask.ids.size(), ask.positions.size());
  }
}

// The prompter of a checkpoint whose thoughts end with a token of choice.
class EndsThoughts final : public Prompter {
 public:
  EndsThoughts(const Prompter& prompter, int32_t end) : prompter_(prompter), end_(end) {}
  const BpeTokenizer& tokenizer() const override { return prompter_.tokenizer(); }
  bool is_stop(int32_t id) const override { return prompter_.is_stop(id); }
  std::optional<int32_t> end_of_thought() const override { return end_; }
  Coordinates coordinates() const override { return prompter_.coordinates(); }
  Nanoseconds chunk_duration() const override { return prompter_.chunk_duration(); }
  Rows begin_dialogue(Cursor& c, const std::string& system) const override {
    return prompter_.begin_dialogue(c, system);
  }
  Rows begin_run(Cursor& c, Tracks tracks, Modality first) const override {
    return prompter_.begin_run(c, tracks, first);
  }
  Rows media(Cursor& c, const Segment& s, Nanoseconds run_start) const override {
    return prompter_.media(c, s, run_start);
  }
  Rows end_run(Cursor& c, Tracks tracks) const override { return prompter_.end_run(c, tracks); }
  Rows ask(Cursor& c, const std::string& question) const override {
    return prompter_.ask(c, question);
  }
  Rows answered(Cursor& c, const std::string& question, const std::string& answer) const override {
    return prompter_.answered(c, question, answer);
  }
  LaneShift rebase(Cursor& c, const Departed& gone) const override {
    return prompter_.rebase(c, gone);
  }

 private:
  const Prompter& prompter_;
  int32_t end_;
};

TEST(Qwen3VlThinking, NobodyIsToldTheThought) {
  const Family f = load(kCheckpoint);
  const auto file = Safetensors::open(kFixture / "expected.safetensors");
  const Tensor t = file->get("text.generated");
  const std::vector<int32_t> ids(t.i64(), t.i64() + t.numel());
  ASSERT_EQ(std::find(ids.begin(), ids.begin() + 3, ids[3]), ids.begin() + 3);
  ThreadPool pool(1);
  Scheduler scheduler(*f.text, pool);
  const auto ask = [&](const Prompter& prompter) {
    const auto session = make_session(nullptr, prompter, scheduler, {}, {});
    return ask_and_wait(*session, {"Say hello.", SamplingOptions{.max_tokens = int(ids.size())}});
  };
  const Answer whole = ask(*f.prompter), told = ask(EndsThoughts(*f.prompter, ids[3]));
  EXPECT_EQ(whole.text, f.prompter->tokenizer().decode(ids, true));
  std::string behind = f.prompter->tokenizer().decode({ids.begin() + 4, ids.end()}, true);
  behind.erase(0, behind.find_first_not_of('\n'));
  EXPECT_EQ(told.text, behind);
  EXPECT_EQ(told.tokens, whole.tokens) << "a thought is of the answer's budget";
  EXPECT_EQ(ask(EndsThoughts(*f.prompter, 0)).text, "") << "a thought without an end";
}

// --- files that are wrong

TEST(Qwen3VlErrors, Configuration) {
  expect_errors(
      kCheckpoint, "q3_wrong",
      {
          {"config.json", "/vision_config/deepstack_visual_indexes", "[1, 1]", kCorrupt, "twice"},
          {"config.json", "/vision_config/deepstack_visual_indexes", "[1, 4]", kCorrupt,
           "deepstack_visual_indexes[1]"},
          {"config.json", "/vision_config/deepstack_visual_indexes", "[0, 1, 2]", kMissing,
           "deepstack_merger_list.2"},
          {"config.json", "/vision_config/deepstack_visual_indexes", "[0, 1, 2, 3]", kCorrupt,
           "more deepstack_visual_indexes than layers of text"},
          {"config.json", "/vision_config/deepstack_visual_indexes", "null", kCorrupt,
           "deepstack_visual_indexes"},
          {"config.json", "/vision_config/num_position_embeddings", "35", kCorrupt, "no square"},
          {"config.json", "/vision_config/num_position_embeddings", "49", kCorrupt,
           "pos_embed.weight"},
          {"config.json", "/vision_config/out_hidden_size", "128", kCorrupt, "not as wide as the"},
          {"config.json", "/vision_config/patch_size", "14", kCorrupt, "patch_size"},
          {"config.json", "/vision_config/depth", "5", kMissing, "blocks.4."},
          {"config.json", "/vision_config/intermediate_size", "80", kCorrupt, "linear_fc1.weight"},
          {"config.json", "/vision_config/hidden_act", "\"gelu\"", kUnsupported, "hidden_act"},
          {"config.json", "/vision_config/num_heads", "5", kCorrupt, "multiple of 4 · num_heads"},
          {"config.json", "/text_config/attention_bias", "true", kUnsupported, "attention_bias"},
          {"config.json", "/text_config/head_dim", "32", kCorrupt, "mrope_section"},
          {"config.json", "/text_config/num_hidden_layers", "4", kMissing, "layers.3."},
          {"config.json", "/text_config/rope_parameters/mrope_interleaved", "false", kUnsupported,
           "mrope_interleaved"},
          {"config.json", "/text_config/rope_parameters/rope_type", "\"yarn\"", kUnsupported,
           "yarn"},
          {"config.json", "/video_token_id", "1", kCorrupt, "is not the id of <|video_pad|>"},
          {"processor_config.json", "/video_processor/size/longest_edge", "1", kCorrupt,
           "impossible image sizes"},
          {"processor_config.json", "/video_processor/max_frames", "1", kCorrupt, "max_frames"},
          {"processor_config.json", "/video_processor/image_mean/1", "0.25", kUnsupported,
           "normalised otherwise"},
          {"processor_config.json", "/video_processor/cap_pixels_per_frame", "true", kUnsupported,
           "cap_pixels_per_frame"},
          {"processor_config.json", "/image_processor/patch_size", "14", kCorrupt, "patch_size"},
      });
}

TEST(Qwen3VlErrors, TensorsThatAreMissingOrOfAnotherShape) {
  CheckpointCopy copy(kCheckpoint, "q3_tensors");
  for (const char* end :
       {"visual.pos_embed.weight", "visual.patch_embed.proj.bias", "visual.merger.norm.weight",
        "deepstack_merger_list.1.linear_fc2.weight", "layers.2.self_attn.q_norm.weight",
        "layers.0.self_attn.k_norm.weight", "lm_head.weight"}) {
    copy.lose(end, true);
    std::string said = error_of(copy.folder(), ErrorCode::not_found);
    EXPECT_NE(said.find(end), std::string::npos) << said;
    copy.lose(end, false);
    said = error_of(copy.folder(), ErrorCode::corrupt_file);
    EXPECT_NE(said.find(end), std::string::npos) << said;
  }
}

TEST(Qwen3VlErrors, AThinkingTemplateWithoutItsTokens) {
  CheckpointCopy copy(kCheckpoint, "q3_no_think");
  copy.write("chat_template.jinja", "{% if add_generation_prompt %}<think>{% endif %}");
  nlohmann::json tokenizer = copy.original("tokenizer.json");
  auto& added = tokenizer["added_tokens"];
  added.erase(std::remove_if(added.begin(), added.end(),
                             [](const auto& t) { return t["content"] == "</think>"; }),
              added.end());
  copy.write("tokenizer.json", tokenizer.dump());
  const std::string said = error_of(copy.folder(), ErrorCode::corrupt_file);
  EXPECT_NE(said.find("</think>"), std::string::npos) << said;
}

}  // namespace
}  // namespace omni
