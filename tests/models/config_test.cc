// What stands in a checkpoint's configuration files: every number in a range, every key either
// read, or of the value that is computed here, or refused by its name.
#include "qwen2_5_omni/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "io/config_keys.h"
#include "models/checkpoint_copy.h"
#include "omni/engine.h"
#include "omni/log.h"
#include "qwen2_5_omni/config_keys.h"
#include "qwen2_5_vl/qwen2_5_vl.h"
#include "qwen2_vl/qwen2_vl.h"
#include "qwen3_omni/config.h"
#include "qwen3_vl/config.h"
#include "text/bpe.h"
#include "vad/turn_model.h"
#include "whisper/config.h"
#include "whisper/config_keys.h"

namespace omni {
namespace {

namespace fs = std::filesystem;
using Pointer = nlohmann::json::json_pointer;

const fs::path kFixtures = OMNI_SOURCE_DIR "/tests/fixtures";

struct Change {
  const char* file;
  std::string at;     // a JSON pointer
  const char* value;  // JSON
  const char* says;   // part of the error; the file's name is in it, too
};

// What reading the folder says, with one value changed.
std::string error_of(CheckpointCopy& copy, const Change& change, ErrorCode code,
                     const std::function<void(const fs::path&)>& read) {
  nlohmann::json j = copy.original(change.file);
  j[Pointer(change.at)] = nlohmann::json::parse(change.value);
  copy.write(change.file, j.dump());
  std::string said = "nothing";
  try {
    read(copy.folder());
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    said = e.what();
    EXPECT_NE(said.find(change.file), std::string::npos) << said;
  }
  copy.restore(change.file);
  return said;
}

void expect_errors(const fs::path& fixture, ErrorCode code, const std::vector<Change>& changes,
                   const std::function<void(const fs::path&)>& read) {
  CheckpointCopy copy(fixture, "config_test");
  EXPECT_NO_THROW(read(copy.folder()));
  for (const Change& c : changes) {
    const std::string said = error_of(copy, c, code, read);
    EXPECT_NE(said.find(c.says), std::string::npos) << c.at << " " << c.value << ": " << said;
  }
}

void open_engine(const fs::path& folder) {
  Engine::open({.model_path = folder.string(), .threads = 1});
}
void read_whisper(const fs::path& folder) {
  whisper::Config::read(folder, BpeTokenizer(folder / "tokenizer.json"));
}
void read_voice(const fs::path& folder) { qwen2_5_omni::SpeechConfig::read(folder); }

TEST(ConfigRanges, Qwen2_5Omni) {
  expect_errors(
      kFixtures / "qwen2_5_omni/c/checkpoint", ErrorCode::corrupt_file,
      {
          {"config.json", "/text_config/hidden_size", "0", "hidden_size is 0, not in 1 … 1048576"},
          {"config.json", "/text_config/num_attention_heads", "1048577", "num_attention_heads"},
          {"config.json", "/text_config/head_dim", "1048576", "columns in its attention heads"},
          {"config.json", "/text_config/num_hidden_layers", "-2147483648", "num_hidden_layers"},
          {"config.json", "/text_config/rms_norm_eps", "1e300", "rms_norm_eps is 1e+300"},
          {"config.json", "/text_config/rms_norm_eps", "-1e-6", "rms_norm_eps"},
          {"config.json", "/text_config/rope_parameters/rope_theta", "1e300", "rope_theta"},
          {"config.json", "/text_config/rope_parameters/rope_theta", "0", "rope_theta"},
          {"config.json", "/text_config/rope_parameters/mrope_section/1", "-3", "mrope_section[1]"},
          {"config.json", "/text_config/max_position_embeddings", "9223372036854775807",
           "max_position_embeddings"},
          {"config.json", "/vision_config/fullatt_block_indexes/0", "4294967295",
           "fullatt_block_indexes[0]"},
          {"config.json", "/vision_config/spatial_merge_size", "17", "spatial_merge_size"},
          {"config.json", "/audio_config/max_source_positions", "-1", "max_source_positions"},
          {"config.json", "/audio_config/n_window", "2147483647", "n_window"},
          {"config.json", "/position_id_per_seconds", "2147483647", "position_id_per_seconds"},
          {"config.json", "/audio_token_index", "1", "is not the id of <|AUDIO|>"},
          {"config.json", "/audio_token_index", "-1", "audio_token_index"},
          {"config.json", "/image_token_id", "1", "is not the id of <|IMAGE|>"},
          {"generation_config.json", "/eos_token_id", "2147483648", "eos_token_id"},
          {"generation_config.json", "/eos_token_id", "-1", "eos_token_id"},
          {"generation_config.json", "/eos_token_id", "[1, 4294967296]", "eos_token_id[1]"},
          {"generation_config.json", "/omni/context-duration", "1e300", "context-duration"},
          {"generation_config.json", "/omni/context-duration", "-1", "context-duration"},
          {"generation_config.json", "/omni/min-pixels", "268435456", "min-pixels is 268435456"},
          {"generation_config.json", "/omni/frame-rate", "\"99999999999/1\"", "frame-rate is"},
          {"generation_config.json", "/omni/frame-rate", "\"2/0\"", "no fraction like"},
          {"generation_config.json", "/omni/frame-rate", "\"2/1x\"", "no fraction like"},
          {"generation_config.json", "/omni/normaliser-window", "1e300", "normaliser-window"},
          {"generation_config.json", "/omni/speech-temperature", "-1", "speech-temperature"},
          {"generation_config.json", "/omni/speech-top-p", "1.5", "speech-top-p"},
          {"generation_config.json", "/omni/speech-repetition-penalty", "0",
           "speech-repetition-penalty"},
          {"generation_config.json", "/omni/flow-guidance", "1e300", "flow-guidance"},
          {"generation_config.json", "/omni/flow-look-ahead", "4", "flow-look-ahead"},
          {"generation_config.json", "/omni/flow-points", "2147483648", "flow-points"},
          {"generation_config.json", "/omni/max-tokens", "0", "max-tokens"},
          {"processor_config.json", "/image_processor/image_std/0", "0", "image_std[0]"},
          {"processor_config.json", "/image_processor/image_mean/2", "1e300", "image_mean[2]"},
          {"processor_config.json", "/image_processor/size/shortest_edge", "0", "shortest_edge"},
          {"processor_config.json", "/image_processor/size/longest_edge", "9223372036854775807",
           "longest_edge"},
          {"processor_config.json", "/image_processor/patch_size", "16", "patch_size is 16"},
          {"processor_config.json", "/feature_extractor/feature_size", "80", "feature_size is 80"},
      },
      open_engine);
}

TEST(ConfigRanges, Qwen2_5OmniVoice) {
  const std::string dit = "/token2wav_config/dit_config", gan = "/token2wav_config/bigvgan_config";
  expect_errors(
      kFixtures / "qwen2_5_omni/speech/checkpoint", ErrorCode::corrupt_file,
      {
          {"config.json", dit + "/repeats", "1048576", "repeats is 1048576, not in 1 … 16"},
          {"config.json", dit + "/repeats", "4", "block_size that is not a multiple of repeats"},
          {"config.json", dit + "/block_size", "2147483647", "block_size"},
          {"config.json", dit + "/look_ahead_layers", "[4294967296]", "look_ahead_layers[0]"},
          {"config.json", dit + "/rope_parameters/rope_theta", "-1", "rope_theta"},
          {"config.json", dit + "/max_position_embeddings", "-1", "max_position_embeddings"},
          {"config.json", dit + "/enc_dilations/1", "1024", "that reaches 16 frames"},
          {"config.json", dit + "/enc_dilations/1", "1025", "enc_dilations[1]"},
          {"config.json", dit + "/head_dim", "1048576", "columns in its attention heads"},
          {"config.json", gan + "/upsample_rates", "[64, 64, 64, 64, 64, 64]",
           "upsample_rates of too large a product"},
          {"config.json", gan + "/upsample_rates/0", "2147483647", "upsample_rates[0]"},
          {"config.json", gan + "/resblock_dilation_sizes/0/1", "0",
           "resblock_dilation_sizes[0][1] is 0"},
          {"config.json", gan + "/resblock_dilation_sizes", "7", "is not a list"},
          {"config.json", gan + "/upsample_kernel_sizes",
           "[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]", "more than 16 elements"},
          {"config.json", "/talker_config/tts_text_end_token_id", "-1", "tts_text_end_token_id"},
          {"config.json", "/thinker_config",
           R"({"position_id_per_seconds": 13, "seconds_per_chunk": 2})",
           "position_id_per_seconds is 25, not in 13 … 13"},
      },
      read_voice);
}

TEST(ConfigRanges, Whisper) {
  expect_errors(
      kFixtures / "whisper/checkpoint", ErrorCode::corrupt_file,
      {
          {"generation_config.json", "/max_initial_timestamp_index", "-2147483648",
           "max_initial_timestamp_index is -2147483648, not in 0 … 65536"},
          {"generation_config.json", "/max_initial_timestamp_index", "2147483647",
           "max_initial_timestamp_index"},
          {"generation_config.json", "/suppress_tokens/0", "4294967296", "suppress_tokens[0]"},
          {"generation_config.json", "/begin_suppress_tokens/1", "-2", "begin_suppress_tokens[1]"},
          {"generation_config.json", "/suppress_tokens", "7", "suppress_tokens is not a list"},
          {"generation_config.json", "/no_timestamps_token_id", "1", "no_timestamps_token_id is 1"},
          {"generation_config.json", "/alignment_heads/0/0", "-1", "alignment_heads[0][0] is -1"},
          {"generation_config.json", "/alignment_heads/0", "[1]", "alignment_heads[0] is no layer"},
          {"config.json", "/d_model", "2147483648", "d_model"},
          {"config.json", "/vocab_size", "0", "vocab_size"},
          {"preprocessor_config.json", "/feature_size", "128", "feature_size is 128"},
          {"preprocessor_config.json", "/chunk_length", "30", "max_source_positions / 50"},
      },
      read_whisper);
}

TEST(ConfigKeys, WhatIsNotComputedHereIsRefusedByItsName) {
  expect_errors(
      kFixtures / "qwen2_5_omni/c/checkpoint", ErrorCode::unsupported,
      {
          {"config.json", "/text_config/rope_parameters/rope_type", "\"yarn\"",
           "text_config.rope_parameters.rope_type is \"yarn\"; only \"default\", \"mrope\" is"},
          {"config.json", "/text_config/rope_parameters/rope_type", "\"linear\"", "rope_type"},
          {"config.json", "/text_config/rope_scaling", R"({"type": "dynamic"})",
           "rope_scaling.type is \"dynamic\""},
          {"config.json", "/text_config/rope_parameters/mrope_interleaved", "true", "interleaved"},
          {"config.json", "/text_config/use_sliding_window", "true", "use_sliding_window is true"},
          {"config.json", "/text_config/layer_types", R"(["full_attention", "sliding_attention"])",
           "layer_types[1] is \"sliding_attention\""},
          {"config.json", "/text_config/hidden_act", "\"gelu\"", "hidden_act is \"gelu\""},
          {"config.json", "/vision_config/hidden_act", "\"quick_gelu\"",
           "vision_config.hidden_act"},
          {"config.json", "/vision_config/rope_parameters/rope_theta", "5000.0", "rope_theta"},
          {"config.json", "/audio_config/activation_function", "\"relu\"", "activation_function"},
          {"config.json", "/audio_config/scale_embedding", "true", "scale_embedding is true"},
          {"config.json", "/audio_config/pruned_heads", R"({"0": [1]})", "pruned_heads"},
          {"processor_config.json", "/image_processor/resample", "2", "resample is 2; only 3"},
          {"processor_config.json", "/image_processor/do_normalize", "false", "do_normalize"},
          {"processor_config.json", "/image_processor/rescale_factor", "1.0", "rescale_factor"},
          {"processor_config.json", "/feature_extractor/hop_length", "320", "hop_length is 320"},
          {"generation_config.json", "/suppress_tokens", "[1]", "no such thing is computed here"},
      },
      open_engine);
  expect_errors(kFixtures / "qwen2_5_omni/speech/checkpoint", ErrorCode::unsupported,
                {
                    {"config.json", "/talker_config/use_sliding_window", "true", "talker_config."},
                    {"config.json", "/talker_config/rope_parameters/rope_type", "\"yarn\"", "yarn"},
                    {"config.json", "/token2wav_config/dit_config/rope_parameters/rope_type",
                     "\"linear\"", "linear"},
                },
                read_voice);
  expect_errors(kFixtures / "whisper/checkpoint", ErrorCode::unsupported,
                {
                    {"config.json", "/activation_function", "\"gelu_new\"", "activation_function"},
                    {"config.json", "/scale_embedding", "true", "scale_embedding is true"},
                    {"config.json", "/tie_word_embeddings", "false", "tie_word_embeddings"},
                    {"config.json", "/median_filter_width", "9", "median_filter_width is 9"},
                    {"preprocessor_config.json", "/sampling_rate", "8000", "sampling_rate"},
                },
                read_whisper);
}

// A key that is null says as much as none.
TEST(ConfigKeys, NullIsNoValue) {
  CheckpointCopy copy(kFixtures / "qwen2_5_omni/c/checkpoint", "config_null");
  nlohmann::json j = copy.original("config.json");
  j["text_config"]["hidden_act"] = nullptr;
  j["text_config"]["rope_scaling"] = nullptr;
  copy.write("config.json", j.dump());
  EXPECT_NO_THROW(open_engine(copy.folder()));
}

// One that nobody listed has to be looked up in the reference: does it change what is computed?
TEST(ConfigKeys, EveryKeyOfEveryFixtureIsInAList) {
  int n = 0;
  const auto all_listed = [&](const fs::path& folder) {
    if (!fs::exists(folder / "config.json")) return;
    ++n;
    const std::string type = Json::parse_file(folder / "config.json").at("model_type").string();
    std::vector<std::string> unlisted;
    if (type == "whisper") {
      unlisted = whisper::check_config_keys(folder);
    } else if (type == "qwen2_5_vl") {
      unlisted = qwen2_5_vl::check_config_keys(folder);
    } else if (type == "qwen2_vl") {
      unlisted = qwen2_vl::check_config_keys(folder);
    } else if (type.starts_with("qwen3_omni")) {
      unlisted = qwen3_omni::check_config_keys(folder);
    } else if (type.starts_with("qwen3_vl")) {
      unlisted = qwen3_vl::check_config_keys(folder);
    } else if (type == "smart_turn") {
      unlisted = TurnModel::check_config_keys(folder);
    } else {
      unlisted = qwen2_5_omni::check_thinker_keys(folder);
      for (std::string& key : qwen2_5_omni::check_voice_keys(folder))
        unlisted.push_back(std::move(key));
    }
    for (const std::string& key : unlisted) ADD_FAILURE() << key << " is in no list";
  };
  for (const auto& entry : fs::recursive_directory_iterator(kFixtures))
    if (entry.path().filename() == "checkpoint") all_listed(entry.path());
  for (const auto& entry : fs::directory_iterator(OMNI_SOURCE_DIR "/models"))
    all_listed(entry.path());
  EXPECT_GE(n, 17);
}

TEST(ConfigKeys, ANewKeyIsTold) {
  CheckpointCopy copy(kFixtures / "qwen2_5_omni/c/checkpoint", "config_new");
  nlohmann::json j = copy.original("config.json");
  j["text_config"]["rope_parameters"]["new_key"] = 1;
  copy.write("config.json", j.dump());
  EXPECT_EQ(qwen2_5_omni::check_thinker_keys(copy.folder()),
            std::vector<std::string>{(copy.folder() / "config.json").string() +
                                     ": text_config.rope_parameters.new_key"});
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, const std::string& line) { lines.push_back(line); });
  open_engine(copy.folder());
  set_log_sink({});
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.ends_with("new_key is not known here and passed over");
  }));
}

// A distilled decoder with its teacher's heads.
TEST(WhisperConfig, HeadsOfLayersThatAreNotThereAreLeftOutAndTold) {
  using Heads = std::vector<std::pair<int, int>>;
  const Heads upper_half = {{1, 0}, {1, 1}, {1, 2}};
  const std::tuple<const char*, Heads, const char*> cases[] = {
      {"[[0, 1], [1, 2]]", {{0, 1}, {1, 2}}, ""},
      {"[[0, 1], [2, 0], [1, 3], [1, 2]]", {{0, 1}, {1, 2}}, "2 of 4 are of layers or heads"},
      {"[[10, 12], [31, 2]]", upper_half, "all of its upper half stand in"},
      {"[]", upper_half, ""},
      {"null", upper_half, ""}};
  CheckpointCopy copy(kFixtures / "whisper/checkpoint", "config_heads");
  std::string log;
  set_log_sink([&](LogLevel level, const std::string& line) {
    if (level == LogLevel::warning) log += line;
  });
  for (const auto& [heads, kept, told] : cases) {
    nlohmann::json j = copy.original("generation_config.json");
    j["alignment_heads"] = nlohmann::json::parse(heads);
    copy.write("generation_config.json", j.dump());
    log.clear();
    EXPECT_EQ(whisper::Config::read(copy.folder(), BpeTokenizer(copy.folder() / "tokenizer.json"))
                  .alignment_heads,
              kept)
        << heads;
    EXPECT_NE(log.find(told), std::string::npos) << log;
    EXPECT_EQ(log.empty(), std::string(told).empty()) << log;
  }
  set_log_sink({});
}

}  // namespace
}  // namespace omni
