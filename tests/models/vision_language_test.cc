// Qwen2-VL and Qwen2.5-VL beyond the boundaries that parity_test compares: what their files say,
// where rows stand when the window slides, and files that are wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "models/checkpoint_copy.h"
#include "models/load_error.h"
#include "models/registry.h"
#include "omni/checkpoint.h"
#include "omni/engine.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = OMNI_SOURCE_DIR "/tests/fixtures";
const fs::path kAbsoluteTime = kFixtures / "qwen2_5_vl/a/checkpoint",
               kFlat = kFixtures / "qwen2_5_vl/b/checkpoint",
               kSteps = kFixtures / "qwen2_vl/a/checkpoint";

Family load(const fs::path& folder) { return load_family({folder, Precision::float32}, {}); }

Segment picture(Modality modality, Nanoseconds start, int grid_h, int grid_w) {
  Segment s;
  s.modality = modality, s.start = start;
  s.grid_h = grid_h, s.grid_w = grid_w, s.n_tokens = grid_h * grid_w;
  s.seconds_per_grid = 2;
  return s;
}

Position at(int32_t i) { return {i, i, i}; }

TEST(VisionLanguage, SeesAndDoesNotHear) {
  for (const fs::path& folder : {kAbsoluteTime, kFlat, kSteps}) {
    const Family f = load(folder);
    EXPECT_TRUE(f.prompter && f.text && f.vision);
    EXPECT_FALSE(f.audio || f.recogniser || f.load_voice);
    const auto engine = Engine::open({.model_path = folder.string(), .threads = 1});
    try {
      engine->make_audio_tokenizer({});
      ADD_FAILURE() << "hears";
    } catch (const Error& e) {
      EXPECT_EQ(int(e.code()), int(ErrorCode::unsupported));
      EXPECT_EQ(e.what(),
                folder.string() + " takes no audio: it takes video and images and writes text");
    }
  }
  EXPECT_EQ(int(load(kAbsoluteTime).prompter->coordinates()), int(Coordinates::resized_pixels));
  EXPECT_EQ(int(load(kSteps).prompter->coordinates()), int(Coordinates::thousandths_markup));
}

TEST(VisionLanguage, DefaultsAreTheCheckpoints) {
  const auto engine = Engine::open({.model_path = kFlat.string(), .threads = 1});
  const CheckpointDefaults& d = engine->defaults();
  EXPECT_EQ(d.repetition_penalty, 1.05);
  EXPECT_EQ(d.temperature, 0.1);
  EXPECT_EQ(d.top_p, 0.001);
  EXPECT_EQ(d.top_k, 1);
  ASSERT_TRUE(d.frame_rate);
  EXPECT_EQ(d.frame_rate->value(), 2);
  const Family f = load(kFlat);
  EXPECT_EQ(f.vision->spec().image.max, 12 * 784);
  EXPECT_EQ(f.vision->spec().video.max, 24 * 784);
}

// A video's limits are those of its own processor, or of its class.
TEST(VisionLanguage, WhatAFolderDoesNotSayIsWhatTheClassesDo) {
  CheckpointCopy copy(kFlat, "vl_class_defaults");
  copy.write("preprocessor_config.json", "{}");
  fs::remove(copy.folder() / "video_preprocessor_config.json");
  copy.write("generation_config.json", R"({"do_sample": false, "temperature": 0.7})");
  const Family f = load(copy.folder());
  EXPECT_EQ(f.vision->spec().image.min, 56 * 56);
  EXPECT_EQ(f.vision->spec().image.max, 1280 * 28 * 28);
  EXPECT_EQ(f.vision->spec().video.min, 128 * 28 * 28);
  EXPECT_EQ(f.vision->spec().video.max, 768 * 28 * 28);
  const auto engine = Engine::open({.model_path = copy.folder().string(), .threads = 1});
  EXPECT_FALSE(engine->defaults().temperature) << "it does not sample";
  EXPECT_FALSE(engine->defaults().frame_rate);
}

// Text follows a video at its rows and columns; the answer follows everything.
TEST(VisionTemplate, TimeIsAbsoluteOrCounted) {
  constexpr int kFrames = 60;
  const Family absolute = load(kAbsoluteTime), counted = load(kSteps);
  for (const Family* f : {&absolute, &counted}) {
    const Prompter& p = *f->prompter;
    Cursor c;
    c.next = 10;
    const Tracks video{.video = true};
    EXPECT_EQ(p.begin_run(c, video, Modality::video).positions, std::vector<Position>{at(10)});
    const int step = f == &absolute ? 4 : 1;  // of 2 s, 2 positions a second
    for (int i = 0; i < kFrames; ++i) {
      const Rows rows =
          p.media(c, picture(Modality::video, i * 2 * kSecond + kSecond, 1, 2), kSecond);
      EXPECT_EQ(rows.positions,
                (std::vector<Position>{{11 + i * step, 11, 11}, {11 + i * step, 11, 12}}));
    }
    EXPECT_EQ(p.end_run(c, video).positions, std::vector<Position>{at(13)});
    const Rows ask = p.ask(c, "");
    EXPECT_EQ(ask.positions.front(), at(14));
    ASSERT_LT(14 + int(ask.size()), 11 + kFrames);
    EXPECT_EQ(c.next, 11 + (kFrames - 1) * step + 1);
  }
}

TEST(VisionTemplate, AFrameIsAsOldAsItsStamp) {
  const Family f = load(kAbsoluteTime);
  const auto first = [&](Nanoseconds start) {
    Cursor c;
    f.prompter->begin_run(c, {.video = true}, Modality::video);
    return f.prompter->media(c, picture(Modality::video, start, 1, 1), 0).positions[0][0] -
           c.run_base;
  };
  constexpr Nanoseconds kMs = kSecond / 1000;
  EXPECT_EQ(first(499 * kMs - 1), 0);
  EXPECT_EQ(first(500 * kMs - kMs / 2), 1) << "jitter";
  EXPECT_EQ(first(999 * kMs - 1), 1);
}

TEST(VisionTemplate, PicturesAreBlocksOfTheirOwn) {
  const Family f = load(kSteps);
  const Prompter& p = *f.prompter;
  Cursor c;
  EXPECT_EQ(p.begin_run(c, {.video = true}, Modality::image).size(), 0u);
  for (int32_t begin : {0, 5}) {
    const Rows rows = p.media(c, picture(Modality::image, 0, 1, 3), 0);
    EXPECT_EQ(rows.positions, (std::vector<Position>{at(begin),
                                                     at(begin + 1),
                                                     {begin + 1, begin + 1, begin + 2},
                                                     {begin + 1, begin + 1, begin + 3},
                                                     at(begin + 4)}));
    EXPECT_EQ(rows.n_before, 1u);
    EXPECT_EQ(rows.n_behind, 1u);
    EXPECT_EQ(rows.lane, Lane::vision);
    EXPECT_EQ(c.next, begin + 5);
  }
  EXPECT_EQ(p.end_run(c, {.video = true}).size(), 0u);
}

// What stays is where it would be had what left never been there.
TEST(VisionTemplate, WhatStaysMovesByWhatLeft) {
  const Departed gone{.time = 4 * kSecond, .steps = 3, .positions = 7};
  const auto shift = [&](const fs::path& folder, Modality first) {
    Cursor c;
    const Family f = load(folder);
    f.prompter->begin_run(c, {.video = true}, first);
    const LaneShift s = f.prompter->rebase(c, gone);
    EXPECT_EQ(s[size_t(Lane::text)], at(0));
    return s[size_t(Lane::vision)];
  };
  EXPECT_EQ(shift(kAbsoluteTime, Modality::video), (Position{8, 0, 0}));
  EXPECT_EQ(shift(kSteps, Modality::video), (Position{3, 0, 0}));
  EXPECT_EQ(shift(kSteps, Modality::image), at(7));
  EXPECT_EQ(shift(kAbsoluteTime, Modality::image), at(7));
  // and what comes goes on behind it
  const Family f = load(kSteps);
  Cursor c;
  f.prompter->begin_run(c, {.video = true}, Modality::video);
  for (int i = 0; i < 4; ++i) f.prompter->media(c, picture(Modality::video, 0, 1, 1), 0);
  f.prompter->rebase(c, gone);
  EXPECT_EQ(f.prompter->media(c, picture(Modality::video, 0, 1, 1), 0).positions[0][0],
            c.run_base + 1);
}

// A session whose window slides, of pictures and of frames: the context stays as large as the
// window.
TEST(VisionLanguage, AnEndlessStreamKeepsTheWindow) {
  const std::vector<uint8_t> grey(size_t(56) * 56 * 3, 128);
  for (const fs::path& folder : {kAbsoluteTime, kSteps})
    for (const bool still : {false, true}) {
      const auto engine = Engine::open({.model_path = folder.string(), .threads = 1});
      SessionOptions o;
      o.settings.has_video = true;
      o.context_duration = 6 * kSecond;
      o.most_waiting = SIZE_MAX;
      const auto session = engine->make_session(o);
      const auto video = engine->make_video_tokenizer({.frame_rate = {1, 1}, .still = still});
      std::vector<int> prompt_tokens;
      for (int second = 0; second < 24; ++second) {
        VideoFrame frame{PixelFormat::rgb, 56, 56, {grey.data()}, {56 * 3}};
        frame.time = second * kSecond;
        if (auto s = video->push(frame)) session->put(std::move(*s));
        if (second % 8 != 7) continue;
        session->put(TrackEnded{Track::video});
        const SamplingOptions sampling{.max_tokens = 2};
        prompt_tokens.push_back(ask_and_wait(*session, {"What?", sampling}).prompt_tokens);
        session->put(TrackBegan{Track::video});
      }
      EXPECT_EQ(prompt_tokens, std::vector<int>(3, prompt_tokens[0])) << folder << still;
    }
}

TEST(VisionLanguageErrors, Nested) {
  expect_errors(
      kAbsoluteTime, "vl_wrong",
      {
          {"config.json", "/vision_config/out_hidden_size", "128", kCorrupt, "not as wide as the"},
          {"config.json", "/text_config/intermediate_size", "64", kCorrupt, "gate_proj.weight"},
          {"config.json", "/text_config/num_hidden_layers", "4", kMissing, "model.layers.3."},
          {"config.json", "/text_config/rope_parameters/rope_type", "\"yarn\"", kUnsupported,
           "rope_type is \"yarn\""},
          {"config.json", "/text_config/vocab_size", "410", kCorrupt, "a vocab_size of 410"},
          {"config.json", "/vision_config/depth", "5", kMissing, "visual.blocks.4."},
          {"config.json", "/vision_config/intermediate_size", "100", kCorrupt,
           "visual.blocks.0.mlp.gate_proj.weight"},
          {"config.json", "/vision_config/hidden_act", "\"gelu\"", kUnsupported, "hidden_act"},
          {"config.json", "/vision_config/num_heads", "5", kCorrupt, "multiple of 4 · num_heads"},
          {"config.json", "/vision_config/tokens_per_second", "0", kCorrupt, "tokens_per_second"},
          {"config.json", "/vision_config", "null", kCorrupt, "vision_config"},
          {"config.json", "/image_token_id", "1", kCorrupt, "is not the id of <|image_pad|>"},
          {"config.json", "/vision_start_token_id", "1", kCorrupt, "the id of <|vision_start|>"},
          {"processor_config.json", "/video_processor/size/longest_edge", "1", kCorrupt,
           "impossible image sizes"},
          {"processor_config.json", "/video_processor/fps", "0", kCorrupt, "fps"},
          {"processor_config.json", "/video_processor/resample", "2", kUnsupported, "resample"},
          {"processor_config.json", "/image_processor/patch_size", "16", kCorrupt, "patch_size"},
          {"generation_config.json", "/repetition_penalty", "0", kCorrupt, "repetition_penalty"},
      });
}

TEST(VisionLanguageErrors, Flat) {
  expect_errors(kFlat, "vl_wrong",
                {
                    {"config.json", "/hidden_size", "0", kCorrupt, "hidden_size is 0"},
                    {"config.json", "/rope_scaling/type", "\"yarn\"", kUnsupported, "yarn"},
                    {"config.json", "/tie_word_embeddings", "false", kMissing, "lm_head.weight"},
                    {"video_preprocessor_config.json", "/max_pixels", "1", kCorrupt, "impossible"},
                });
}

TEST(VisionLanguageErrors, Qwen2Vl) {
  expect_errors(kSteps, "vl_wrong",
                {
                    {"config.json", "/vision_config/mlp_ratio", "4", kCorrupt, "mlp.fc1.weight"},
                    {"config.json", "/vision_config/embed_dim", "56", kCorrupt, "num_heads"},
                    {"config.json", "/vision_config/embed_dim", "64", kCorrupt, "patch_embed"},
                    {"config.json", "/vision_config/hidden_size", "32", kCorrupt, "not as wide"},
                    {"config.json", "/vision_config/hidden_act", "\"silu\"", kUnsupported,
                     "hidden_act is \"silu\"; only \"quick_gelu\""},
                });
}

// The checkpoint's tensors under other names, or some of them.
void rewrite(CheckpointCopy& copy, const fs::path& original,
             const std::function<std::string(const std::string&)>& rename) {
  const auto file = Safetensors::open(original / "model.safetensors");
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : file->names())
    if (const std::string renamed = rename(name); !renamed.empty())
      tensors[renamed] = file->get(name);
  fs::remove(copy.folder() / "model.safetensors");
  write_safetensors(copy.folder() / "model.safetensors", tensors);
}

TEST(VisionLanguageErrors, MissingTensors) {
  CheckpointCopy copy(kSteps, "vl_missing");
  for (const char* name :
       {"visual.merger.ln_q.bias", "visual.patch_embed.proj.weight", "model.norm.weight",
        "model.embed_tokens.weight", "visual.blocks.1.attn.qkv.bias", "lm_head.weight"}) {
    rewrite(copy, kSteps, [&](const std::string& n) { return n == name ? "" : n; });
    const std::string said = error_of(copy.folder(), kMissing);
    EXPECT_NE(said.find(name), std::string::npos) << said;
  }
}

TEST(VisionLanguage, NamesOfVersionsBeforeAreRead) {
  CheckpointCopy copy(kAbsoluteTime, "vl_names");
  rewrite(copy, kAbsoluteTime, [](const std::string& n) {
    if (n.starts_with("visual.")) return "model." + n;
    return n.starts_with("model.") ? "model.language_model." + n.substr(6) : n;
  });
  EXPECT_TRUE(load(copy.folder()).vision);
}

// Where the whole says so, whatever the text model does. (Qwen2_5_VLConfig.__post_init__)
TEST(VisionLanguage, TheHeadIsTiedByTheWhole) {
  CheckpointCopy copy(kAbsoluteTime, "vl_tied");
  rewrite(copy, kAbsoluteTime, [](const std::string& n) { return n == "lm_head.weight" ? "" : n; });
  nlohmann::json config = copy.original("config.json");
  config["tie_word_embeddings"] = true;
  config["text_config"]["tie_word_embeddings"] = false;
  copy.write("config.json", config.dump());
  EXPECT_TRUE(load(copy.folder()).text);
}

TEST(CheckpointInfo, SaysWhatAFolderHolds) {
  const CheckpointInfo info = read_checkpoint(kAbsoluteTime.string());
  EXPECT_EQ(info.family, "qwen2_5_vl");
  EXPECT_EQ(info.stored, "bfloat16");
  int64_t n = 0;
  const auto file = Safetensors::open(kAbsoluteTime / "model.safetensors");
  for (const std::string& name : file->names()) n += file->get(name).numel();
  EXPECT_EQ(info.n_parameters, n);
  ASSERT_EQ(info.needs.size(), 4u);
  EXPECT_EQ(info.needs[0].bytes, 2 * n) << "float32 keeps weights of 16 bits";
  EXPECT_LT(info.needs[2].bytes, info.needs[1].bytes);
  EXPECT_LT(info.needs[3].bytes, info.needs[2].bytes);
  const auto tied = Safetensors::open(kFlat / "model.safetensors");
  const int64_t table = tied->get("model.embed_tokens.weight").numel();
  n = table;  // of the head that is made of it
  for (const std::string& name : tied->names()) n += tied->get(name).numel();
  const auto need = read_checkpoint(kFlat.string()).needs[1];
  EXPECT_EQ(need.bytes, 2 * n);
  EXPECT_EQ(need.in_file, 2 * table);
  EXPECT_EQ(read_abilities(OMNI_SOURCE_DIR "/models/nano").describe(),
            "takes video and images and audio and writes text and speaks");
  EXPECT_EQ(read_abilities((kFixtures / "whisper/checkpoint").string()).describe(),
            "takes audio and writes a transcript");
  EXPECT_EQ(read_checkpoint((kFixtures / "quantized/awq/checkpoint").string()).needs.size(), 1u);
  EXPECT_THROW(read_checkpoint("/nowhere"), Error);
}

}  // namespace
}  // namespace omni
