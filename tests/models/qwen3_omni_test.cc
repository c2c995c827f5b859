// Qwen3-Omni beyond the boundaries that parity_test compares: what its files say, pieces and
// windows of sound, streams, and files that are wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "models/checkpoint_copy.h"
#include "models/load_error.h"
#include "models/registry.h"
#include "omni/checkpoint.h"
#include "omni/engine.h"
#include "session/session.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

// A Thinker alone, whose rows of two seconds of sound attend to one another; as published, of
// eight.
const fs::path kFixtures = OMNI_SOURCE_DIR "/tests/fixtures/qwen3_omni",
               kCheckpoint = kFixtures / "a/checkpoint", kPublished = kFixtures / "b/checkpoint";
constexpr Nanoseconds kMs = kSecond / 1000;

Family load(const fs::path& folder) { return load_family({folder, Precision::float32}, {}); }
std::shared_ptr<const Engine> open(const fs::path& folder) {
  return Engine::open({.model_path = folder.string(), .device = "cpu", .threads = 1});
}

std::vector<float> noise(int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> x;
  for (int64_t i = 0; i < n; ++i) x.push_back(float(random() % 2000) / 1000 - 1);
  return x;
}

// --- what its files say

TEST(Qwen3Omni, IsWhatItsFilesSay) {
  const Family f = load(kPublished);
  EXPECT_TRUE(f.prompter && f.text && f.vision && f.audio);
  EXPECT_FALSE(f.recogniser);
  EXPECT_EQ(int(f.prompter->coordinates()), int(Coordinates::thousandths));
  EXPECT_EQ(f.prompter->chunk_duration(), kSecond);
  EXPECT_EQ(f.text->media_width(), 3 * f.text->hidden());
  EXPECT_EQ(f.vision->spec().layout.patch, 16);
  EXPECT_EQ(f.vision->spec().image.max, 12 * 1024);
  EXPECT_EQ(f.vision->spec().video.min, 128 * 32 * 32);
  EXPECT_EQ(f.vision->spec().video.max, 768 * 32 * 32);
  const AudioSpec& audio = f.audio->spec();
  EXPECT_EQ(audio.n_mels, 128);
  EXPECT_EQ(audio.unit_frames, 800);
  EXPECT_EQ(audio.segment_frames, 100);
  EXPECT_EQ(audio.segment_tokens, 13);
  EXPECT_EQ(int(audio.tail), int(LogMel::Tail::reflects));
  EXPECT_EQ(load(kCheckpoint).audio->spec().unit_frames, 200);
}

TEST(Qwen3Omni, SpeaksWhereItsFilesHaveAVoice) {
  const auto describes = [](const fs::path& folder) {
    return read_checkpoint(folder.string()).abilities.describe();
  };
  EXPECT_EQ(describes(kPublished), "takes video and images and audio and writes text");
  EXPECT_EQ(describes(kFixtures / "speech/checkpoint"),
            "takes video and images and audio and writes text and speaks");
  EXPECT_EQ(load(kCheckpoint).load_voice, nullptr) << "a Thinker alone";
  EXPECT_EQ(load(kPublished).load_voice, nullptr);
  const Family speaks = load(kFixtures / "speech/checkpoint");
  ASSERT_NE(speaks.load_voice, nullptr);
  EXPECT_EQ(speaks.text->kept_layer(), 2);
  EXPECT_EQ(open(kFixtures / "speech/checkpoint")->voices(),
            (std::vector<std::string>{"alto", "bass"}));
}

TEST(Qwen3Omni, AVoiceThatIsNotReadNeedsNoMemory) {
  CheckpointCopy copy(kPublished, "q3o_voice");
  copy.rewrite([](const std::string& name, const Tensor& t, Tensors& tensors) {
    tensors[name] = t;
    tensors["talker.model.layers.0.mlp.gate.weight"] = Tensor::zeros(DType::bf16, {64, 64});
    tensors["code2wav.decoder.0.conv.weight"] = Tensor::zeros(DType::bf16, {64, 8, 7});
  });
  const CheckpointInfo with = read_checkpoint(copy.folder().string()),
                       without = read_checkpoint(kPublished.string());
  EXPECT_EQ(*with.n_parameters, *without.n_parameters + 64 * 64 + 64 * 8 * 7);
  ASSERT_EQ(with.needs.size(), without.needs.size());
  for (size_t i = 0; i < with.needs.size(); ++i)
    EXPECT_EQ(with.needs[i].bytes, without.needs[i].bytes) << i;
  EXPECT_EQ(error_of(copy.folder(), ErrorCode::unsupported), "loaded");
}

// --- sound

class Qwen3OmniAudio : public testing::Test {
 protected:
  // [n_tokens, width] of mel frames, one piece behind the other
  std::vector<float> rows(const std::vector<float>& mel) {
    Arena::Scope scope(arena_);
    const auto n = int64_t(mel.size()) / 128;
    const Tensor y =
        tower().encode(cx_, Tensor::view(const_cast<float*>(mel.data()), DType::f32, {n, 128}));
    EXPECT_EQ(y.dim(1), width_);
    return {y.f32(), y.f32() + y.numel()};
  }
  std::vector<float> first(std::vector<float> all, int n_rows) {
    all.resize(size_t(n_rows * width_));
    return all;
  }
  const AudioEncoder& tower() const { return *family_.audio; }

  const Family family_ = load(kCheckpoint);
  const int64_t hidden_ = family_.text->hidden(), width_ = family_.text->media_width();
  ThreadPool pool_{1};
  Arena arena_;
  ops::Context cx_{pool_, arena_};
  const std::vector<float> a_ = noise(100 * 128, 1), b_ = noise(100 * 128, 2);
};

std::vector<float> operator+(std::vector<float> x, const std::vector<float>& y) {
  x.insert(x.end(), y.begin(), y.end());
  return x;
}

void expect_close(std::span<const float> x, std::span<const float> y) {
  ASSERT_EQ(x.size(), y.size());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 1e-5) << i;
}

// (_get_feat_extract_output_lengths)
TEST_F(Qwen3OmniAudio, TokensOfALength) {
  const std::vector<float> mel = a_ + b_;
  for (int n = 0; n <= 200; n += n < 12 || n > 96 ? 1 : 7) {
    int rest = n % 100;
    for (int halving = 0; halving < 3; ++halving) rest = (rest + 1) / 2;
    EXPECT_EQ(int64_t(rows({mel.begin(), mel.begin() + n * 128}).size()),
              (n / 100 * 13 + rest) * width_)
        << n;
  }
}

// Of a piece the convolutions see no other one, and its positions are its own.
TEST_F(Qwen3OmniAudio, PiecesStandForThemselves) {
  const std::vector<float> both = rows(a_ + a_), twice = rows(a_ + b_), swapped = rows(b_ + a_);
  expect_close(first(both, 13), std::span(both).subspan(size_t(13 * width_)));
  expect_close(first(twice, 13), std::span(swapped).subspan(size_t(13 * width_)));
}

TEST_F(Qwen3OmniAudio, PiecesOfAWindowAttendToOneAnother) {
  EXPECT_NE(first(rows(a_ + b_), 13), first(rows(a_ + a_), 13));
  EXPECT_NE(first(rows(a_ + b_), 13), rows(a_));
  const std::vector<float> too_long = a_ + b_ + noise(128, 3);
  EXPECT_THROW(rows(too_long), Error) << "a window is encoded by itself";
}

TEST_F(Qwen3OmniAudio, ThereIsNoDeepStackOfSound) {
  const std::vector<float> all = rows(a_);
  for (int64_t i = 0; i < 13; ++i)
    for (int64_t c = 0; c < width_; ++c)
      EXPECT_EQ(all[size_t(i * width_ + c)] == 0, c >= hidden_) << i << " " << c;
}

TEST(Qwen3OmniStream, AWindowOfSoundIsASegmentASecond) {
  const auto engine = open(kCheckpoint);
  const std::vector<float> samples = noise(5 * 16000 + 16000 * 3 / 10, 4);
  const auto segments_of = [&](size_t piece) {
    const auto audio = engine->make_audio_tokenizer({.clip_maximum = 0});
    audio->start(7 * kSecond);
    std::vector<Segment> all;
    for (size_t begin = 0; begin < samples.size(); begin += piece)
      for (Segment& s :
           audio->push(std::span(samples).subspan(begin, std::min(piece, samples.size() - begin))))
        all.push_back(std::move(s));
    EXPECT_EQ(all.size(), 4u) << "two windows of two seconds are whole";
    for (Segment& s : audio->finish()) all.push_back(std::move(s));
    return all;
  };
  const std::vector<Segment> whole = segments_of(samples.size()), pieces = segments_of(777);
  ASSERT_EQ(whole.size(), 6u);
  ASSERT_EQ(pieces.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    const Segment& s = whole[i];
    EXPECT_EQ(s.start, Nanoseconds(7 + i) * kSecond);
    EXPECT_EQ(s.duration, i < 5 ? kSecond : 300 * kMs);
    EXPECT_EQ(s.n_tokens, i < 5 ? 13 : 4);
    EXPECT_EQ(int64_t(s.embeddings.size()), int64_t{s.n_tokens} * engine->hidden());
    EXPECT_EQ(pieces[i].embeddings, s.embeddings);
  }
}

// Each second attends to itself alone: as a recording of a checkpoint whose window is a second.
TEST(Qwen3OmniStream, LiveSoundIsThereEachSecond) {
  CheckpointCopy copy(kCheckpoint, "q3o_live");
  nlohmann::json config = copy.original("config.json");
  config["audio_config"]["n_window_infer"] = 2 * config["audio_config"]["n_window"].get<int>();
  copy.write("config.json", config.dump());
  const std::vector<float> samples = noise(3 * 16000 + 4800, 4);
  const auto segments_of = [&](const fs::path& folder, bool live) {
    const auto engine = open(folder);
    const auto audio = engine->make_audio_tokenizer({.clip_maximum = 0});
    audio->set_live(live);
    audio->start(7 * kSecond);
    std::vector<Segment> all;
    size_t n_whole = 0;
    for (size_t begin = 0; begin < samples.size(); begin += 1600) {
      for (Segment& s : audio->push(
               std::span(samples).subspan(begin, std::min<size_t>(1600, samples.size() - begin))))
        all.push_back(std::move(s));
      if (begin + 1600 == 2 * 16000 + 1600) n_whole = all.size();
    }
    if (live) {
      EXPECT_EQ(n_whole, 2u) << "a second is there as soon as its last sample is";
    }
    for (Segment& s : audio->finish()) all.push_back(std::move(s));
    return all;
  };
  const auto live = segments_of(kCheckpoint, true), seconds = segments_of(copy.folder(), false),
             recorded = segments_of(kCheckpoint, false);
  ASSERT_EQ(live.size(), 4u);
  ASSERT_EQ(seconds.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(live[i].start, Nanoseconds(7 + i) * kSecond);
    EXPECT_EQ(live[i].embeddings, seconds[i].embeddings) << i;
  }
  EXPECT_NE(live[0].embeddings, recorded[0].embeddings) << "which sees two seconds";
}

// Where a clip is not filled up, of its last 10 ms there is a frame only if they are whole.
TEST(Qwen3OmniStream, ARestOfLessThanAFrameIsDropped) {
  const auto engine = open(kCheckpoint);
  const auto audio = engine->make_audio_tokenizer({});
  for (const auto& [samples, n_segments] :
       {std::pair(159, 0u), {160, 1u}, {16159, 1u}, {16160, 2u}}) {
    audio->start(0);
    EXPECT_TRUE(audio->push(noise(samples, 5)).empty());
    EXPECT_EQ(audio->finish().size(), n_segments) << samples;
  }
}

// --- a stream

TEST(Qwen3Omni, AnEndlessStreamKeepsTheWindow) {
  const std::vector<uint8_t> grey(size_t(64) * 64 * 3, 128);
  const std::vector<float> second = noise(16000, 6);
  const auto engine = open(kCheckpoint);
  SessionOptions o;
  o.settings.has_video = o.settings.has_audio = true;
  o.context_duration = 6 * kSecond;
  o.most_waiting = SIZE_MAX;
  const auto session = engine->make_session(o);
  const auto video = engine->make_video_tokenizer({.frame_rate = {1, 1}});
  const auto audio = engine->make_audio_tokenizer({});
  audio->start(0);
  std::vector<int> prompt_tokens;
  for (int i = 0; i < 24; ++i) {
    VideoFrame frame{PixelFormat::rgb, 64, 64, {grey.data()}, {64 * 3}};
    frame.time = i * kSecond;
    if (auto s = video->push(frame)) session->put(std::move(*s));
    for (Segment& s : audio->push(second)) session->put(std::move(s));
    if (i % 8 != 7) continue;
    for (Segment& s : audio->finish()) session->put(std::move(s));
    audio->start((i + 1) * kSecond);
    for (const Track track : {Track::video, Track::audio}) session->put(TrackEnded{track});
    prompt_tokens.push_back(
        ask_and_wait(*session, {"What?", SamplingOptions{.max_tokens = 2}}).prompt_tokens);
    for (const Track track : {Track::video, Track::audio}) session->put(TrackBegan{track});
  }
  EXPECT_GE(prompt_tokens[0], 6 * 13);
  EXPECT_EQ(prompt_tokens[1], prompt_tokens[0]);
  EXPECT_EQ(prompt_tokens[2], prompt_tokens[0]);
}

// --- files that are wrong

TEST(Qwen3OmniErrors, Configuration) {
  expect_errors(
      kCheckpoint, "q3o_wrong",
      {
          {"config.json", "/audio_config", "null", kCorrupt, "audio_config"},
          {"config.json", "/audio_config/n_window", "40", kCorrupt, "n_window"},
          {"config.json", "/audio_config/n_window_infer", "250", kCorrupt,
           "no multiple of 2 · n_window"},
          {"config.json", "/audio_config/n_window_infer", "0", kCorrupt, "n_window_infer"},
          {"config.json", "/audio_config/num_mel_bins", "80", kCorrupt, "conv_out.weight"},
          {"config.json", "/audio_config/downsample_hidden_size", "16", kCorrupt, "conv2d1."},
          {"config.json", "/audio_config/encoder_layers", "3", kMissing, "audio_tower.layers.2."},
          {"config.json", "/audio_config/encoder_attention_heads", "5", kCorrupt,
           "encoder_attention_heads"},
          {"config.json", "/audio_config/encoder_ffn_dim", "97", kCorrupt, "fc1.weight"},
          {"config.json", "/audio_config/output_dim", "128", kCorrupt,
           "not as wide as the text model"},
          {"config.json", "/audio_config/activation_function", "\"relu\"", kUnsupported,
           "activation_function"},
          {"config.json", "/audio_config/scale_embedding", "true", kUnsupported, "scale_embedding"},
          {"config.json", "/audio_token_id", "1", kCorrupt, "is not the id of <|audio_pad|>"},
          {"config.json", "/video_token_id", "1", kCorrupt, "is not the id of <|video_pad|>"},
          {"config.json", "/audio_start_token_id", "1", kCorrupt,
           "is not the id of <|audio_start|>"},
          {"config.json", "/position_id_per_seconds", "0", kCorrupt, "position_id_per_seconds"},
          {"config.json", "/text_config", "null", kCorrupt, "text_config"},
          {"config.json", "/text_config/num_experts", "9", kCorrupt, "mlp.gate.weight is [8, 64]"},
          {"config.json", "/text_config/num_experts_per_tok", "9", kCorrupt, "num_experts_per_tok"},
          {"config.json", "/text_config/shared_expert_intermediate_size", "64", kUnsupported,
           "shared_expert_intermediate_size"},
          {"config.json", "/text_config/rope_parameters/mrope_interleaved", "false", kUnsupported,
           "mrope_interleaved"},
          {"config.json", "/text_config/head_dim", "32", kCorrupt, "mrope_section"},
          {"config.json", "/vision_config/out_hidden_size", "128", kCorrupt,
           "not as wide as the text model"},
          {"config.json", "/vision_config/deepstack_visual_indexes", "[0, 1, 2, 3]", kCorrupt,
           "more deepstack_visual_indexes than layers of text"},
          {"config.json", "/vision_config/deepstack_visual_indexes", "[0, 1, 2]", kMissing,
           "merger_list.2"},
      });
}

TEST(Qwen3OmniErrors, AThinkerOfAnotherKind) {
  CheckpointCopy copy(kPublished, "q3o_nested");
  for (const char* value : {"null", "7", "{}"}) {
    nlohmann::json j = copy.original("config.json");
    j["thinker_config"] = nlohmann::json::parse(value);
    copy.write("config.json", j.dump());
    const std::string said = error_of(copy.folder(), ErrorCode::corrupt_file);
    EXPECT_NE(said.find("config.json"), std::string::npos) << said;
  }
}

TEST(Qwen3OmniErrors, TensorsThatAreMissingOrOfAnotherShape) {
  CheckpointCopy copy(kCheckpoint, "q3o_tensors");
  for (const char* end :
       {"audio_tower.conv2d1.weight", "audio_tower.conv2d3.bias", "audio_tower.conv_out.weight",
        "audio_tower.ln_post.weight", "audio_tower.proj1.bias", "audio_tower.proj2.weight",
        "audio_tower.layers.1.fc1.bias", "visual.pos_embed.weight", "visual.merger.ln_q.weight",
        "visual.merger_list.1.mlp.2.weight", "layers.2.mlp.gate.weight",
        "layers.0.self_attn.q_norm.weight", "lm_head.weight"}) {
    copy.lose(end, true);
    std::string said = error_of(copy.folder(), ErrorCode::not_found);
    EXPECT_NE(said.find(end), std::string::npos) << said;
    copy.lose(end, false);
    said = error_of(copy.folder(), ErrorCode::corrupt_file);
    EXPECT_NE(said.find(end), std::string::npos) << said;
  }
}

TEST(Qwen3OmniErrors, ATokenizerWithoutItsMarkers) {
  for (const char* marker : {"<|audio_pad|>", "<|audio_start|>", "<|audio_end|>"}) {
    CheckpointCopy copy(kCheckpoint, "q3o_markers");
    nlohmann::json tokenizer = copy.original("tokenizer.json");
    auto& added = tokenizer["added_tokens"];
    added.erase(std::remove_if(added.begin(), added.end(),
                               [&](const auto& t) { return t["content"] == marker; }),
                added.end());
    copy.write("tokenizer.json", tokenizer.dump());
    const std::string said = error_of(copy.folder(), ErrorCode::corrupt_file);
    EXPECT_NE(said.find(marker), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace omni
