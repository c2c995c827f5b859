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
#include "io/float8_file.h"
#include "io/quantize_cache.h"
#include "models/checkpoint_copy.h"
#include "models/devices.h"
#include "models/load_error.h"
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

// --- published quantized: the projections of each family's text model, in two layouts

bool is_projection(const std::string& name) {
  return name.ends_with("_proj.weight") && name.find("layers.") != std::string::npos &&
         name.find("audio_tower") == std::string::npos && name.find("visual") == std::string::npos;
}

// Numbers of float8 without its NaN, a scale of 1/64 everywhere: what is stored, and what it means.
void as_float8(const std::string& name, const Tensor& t, Tensors& stored, Tensors& meant) {
  const int64_t n_out = t.dim(0), n_in = t.dim(1);
  Tensor bytes = Tensor::zeros(DType::u8, t.shape()), values = Tensor::zeros(DType::f32, t.shape());
  for (int64_t i = 0; i < t.numel(); ++i) {
    const int bits = int(i * 53 + i / 7) % 48 | int(i * 29 % 2) << 7;  // up to 0.5 · 2^-1
    const int exponent = bits >> 3 & 15;
    const float magnitude = exponent ? std::ldexp(float(8 + (bits & 7)), exponent - 10)
                                     : std::ldexp(float(bits & 7), -9);
    static_cast<uint8_t*>(bytes.raw())[i] = uint8_t(bits);
    values.f32()[i] = (bits & 128 ? -magnitude : magnitude) / 4;
  }
  Tensor scales = Tensor::zeros(DType::f32, {(n_out + 31) / 32, (n_in + 31) / 32});
  std::fill_n(scales.f32(), scales.numel(), 0.25f);
  stored[name] = bytes;
  stored[name + "_scale_inv"] = scales;
  meant[name] = values;
}

void as_bytes(const std::string& name, const Tensor& t, Tensors& stored, Tensors& meant) {
  Tensor bytes = Tensor::zeros(DType::i8, t.shape()), values = Tensor::zeros(DType::f32, t.shape()),
         scales = Tensor::zeros(DType::f32, {t.dim(0), 1});
  std::fill_n(scales.f32(), scales.numel(), 1 / 512.f);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const int number = int(i * 53 + i / 7) % 255 - 127;
    static_cast<int8_t*>(bytes.raw())[i] = int8_t(number);
    values.f32()[i] = float(number) / 512;
  }
  stored[name] = bytes;
  stored[name + "_scale"] = scales;
  meant[name] = values;
}

TEST_F(PrecisionTest, EachFamilyReadsWhatIsPublishedQuantized) {
  struct Layout {
    const char* config;
    void (*store)(const std::string& name, const Tensor& t, Tensors& stored, Tensors& meant);
    double tolerance;  // of the largest logit; rows may be rounded to int8 ahead of integers
  };
  const Layout layouts[] = {
      {R"({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
           "weight_block_size": [32, 32], "modules_to_not_convert": ["visual", "audio_tower", "lm_head"]})",
       as_float8, 1e-5},
      {R"({"quant_method": "compressed-tensors", "format": "int-quantized",
           "ignore": ["lm_head", "re:.*visual.*", "re:.*audio_tower.*"], "config_groups": {"group_0": {
           "targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}}})",
       as_bytes, 5e-2}};
  for (const char* family :
       {"qwen2_vl/a", "qwen2_5_vl/a", "qwen3_vl/a", "qwen3_vl_moe/a", "qwen3_omni/a"})
    for (const Layout& layout : layouts) {
      const fs::path original = kFixtures / family / "checkpoint";
      CheckpointCopy quantized(original, "published_quantized"), dense(original, "published_dense");
      Tensors stored, meant;
      const auto file = Safetensors::open(original / "model.safetensors");
      int n = 0;
      for (const std::string& name : file->names()) {
        const Tensor t = file->get(name);
        if (is_projection(name)) {
          layout.store(name, t, stored, meant);
          ++n;
        } else {
          stored[name] = meant[name] = t;
        }
      }
      EXPECT_GT(n, 7) << family;
      nlohmann::json config = quantized.original("config.json");
      config["quantization_config"] = nlohmann::json::parse(layout.config);
      quantized.write("config.json", config.dump());
      for (const auto* copy : {&quantized, &dense})
        fs::remove(copy->folder() / "model.safetensors");
      write_float8(quantized.folder() / "model.safetensors", stored);
      write_safetensors(dense.folder() / "model.safetensors", meant);
      const auto ours = logits(quantized.folder(), Precision::float32),
                 theirs = logits(dense.folder(), Precision::float32);
      double worst = 0, scale = 0;
      for (size_t i = 0; i < theirs.size(); ++i) {
        worst = std::max(worst, std::abs(double(ours[i]) - double(theirs[i])));
        scale = std::max(scale, std::abs(double(theirs[i])));
      }
      EXPECT_LT(worst / scale, layout.tolerance) << family << " " << layout.config;
    }
}

// As Qwen3-VL's own are published: all experts of a layer in one tensor, transposed, a scale a
// block of each.
TEST_F(PrecisionTest, StacksOfExpertsInFloat8) {
  const fs::path original = kFixtures / "qwen3_vl_moe/b/checkpoint";
  CheckpointCopy quantized(original, "stacks_quantized"), dense(original, "stacks_dense");
  Tensors stored, meant;
  const auto file = Safetensors::open(original / "model.safetensors");
  int n = 0;
  for (const std::string& name : file->names()) {
    const Tensor t = file->get(name);
    stored[name] = meant[name] = t;
    if (name.find(".experts.") == std::string::npos) continue;
    const int64_t experts = t.dim(0), rows = t.dim(1), columns = t.dim(2),
                  n_down = (rows + 31) / 32, n_across = (columns + 31) / 32;
    as_float8(name, t.reshape({experts * rows, columns}), stored, meant);
    Tensor scales = Tensor::zeros(DType::f32, {experts, n_down, n_across});
    for (int64_t i = 0; i < scales.numel(); ++i) scales.f32()[i] = std::ldexp(1.f, -int(i % 3));
    float* values = meant[name].f32();  // of scales of 1/4
    for (int64_t i = 0; i < t.numel(); ++i) {
      const int64_t e = i / columns / rows, r = i / columns % rows, c = i % columns;
      values[i] *= 4 * scales.f32()[(e * n_down + r / 32) * n_across + c / 32];
    }
    stored[name] = stored[name].reshape(t.shape());
    meant[name] = meant[name].reshape(t.shape());
    stored[name + "_scale_inv"] = scales;
    ++n;
  }
  EXPECT_GT(n, 1);
  nlohmann::json config = quantized.original("config.json");
  config["quantization_config"] = nlohmann::json::parse(
      R"({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
          "weight_block_size": [32, 32], "modules_to_not_convert": ["visual", "lm_head"]})");
  quantized.write("config.json", config.dump());
  const auto write = [&](const Tensors& tensors) {
    fs::remove(quantized.folder() / "model.safetensors");
    write_float8(quantized.folder() / "model.safetensors", tensors);
  };
  write(stored);
  fs::remove(dense.folder() / "model.safetensors");
  write_safetensors(dense.folder() / "model.safetensors", meant);
  const auto ours = logits(quantized.folder(), Precision::float32),
             theirs = logits(dense.folder(), Precision::float32);
  EXPECT_EQ(ours.size(), theirs.size());
  for (size_t i = 0; i < theirs.size(); ++i) ASSERT_NEAR(ours[i], theirs[i], 1e-4) << i;

  // and what is wrong
  const std::string scales = "model.language_model.layers.1.mlp.experts.down_proj_scale_inv",
                    values = "model.language_model.layers.1.mlp.experts.down_proj";
  Tensors bad = stored;
  bad[scales] = Tensor::zeros(DType::f32, {1, 1, 1});
  write(bad);
  EXPECT_NE(error_of(quantized.folder(), ErrorCode::corrupt_file).find("down_proj_scale_inv"),
            std::string::npos);
  bad = stored;
  bad[values] = stored[values].rows(1, stored[values].dim(0));
  write(bad);
  EXPECT_NE(error_of(quantized.folder(), ErrorCode::corrupt_file).find("experts.down_proj"),
            std::string::npos);
  bad = stored;
  bad.erase(scales);
  write(bad);
  EXPECT_NE(error_of(quantized.folder(), ErrorCode::unsupported).find("experts.down_proj"),
            std::string::npos);
}

}  // namespace
}  // namespace omni
