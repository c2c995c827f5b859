// Checkpoint folders that are wrong: one clear error each.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <tuple>
#include <vector>

#include "engine/find_model.h"
#include "models/load_error.h"
#include "omni/engine.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

class LoadTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("omni_load_test_" + std::to_string(::getpid()));
    fs::remove_all(dir_);
    fs::copy(OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/c/checkpoint", dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::string read(const std::string& name) {
    std::stringstream s;
    s << std::ifstream(dir_ / name, std::ios::binary).rdbuf();
    return s.str();
  }
  void write(const std::string& name, const std::string& bytes) {
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
  }
  void replace(const std::string& name, const std::string& from, const std::string& to) {
    std::string s = read(name);
    const size_t at = s.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(name, s.replace(at, from.size(), to));
  }
  void expect_error(ErrorCode code, const std::string& says) {
    try {
      Engine::open({.model_path = dir_.string(), .threads = 1});
      ADD_FAILURE() << "loaded";
    } catch (const Error& e) {
      EXPECT_EQ(int(e.code()), int(code)) << e.what();
      EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
    }
  }
  fs::path dir_;
};

TEST_F(LoadTest, TheUnchangedFolderLoads) {
  const auto a = Engine::open({.model_path = dir_.string(), .threads = 1}),
             b = Engine::open({.model_path = dir_.string() + "/.", .threads = 1});
  EXPECT_EQ(a, b);  // one copy of the weights
  EXPECT_EQ(a->fingerprint().size(), 16u);
  EXPECT_EQ(a->defaults().min_pixels, 3136);
}

TEST_F(LoadTest, MissingFolder) {
  fs::remove_all(dir_);
  expect_error(ErrorCode::not_found, dir_.string());
}
TEST_F(LoadTest, FolderThatIsAFile) {
  fs::remove_all(dir_);
  std::ofstream(dir_) << "x";
  expect_error(ErrorCode::not_found, dir_.string());
}
TEST_F(LoadTest, NoPermission) {
  fs::permissions(dir_ / "model.safetensors", fs::perms::none);
  const bool root = ::geteuid() == 0;  // root may read everything: be nobody for a while
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  expect_error(ErrorCode::not_found, "model.safetensors");
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
}
TEST_F(LoadTest, MissingFiles) {
  for (const char* name :
       {"config.json", "tokenizer.json", "model.safetensors", "processor_config.json"}) {
    const std::string bytes = read(name);
    fs::remove(dir_ / name);
    expect_error(ErrorCode::not_found,
                 name == std::string("processor_config.json") ? "preprocessor_config.json" : name);
    write(name, bytes);
  }
}
TEST_F(LoadTest, LayoutsOfOtherProgramsAreNamed) {
  write("pytorch_model.bin", "x");
  write("b.gguf", "GGUF");
  // beside safetensors they do not matter
  Engine::open({.model_path = dir_.string(), .threads = 1});
  fs::remove(dir_ / "model.safetensors");
  expect_error(ErrorCode::unsupported, "b.gguf: GGUF");
  fs::remove(dir_ / "b.gguf");
  expect_error(ErrorCode::unsupported, "pytorch_model.bin: pickled PyTorch");
  fs::remove_all(dir_);
  std::ofstream(dir_.string() + ".gguf") << "GGUF";
  try {
    Engine::open({.model_path = dir_.string() + ".gguf"});
    ADD_FAILURE() << "loaded";
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(ErrorCode::unsupported)) << e.what();
  }
  fs::remove(dir_.string() + ".gguf");
}

// In place of each file that is opened: a FIFO that nobody writes, a device, a folder.
TEST_F(LoadTest, WhatIsNoFileIsNotWaitedFor) {
  write("model2.safetensors", read("model.safetensors"));  // read for the fingerprint
  for (const char* name : {"config.json", "tokenizer.json", "generation_config.json",
                           "processor_config.json", "model.safetensors", "model2.safetensors"}) {
    const std::string bytes = read(name);
    fs::remove(dir_ / name);
    ASSERT_EQ(::mkfifo((dir_ / name).c_str(), 0600), 0);
    expect_error(ErrorCode::not_found, std::string(name) + ": is a FIFO and not a file");
    fs::remove(dir_ / name);
    fs::create_symlink("/dev/zero", dir_ / name);
    expect_error(ErrorCode::not_found, std::string(name) + ": is a device and not a file");
    fs::remove(dir_ / name);
    fs::create_directory(dir_ / name);
    expect_error(ErrorCode::not_found, std::string(name) + ": is a folder and not a file");
    fs::remove(dir_ / name);
    write(name, bytes);
  }
}
TEST_F(LoadTest, AnIndexOfWhatIsNoFileOfTheFolder) {
  fs::rename(dir_ / "model.safetensors", dir_ / "one.safetensors");
  for (const char* shard : {"../one.safetensors", "/etc/passwd", "", ".", "..", "config.json",
                            "one.safetensors\\u0000", "missing"}) {
    write("model.safetensors.index.json",
          std::string(R"({"weight_map": {"model.embed_tokens.weight": ")") + shard + "\"}}");
    EXPECT_THROW(Engine::open({.model_path = dir_.string(), .threads = 1}), Error) << shard;
  }
}

// What a user may give instead of a checkpoint's folder; the error says what to do.
TEST_F(LoadTest, WhatIsNoCheckpointIsRecognisedForWhatItIs) {
  const auto expect_says = [](const std::string& said, const char* part) {
    EXPECT_NE(said.find(part), std::string::npos) << said;
  };
  expect_says(error_of("Qwen/Qwen2.5-Omni-3B", ErrorCode::not_found),
              "`hf download Qwen/Qwen2.5-Omni-3B --local-dir Qwen2.5-Omni-3B`");
  expect_says(error_of("https://huggingface.co/openai/whisper-base", ErrorCode::not_found),
              "then model-path=whisper-base");
  expect_says(error_of("~/models/nano", ErrorCode::not_found), "write $HOME instead");
  EXPECT_EQ(error_of(dir_ / "missing" / "folder", ErrorCode::not_found),
            "model-path " + (dir_ / "missing/folder").string() + ": No such file or directory");
  expect_says(error_of(dir_ / "model.safetensors", ErrorCode::not_found), "the folder around it");
  expect_says(error_of(dir_ / "config.json", ErrorCode::not_found), "the folder around it");
  write("a.mp3", "ID3\4");
  write("a.mp4", std::string("\0\0\0\x20", 4) + "ftypisom");
  write("a", "RIFF....WAVEfmt ");
  for (const char* media : {"a.mp3", "a.mp4", "a"})
    expect_says(error_of(dir_ / media, ErrorCode::unsupported), "is a media file");
  write("weights", "GGUF\3");
  expect_says(error_of(dir_ / "weights", ErrorCode::unsupported), "weights: GGUF");

  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 892920\n";
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    const std::string bytes = read(name);
    write(name, pointer);
    expect_says(error_of(dir_, ErrorCode::not_found),
                (std::string(name) + " is git-lfs's pointer").c_str());
    write(name, bytes);
  }

  fs::remove(dir_ / "model.safetensors");
  fs::remove(dir_ / "weights");
  write("model.bin", "x");
  expect_says(error_of(dir_, ErrorCode::unsupported), "model.bin: CTranslate2");
  fs::remove(dir_ / "model.bin");
  write("consolidated.00.pth", "x");
  expect_says(error_of(dir_, ErrorCode::unsupported), ".save_pretrained(NEW_FOLDER)");
  fs::remove(dir_ / "consolidated.00.pth");
  const fs::path snapshot = dir_ / "cache/snapshots/abc";
  fs::create_directories(snapshot);
  std::ofstream(snapshot / "config.json") << "{}";
  expect_says(error_of(dir_ / "cache", ErrorCode::not_found), "/snapshots/abc");
}
TEST_F(LoadTest, ANameIsLookedUpWhereModelsAreKept) {
  const fs::path data = dir_ / "data", named = dir_ / "named", none = dir_ / "none";
  fs::create_directories(data / "gst-omni/models/both");
  fs::create_directories(data / "gst-omni/models/mine");
  fs::create_directories(named / "both");
  setenv("OMNI_MODELS", (none.string() + ":" + named.string()).c_str(), 1);
  setenv("XDG_DATA_HOME", data.c_str(), 1);
  EXPECT_EQ(find_model("both"), fs::canonical(named / "both")) << "what was named comes first";
  EXPECT_EQ(find_model("mine"), fs::canonical(data / "gst-omni/models/mine"));
  EXPECT_EQ(find_model(named.string()), fs::canonical(named)) << "a path is itself";
  for (const char* missing : {"theirs", "./mine", "models/mine", "~mine"}) {
    try {
      find_model(missing);
      ADD_FAILURE() << missing << " was found";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::not_found);
      const std::string said = e.what();
      EXPECT_EQ(said.find((data / "gst-omni/models").string()) != std::string::npos &&
                    said.find(named.string()) != std::string::npos,
                std::string(missing) == "theirs")
          << said;
    }
  }
  unsetenv("OMNI_MODELS");
  unsetenv("XDG_DATA_HOME");
}
TEST_F(LoadTest, QuantizedByWhatIsNotRead) {
  replace("config.json", "{",
          R"({"quantization_config": {"quant_method": "mxfp4", "weight_block_size": [128, 128]},)");
  expect_error(ErrorCode::unsupported, "\"mxfp4\"");
}
TEST_F(LoadTest, QuantizedCheckpointsThatLie) {
  fs::remove_all(dir_);
  fs::copy(OMNI_SOURCE_DIR "/tests/fixtures/quantized/gptq/checkpoint", dir_);
  const std::string config = read("config.json"), index = read("model.safetensors.index.json");
  for (const auto& [from, to, code, says] :
       std::vector<std::tuple<const char*, const char*, ErrorCode, const char*>>{
           {"\"group_size\": 32", "\"group_size\": 0", ErrorCode::corrupt_file, "groups of 0"},
           {"\"group_size\": 32", "\"group_size\": 64", ErrorCode::corrupt_file,
            "layers.0.self_attn.q_proj.qzeros"},
           {"\"group_size\": 32", "\"group_size\": 48", ErrorCode::unsupported, "groups of 48"},
           {"\"bits\": 4", "\"bits\": 3", ErrorCode::unsupported, "3 bits"},
           {"\"bits\": 4", "\"bits\": 8", ErrorCode::corrupt_file,
            "layers.0.self_attn.q_proj.qweight"},
           {"\"gptq\"", "\"awq\"", ErrorCode::corrupt_file, "layers.0.self_attn.q_proj.qweight"}}) {
    replace("config.json", from, to);
    expect_error(code, says);
    write("config.json", config);
  }
  for (const char* part : {"qzeros", "scales", "g_idx"}) {
    replace("model.safetensors.index.json", std::string("layers.1.mlp.down_proj.") + part,
            "nothing");
    expect_error(ErrorCode::corrupt_file, part);
    write("model.safetensors.index.json", index);
  }
}
TEST_F(LoadTest, UnknownModelType) {
  replace("config.json", "qwen2_5_omni_thinker", "gpt_6");
  expect_error(ErrorCode::unsupported, "gpt_6");
}
TEST_F(LoadTest, MissingKey) {
  replace("config.json", "\"num_hidden_layers\"", "\"renamed\"");
  expect_error(ErrorCode::corrupt_file, "num_hidden_layers");
}
TEST_F(LoadTest, AbsurdKey) {
  replace("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 200000000000");
  expect_error(ErrorCode::corrupt_file, "num_hidden_layers");
}
TEST_F(LoadTest, WrongShape) {
  replace("config.json", "\"intermediate_size\": 64", "\"intermediate_size\": 65");
  expect_error(ErrorCode::corrupt_file, "gate_proj.weight");
}
TEST_F(LoadTest, MoreLayersThanTensors) {
  replace("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
  expect_error(ErrorCode::not_found, "model.layers.2.");
}
TEST_F(LoadTest, TruncatedWeights) {
  const std::string bytes = read("model.safetensors");
  write("model.safetensors", bytes.substr(0, bytes.size() / 2));
  expect_error(ErrorCode::corrupt_file, "model.safetensors");
}
TEST_F(LoadTest, TruncatedJson) {
  for (const char* name : {"config.json", "tokenizer.json", "generation_config.json"}) {
    const std::string bytes = read(name);
    write(name, bytes.substr(0, bytes.size() / 2));
    expect_error(ErrorCode::corrupt_file, name);
    write(name, bytes);
  }
}
TEST_F(LoadTest, DevicesThatAreNotHere) {
  EXPECT_THROW(Engine::open({.model_path = dir_.string(), .device = "cuda"}), Error);
  EXPECT_THROW(Engine::open({.model_path = dir_.string(), .device = "tpu"}), Error);
}
TEST_F(LoadTest, CancelledByItsProgress) {
  try {
    Engine::open({.model_path = dir_.string(), .threads = 1},
                 [](double) { throw Error(ErrorCode::cancelled, "stop"); });
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(ErrorCode::cancelled));
  }
}

}  // namespace
}  // namespace omni
