// Which device an engine takes, and what is said where its memory is not enough: on the emulation,
// which has as much as OMNI_CUDA_MEMORY says.
#include <gtest/gtest.h>

#include <cstdlib>
#include <mutex>
#include <string>

#include "omni/engine.h"
#include "omni/log.h"

namespace omni {
namespace {

const char* const kFolder = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint";

class AutomaticDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("OMNI_CUDA", "emulated", 1);
    ::setenv("OMNI_CUDA_FAULTS", "abort", 1);
    ::unsetenv("OMNI_CUDA_MEMORY");
  }
  void TearDown() override { ::unsetenv("OMNI_CUDA_MEMORY"); }
  static void set_memory(size_t bytes) {
    ::setenv("OMNI_CUDA_MEMORY", std::to_string(bytes).c_str(), 1);
  }
  static std::shared_ptr<const Engine> open(const char* device) {
    return Engine::open({.model_path = kFolder, .device = device});
  }
  static void expect_says(const std::string& text, std::initializer_list<const char*> parts) {
    for (const char* part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  }
};

constexpr size_t kLittle = 100'000;

TEST_F(AutomaticDevice, IsTheGpuThatHasRoom) {
  const auto engine = open("auto");
  EXPECT_TRUE(engine->on_device());
  EXPECT_EQ(engine->compute().rfind("cuda:0 (", 0), 0u) << engine->compute();
  EXPECT_EQ(engine, open("cuda"));
  EXPECT_GT(engine->copied().to_device, 400'000u);  // its weights
}

TEST_F(AutomaticDevice, IsTheCpuWhereTheGpuHasNoRoom) {
  static std::mutex lock;
  static std::string said;
  set_log_sink([](LogLevel level, const std::string& line) {
    std::lock_guard guard(lock);
    if (level == LogLevel::warning) said += line + "\n";
  });
  set_memory(size_t{1} << 30);  // the weights and room to work in are more
  const auto engine = open("auto");
  set_log_sink({});
  EXPECT_FALSE(engine->on_device());
  EXPECT_EQ(engine->compute(), cpu_instructions());
  EXPECT_EQ(engine->copied().to_device, 0u);
  EXPECT_EQ(engine, open("cpu"));
  std::lock_guard guard(lock);
  expect_says(said, {"device=auto is the CPU", kFolder, " needs 0 MiB and 1024 MiB to work with",
                     "cuda:0 (CPU emulation of CUDA) has "});
}

TEST_F(AutomaticDevice, StaysWhereTheCheckpointIsOpen) {
  const auto engine = open("auto");
  set_memory(kLittle);
  EXPECT_EQ(engine, open("auto"));
}

TEST_F(AutomaticDevice, WhatIsAskedForByNameSaysWhatItNeeds) {
  set_memory(kLittle);
  try {
    open("cuda");
    FAIL() << "it was opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::out_of_memory);
    expect_says(e.what(), {"no memory to load ", kFolder, "whose weights take 0 MiB",
                           "cuda:0 (CPU emulation of CUDA) has no ", " for a tensor [",
                           "of its 0 MiB are free"});
  }
}

TEST_F(AutomaticDevice, AContextWithoutRoomSaysWhatItNeeds) {
  const auto engine = open("cuda");
  const auto session = engine->make_session({});
  set_memory(kLittle);
  try {
    ask_and_wait(*session, {.text = "What?"});
    FAIL() << "it was answered";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::out_of_memory);
    expect_says(e.what(), {"cuda:0 (CPU emulation of CUDA) has no ",
                           " for keys and values: ", "of its 0 MiB are free"});
  }
}

}  // namespace
}  // namespace omni
