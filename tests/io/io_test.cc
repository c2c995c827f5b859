// Files that lie: every one ends in an omni::Error that names the file, never in a crash.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>

#include "core/mapped_file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/tensor_pickle.h"
#include "io/weights.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

class IoTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("omni_io_test_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  fs::path write(const std::string& name, const std::string& bytes) {
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
    return dir_ / name;
  }
  static std::string safetensors(const std::string& header, size_t data) {
    std::string s(8, '\0');
    const uint64_t n = header.size();
    std::memcpy(s.data(), &n, 8);
    return s + header + std::string(data, 'x');
  }
  void expect_error(const std::string& bytes, ErrorCode code) {
    const fs::path path = write("x.safetensors", bytes);
    try {
      Safetensors::open(path);
      ADD_FAILURE() << "opened";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      EXPECT_NE(std::string(e.what()).find("x.safetensors"), std::string::npos) << e.what();
    }
  }
  fs::path dir_;
};

// Each is opened where a file of a checkpoint is expected: none may be waited for.
TEST_F(IoTest, WhatIsNoRegularFileIsSaidAndNotWaitedFor) {
  const auto expect_refused = [](const fs::path& path, const std::string& reason) {
    try {
      MappedFile file(path);
      ADD_FAILURE() << path << " opened";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::not_found);
      EXPECT_EQ(std::string(e.what()), path.string() + ": " + reason);
    }
  };
  const fs::path fifo = dir_ / "config.json", link = dir_ / "link", loop = dir_ / "loop";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", link);
  fs::create_symlink("loop", loop);
  expect_refused(fifo, "is a FIFO and not a file");
  expect_refused(link, "is a device and not a file");
  expect_refused(dir_, "is a folder and not a file");
  expect_refused(loop, std::strerror(ELOOP));
  expect_refused(dir_ / "missing", std::strerror(ENOENT));
  expect_refused(write("file", "x") / "below", std::strerror(ENOTDIR));
  EXPECT_THROW(Json::parse_file(fifo), Error);
  EXPECT_THROW(Json::parse_file_if_there(fifo), Error);
  EXPECT_THROW(Safetensors::open(fifo), Error);
  EXPECT_THROW(read_tensor_pickle(fifo), Error);
  EXPECT_EQ(MappedFile(write("empty", "")).size(), 0u);
}

TEST_F(IoTest, SafetensorsReadsTypesAndMisalignedTensors) {
  const std::string header =
      R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[2],"data_offsets":[3,11]},"c":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[11,12]}})";
  std::string bytes = safetensors(header, 0) + "abc";
  const float values[] = {1.5f, -2.f};
  bytes.append(reinterpret_cast<const char*>(values), 8).append("z");
  const auto file = Safetensors::open(write("x.safetensors", bytes));
  EXPECT_EQ(file->get("b").f32()[1], -2.f);
  EXPECT_EQ(static_cast<const uint8_t*>(file->get("a").raw())[2], 'c');
  EXPECT_TRUE(file->has("c"));  // a type that nobody here computes with is known by its name
  EXPECT_THROW(file->get("c"), Error);
  EXPECT_THROW(file->get("d"), Error);
}

TEST_F(IoTest, SafetensorsThatLie) {
  expect_error("", ErrorCode::corrupt_file);
  expect_error("1234567", ErrorCode::corrupt_file);
  expect_error(std::string(8, '\xff'), ErrorCode::corrupt_file);  // a header of 2^64 − 1 bytes
  expect_error(safetensors("{", 0), ErrorCode::corrupt_file);
  expect_error(safetensors("[]", 0), ErrorCode::corrupt_file);
  // truncated
  expect_error(safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4),
               ErrorCode::corrupt_file);
  // shape against bytes
  expect_error(safetensors(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
               ErrorCode::corrupt_file);
  expect_error(safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8),
               ErrorCode::corrupt_file);
  expect_error(safetensors(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 8),
               ErrorCode::corrupt_file);
  // overflows to 0
  expect_error(
      safetensors(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})",
                  8),
      ErrorCode::corrupt_file);
  expect_error(
      safetensors(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1],"data_offsets":[0,4]}})", 8),
      ErrorCode::corrupt_file);
  expect_error(
      safetensors(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})",
                  8),
      ErrorCode::corrupt_file);
  EXPECT_THROW(Safetensors::open(dir_ / "missing"), Error);
  EXPECT_THROW(Safetensors::open(dir_), Error);
}

TEST_F(IoTest, SafetensorsWithFlippedBits) {
  const std::string good = safetensors(
      R"({"weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"bias":{"dtype":"BF16","shape":[4],"data_offsets":[16,24]}})",
      24);
  std::mt19937 g(1);
  int opened = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    for (int flips = 1 + int(g() % 3); flips--;) bad[g() % (bad.size() - 24)] ^= char(1 << g() % 8);
    try {
      const auto file = Safetensors::open(write("x.safetensors", bad));
      for (const auto& name : file->names()) opened += int(file->get(name).nbytes() <= 24);
    } catch (const Error&) {
    }
  }
  SUCCEED() << opened;
}

TEST_F(IoTest, JsonErrorsNameTheirPlace) {
  const Json j = Json::parse(R"({"a": {"b": [1, "x"]}})", "file.json");
  EXPECT_EQ(j.at("a").at("b").at(0).integer(1, 1), 1);
  try {
    j.at("a").at("b").at(1).integer(0, 1);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "file.json: a.b[1] is not an integer");
  }
  EXPECT_THROW(j.at("missing"), Error);
  EXPECT_THROW(Json::parse("{", "f"), Error);
  EXPECT_THROW(Json::parse("\"\xff\"", "f"), Error);
  EXPECT_THROW(Json::parse(std::string(100, '[') + std::string(100, ']'), "f"), Error);
  EXPECT_THROW(Json::parse(std::string(1000000, '['), "f"), Error);
}

TEST(Json, NumbersOutsideTheirRangeNameFileKeyValueAndRange) {
  const Json j = Json::parse(
      R"({"i": -2147483648, "u": 18446744073709551615, "d": 1e300, "h": 1.5, "l": [1, 2, 77]})",
      "config.json");
  const auto says = [](const auto& read) -> std::string {
    try {
      read();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::corrupt_file);
      return e.what();
    }
    return "nothing";
  };
  EXPECT_EQ(says([&] { j.integer("i", 0, 1500); }),
            "config.json: i is -2147483648, not in 0 … 1500");
  EXPECT_EQ(says([&] { j.integer("u", 0, INT64_MAX); }),
            "config.json: u is 18446744073709551615, not in 0 … 9223372036854775807");
  EXPECT_EQ(says([&] { j.integer_or("i", 50, 0, 1500); }),
            "config.json: i is -2147483648, not in 0 … 1500");
  EXPECT_EQ(says([&] { j.number("d", 0, 86400); }),
            "config.json: d is 1e+300, not in 0.0 … 86400.0");
  EXPECT_EQ(says([&] { j.number_or("d", 1, 0, 0.5); }),
            "config.json: d is 1e+300, not in 0.0 … 0.5");
  EXPECT_EQ(says([&] { j.at("l").integers(0, 76); }), "config.json: l[2] is 77, not in 0 … 76");
  EXPECT_EQ(says([&] { j.integer("h", 0, 9); }), "config.json: h is not an integer");
  EXPECT_EQ(j.integer("i", INT32_MIN, 0), INT32_MIN);  // both ends are in
  EXPECT_EQ(j.number("h", 1.5, 1.5), 1.5);
  EXPECT_EQ(j.integer_or("missing", 50, 0, 1), 50);
}

TEST_F(IoTest, WeightsFollowTheIndexButNotOutOfTheFolder) {
  write("one.safetensors",
        safetensors(R"({"m.a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8));
  write("model.safetensors.index.json",
        R"({"weight_map": {"m.a": "one.safetensors", "m.b": "two.safetensors"}})");
  const Weights w = Weights::open(dir_).scope("m");
  EXPECT_EQ(w.get("a", {2}).numel(), 2);
  EXPECT_THROW(w.get("a", {3}), Error);
  EXPECT_THROW(w.get("b", {2}), Error);  // its shard is missing
  EXPECT_THROW(w.get("c", {2}), Error);
  write("model.safetensors.index.json", R"({"weight_map": {"m.a": "../secret"}})");
  EXPECT_THROW(Weights::open(dir_), Error);
  write("model.safetensors.index.json", R"({"weight_map": {"m.a": "one.safetensors\u0000x"}})");
  EXPECT_THROW(Weights::open(dir_), Error);
}

}  // namespace
}  // namespace omni
