// What is kept of quantized matrices between two starts.
#include "io/quantize_cache.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/thread_pool.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "io/weights.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

class QuantizeCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("omni_quantize_cache_test_" + std::to_string(::getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_ / "checkpoint");
    store(1);
  }
  void TearDown() override { fs::remove_all(dir_); }

  void store(float factor) {
    Tensor w = Tensor::zeros(DType::f32, {40, 128});
    for (int64_t i = 0; i < w.numel(); ++i) w.f32()[i] = factor * float(i * 37 % 101 - 50) / 50;
    write_safetensors(dir_ / "checkpoint" / "model.safetensors", {{"m.weight", w}});
  }

  struct Loaded {
    Matrix w;
    int made, found;
  };
  Loaded load(WeightFormat format = WeightFormat::int4) {
    auto cache = std::make_shared<QuantizeCache>(dir_ / "cache");
    ThreadPool pool(2);
    const Precision precision = format == WeightFormat::int4 ? Precision::int4 : Precision::int8;
    const Matrix w =
        Weights::open(dir_ / "checkpoint").with(precision, {&pool, cache}).matrix("m", 40, 128);
    EXPECT_EQ(int(w.format), int(format));
    return {w, cache->n_made(), cache->n_found()};
  }
  static void expect_same(const Matrix& a, const Matrix& b) {
    for (const auto& [x, y] :
         {std::pair{a.values, b.values}, {a.scales, b.scales}, {a.zeros, b.zeros}}) {
      ASSERT_EQ(x.defined(), y.defined());
      if (x.defined()) {
        EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.nbytes()), 0);
      }
    }
  }
  fs::path kept() const { return dir_ / "cache" / "m.weight.int4.safetensors"; }
  static std::string read(const fs::path& p) {
    std::stringstream s;
    s << std::ifstream(p, std::ios::binary).rdbuf();
    return s.str();
  }
  static void write(const fs::path& p, const std::string& bytes) {
    std::ofstream(p, std::ios::binary) << bytes;
  }

  fs::path dir_;
};

TEST_F(QuantizeCacheTest, TheSecondStartFindsWhatTheFirstMade) {
  for (const WeightFormat format : {WeightFormat::int4, WeightFormat::int8}) {
    const Loaded first = load(format), second = load(format);
    EXPECT_EQ(std::pair(first.made, first.found), std::pair(1, 0));
    EXPECT_EQ(std::pair(second.made, second.found), std::pair(0, 1));
    expect_same(first.w, second.w);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / "cache"), {}), 2);  // and nothing temporary
}

TEST_F(QuantizeCacheTest, WhatIsDamagedIsMadeAnew) {
  const Matrix good = load().w;
  const std::string bytes = read(kept());
  for (const size_t at :
       {size_t{0}, size_t{20}, bytes.size() - 1, bytes.size() - 3000, bytes.size() / 2}) {
    std::string bad = bytes;
    bad[at] = char(bad[at] ^ 4);
    write(kept(), bad);
    const Loaded again = load();
    EXPECT_EQ(again.made, 1) << "byte " << at;
    expect_same(again.w, good);
    EXPECT_EQ(load().made, 0);  // and kept
  }
  for (const std::string& bad : {std::string(), std::string("foreign"),
                                 bytes.substr(0, bytes.size() - 1), bytes.substr(0, 100)}) {
    write(kept(), bad);
    EXPECT_EQ(load().made, 1);
    EXPECT_EQ(load().made, 0);
  }
}

TEST_F(QuantizeCacheTest, WhatIsOfSomethingElseIsMadeAnew) {
  load(WeightFormat::int8);
  fs::rename(dir_ / "cache" / "m.weight.int8.safetensors", kept());
  EXPECT_EQ(load().made, 1);
  store(2);  // other weights under the same name
  const Loaded other = load();
  EXPECT_EQ(other.made, 1);
  EXPECT_NEAR(dequantize(other.w, 0, 1).f32()[0], -2, 0.1);
  write_safetensors(kept(), {{"stamp", Tensor::zeros(DType::i64, {2})},
                             {"values", Tensor::zeros(DType::f32, {1})}});
  EXPECT_EQ(load().made, 1);
}

TEST_F(QuantizeCacheTest, AFolderThatCannotBeWrittenIsNoError) {
  write(dir_ / "cache", "a file");
  EXPECT_EQ(load().made, 1);
  EXPECT_EQ(load().made, 1);
  fs::remove(dir_ / "cache");
  fs::create_directories(dir_ / "cache");
  fs::permissions(dir_ / "cache", fs::perms::owner_read | fs::perms::owner_exec);
  if (::geteuid() != 0) {
    EXPECT_EQ(load().made, 1);
    EXPECT_TRUE(fs::is_empty(dir_ / "cache"));
  }
}

TEST_F(QuantizeCacheTest, AFullDiskIsNoErrorAndLeavesNothing) {
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const Loaded made = load();
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(made.made, 1);
  EXPECT_TRUE(fs::is_empty(dir_ / "cache"));
  expect_same(made.w, load().w);
}

TEST_F(QuantizeCacheTest, NamesOfACheckpointStayInTheFolder) {
  const Tensor w = Tensor::zeros(DType::f32, {2, 32});
  QuantizeCache cache(dir_ / "cache");
  cache.get("../../escaped/\n.weight", w, WeightFormat::int8, [&] {
    Matrix m;
    m.format = WeightFormat::int8;
    m.n_out = 2, m.n_in = m.group = 32;
    m.values = Tensor::zeros(DType::i8, {2, 32});
    m.scales = Tensor::zeros(DType::f32, {2, 1});
    return m;
  });
  EXPECT_TRUE(fs::exists(dir_ / "cache" / ".._.._escaped__.weight.int8.safetensors"));
}

TEST_F(QuantizeCacheTest, WhereItLies) {
  const auto set = [](const char* name, const char* value) {
    value ? ::setenv(name, value, 1) : ::unsetenv(name);
  };
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "",
                    cache = std::getenv("XDG_CACHE_HOME") ? std::getenv("XDG_CACHE_HOME") : "";
  set("XDG_CACHE_HOME", "/c");
  set("HOME", "/h");
  EXPECT_EQ(QuantizeCache::folder_of("f"), "/c/gst-omni/f");
  set("XDG_CACHE_HOME", "relative");
  EXPECT_EQ(QuantizeCache::folder_of("f"), "/h/.cache/gst-omni/f");
  set("XDG_CACHE_HOME", nullptr);
  set("HOME", nullptr);
  EXPECT_TRUE(QuantizeCache::folder_of("f").empty());
  EXPECT_EQ(QuantizeCache("").n_made(), 0);
  if (!home.empty()) set("HOME", home.c_str());
  if (!cache.empty()) set("XDG_CACHE_HOME", cache.c_str());
}

}  // namespace
}  // namespace omni
