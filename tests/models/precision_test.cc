// precision=int8 and int4 through the engine: close to float32, made once, and passed over where a
// checkpoint is quantized.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <vector>

#include "core/arena.h"
#include "core/thread_pool.h"
#include "interface/lone_sequence.h"
#include "io/quantize_cache.h"
#include "models/devices.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "omni/log.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = OMNI_SOURCE_DIR "/tests/fixtures";

class PrecisionTest : public testing::Test {
 protected:
  void SetUp() override {
    cache_ = fs::temp_directory_path() / ("omni_precision_test_" + std::to_string(::getpid()));
    fs::remove_all(cache_);
    ::setenv("XDG_CACHE_HOME", cache_.c_str(), 1);
    set_log_sink([this](LogLevel, const std::string& line) {
      std::lock_guard guard(lock_);
      log_ += line + "\n";
    });
  }
  void TearDown() override {
    set_log_sink({});
    ::unsetenv("XDG_CACHE_HOME");
    fs::remove_all(cache_);
  }

  std::string answer(const fs::path& checkpoint, Precision precision) {
    log_.clear();
    const auto engine = Engine::open(
        {.model_path = checkpoint.string(), .device = "cpu", .precision = precision, .threads = 2});
    opened_as_ = engine->precision();
    const auto session = engine->make_session({});
    return ask_and_wait(*session, {"What do you see?", SamplingOptions{.max_tokens = 8}}).text;
  }
  // Logits of a prompt. Without an engine, which would be shared.
  std::vector<float> logits(const fs::path& checkpoint, Precision precision,
                            const Device* device = nullptr) {
    ThreadPool pool(2);
    Arena arena(device);
    ops::Context cx{pool, arena};
    const Family family = load_family({checkpoint, precision, device, {&pool, nullptr}}, {});
    const Prompter& prompter = *family.prompter;
    const TextModel& text = *family.text;
    Cursor cursor;
    Rows rows = prompter.begin_dialogue(cursor, "You watch a live feed.");
    const Rows question = prompter.ask(cursor, "Where is the ball?");
    rows.ids.insert(rows.ids.end(), question.ids.begin(), question.ids.end());
    rows.positions.insert(rows.positions.end(), question.positions.begin(),
                          question.positions.end());
    LoneSequence sequence(text);
    const Tensor y = sequence.forward(text, cx, text.embed(cx, rows.ids), rows.positions);
    const Tensor l = text.logits(cx, y.rows(y.dim(0) - 1, y.dim(0)));
    std::vector<float> room;
    const auto values = ops::to_host(cx, l, room);
    return {values.begin(), values.end()};
  }
  static double cosine(const std::vector<float>& a, const std::vector<float>& b) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); ++i)
      ab += double(a[i]) * b[i], aa += double(a[i]) * a[i], bb += double(b[i]) * b[i];
    return ab / std::sqrt(aa * bb);
  }
  static int files_in(const fs::path& folder) {
    return fs::exists(folder) ? int(std::distance(fs::recursive_directory_iterator(folder), {}))
                              : 0;
  }
  bool logged(const std::string& text) {
    std::lock_guard guard(lock_);
    return log_.find(text) != std::string::npos;
  }

  fs::path cache_;
  Precision opened_as_{};
  std::mutex lock_;
  std::string log_;  // under lock_
};

TEST_F(PrecisionTest, LogitsAreCloseToThoseOfFloat32) {
  const fs::path nano = OMNI_SOURCE_DIR "/models/nano";
  const auto exact = logits(nano, Precision::float32);
  for (const char* name : test_devices()) {
    const Device* device = open_test_device(name);
    const double int8 = cosine(exact, logits(nano, Precision::int8, device)),
                 int4 = cosine(exact, logits(nano, Precision::int4, device));
    EXPECT_GT(int8, 0.999) << name;
    EXPECT_GT(int4, 0.99) << name;
    EXPECT_LT(int4, 0.99999) << name;  // it is four bits
  }
}

TEST_F(PrecisionTest, TheSecondStartMapsWhatTheFirstMade) {
  const fs::path checkpoint = kFixtures / "qwen2_5_omni/c/checkpoint";
  const std::string first = answer(checkpoint, Precision::int4);
  EXPECT_EQ(int(opened_as_), int(Precision::int4));
  const int kept = files_in(cache_);
  EXPECT_GT(kept, 20);
  EXPECT_TRUE(logged(" 0 found"));
  EXPECT_EQ(answer(checkpoint, Precision::int4), first);
  EXPECT_TRUE(logged("0 matrices quantized"));
  EXPECT_EQ(files_in(cache_), kept);
}

TEST_F(PrecisionTest, AHomeThatCannotBeWrittenIsSaidOnce) {
  ::setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
  const fs::path checkpoint = kFixtures / "qwen2_5_omni/c/checkpoint";
  answer(checkpoint, Precision::int8);
  const std::string says = "quantized weights are not kept";
  EXPECT_TRUE(logged(says));
  EXPECT_EQ(log_.find(says), log_.rfind(says));
}

TEST_F(PrecisionTest, ACheckpointThatIsQuantizedIsReadAsItIs) {
  const fs::path checkpoint = kFixtures / "quantized/awq/checkpoint";
  const std::string stored = answer(checkpoint, Precision::float32);
  EXPECT_FALSE(logged("passed over"));
  answer(checkpoint, Precision::int8);
  EXPECT_TRUE(logged("AWQ, 4 bits in groups of 32"));
  EXPECT_TRUE(logged("precision=int8 is passed over"));
  EXPECT_TRUE(opened_as_ == Precision::float32 || opened_as_ == Precision::bfloat16);
  EXPECT_EQ(files_in(cache_), 0);
}

TEST_F(PrecisionTest, ABadWeightNamesItsTensor) {
  // From a folder of links with one shard of its own.
  const fs::path folder = cache_ / "bad";
  fs::create_directories(folder);
  for (const auto& entry : fs::directory_iterator(kFixtures / "qwen2_5_omni/c/checkpoint"))
    fs::copy(entry.path(), folder);
  std::fstream file(folder / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header_size = 0;
  file.read(reinterpret_cast<char*>(&header_size), 8);
  std::string header(header_size, ' ');
  file.read(header.data(), std::streamsize(header_size));
  const std::string name = "\"model.layers.1.mlp.down_proj.weight\"",
                    offsets = "\"data_offsets\":[";
  const size_t at = header.find(offsets, header.find(name));
  ASSERT_NE(at, std::string::npos);
  file.seekp(std::streamoff(8 + header_size + std::stoull(header.substr(at + offsets.size()))));
  file.write("\xc0\x7f", 2);  // NaN as bfloat16
  file.close();
  try {
    answer(folder, Precision::int8);
    ADD_FAILURE() << "loaded";
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(ErrorCode::corrupt_file));
    EXPECT_NE(std::string(e.what()).find("model.layers.1.mlp.down_proj.weight"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace omni
