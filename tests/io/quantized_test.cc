// Published layouts of quantized matrices: each unpacked against a matrix written by hand, and
// files that lie.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "core/thread_pool.h"
#include "io/float8_file.h"
#include "io/safetensors_writer.h"
#include "io/weights.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

template <class T>
Tensor tensor(DType type, const Shape& shape, const std::vector<T>& values) {
  Tensor t = Tensor::zeros(type, shape);
  EXPECT_EQ(size_t(t.numel()), values.size());
  EXPECT_EQ(size_of(type), sizeof(T));
  std::memcpy(t.raw(), values.data(), t.nbytes());
  return t;
}
Tensor words(const Shape& shape, const std::vector<uint32_t>& values) {
  return tensor(DType::i32, shape, values);
}

constexpr int64_t kOut = 16, kIn = 32, kGroup = 16, kGroups = kIn / kGroup;

// The matrix that every layout stores: numbers, zeros and scales by rules that no two neighbours
// share.
int q4(int64_t o, int64_t i) { return int((o * 7 + i * 5 + i / 3) % 16); }
int q8(int64_t o, int64_t i) { return int((o * 37 + i * 101 + i / 3) % 256); }
int zero4(int64_t o, int64_t g) { return int((o * 3 + g * 5 + 1) % 16); }
float scale(int64_t o, int64_t g) {
  return float(1 + (o * 5 + g * 11) % 13) / 64;
}  // exact in every type

// Packs value(row, k), `bits` each, lowest first, along the rows or along the columns of [rows,
// columns].
template <class Value>
std::vector<uint32_t> packed(int64_t rows, int64_t columns, int bits, bool along_rows,
                             const Value& value) {
  const int64_t per_word = 32 / bits, n_rows = along_rows ? rows / per_word : rows,
                n_columns = along_rows ? columns : columns / per_word;
  std::vector<uint32_t> out(size_t(n_rows * n_columns));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t at = along_rows ? r / per_word * n_columns + c : r * n_columns + c / per_word,
                    k = (along_rows ? r : c) % per_word;
      out[size_t(at)] |= uint32_t(value(r, c)) << (bits * k);
    }
  return out;
}

class QuantizedTest : public testing::Test {
 protected:
  using Tensors = std::map<std::string, Tensor>;

  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("omni_quantized_test_" + std::to_string(::getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  void configure(const std::string& config) {
    write("config.json", R"({"quantization_config": )" + config + "}");
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ / name) << text;
  }
  void store(const Tensors& tensors) { write_safetensors(dir_ / "model.safetensors", tensors); }

  Matrix read(int64_t n_out = kOut, int64_t n_in = kIn) {
    return Weights::open(dir_).scope("model").matrix("m", n_out, n_in);
  }

  template <class Expected>
  static void expect_equal(const Matrix& w, const Expected& expected) {
    const Tensor dense = dequantize(w, 0, kOut);
    for (int64_t o = 0; o < kOut; ++o)
      for (int64_t i = 0; i < kIn; ++i)
        ASSERT_EQ(dense.f32()[o * kIn + i], expected(o, i)) << o << ", " << i;
  }
  void expect_error(ErrorCode code, const std::string& says) {
    try {
      read();
      ADD_FAILURE() << "read; expected: " << says;
    } catch (const Error& e) {
      EXPECT_EQ(int(e.code()), int(code)) << e.what();
      EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
    }
  }
  // Every tensor missing, of another shape, of another type: one error each, which names it.
  void expect_nothing_trusted(const Tensors& good, const std::set<std::string>& optional = {}) {
    for (const auto& [name, t] : good) {
      if (name == "model.m.qweight" || name == "model.m.weight_packed")
        continue;  // without it the module is dense
      const std::string leaf = name.substr(name.rfind('.') + 1);
      Tensors bad = good;
      bad.erase(name);
      store(bad);
      if (!optional.contains(leaf)) expect_error(ErrorCode::corrupt_file, leaf);
    }
    for (const auto& [name, t] : good) {
      const std::string leaf = name.substr(name.rfind('.') + 1);
      Tensors bad = good;
      Shape shape = t.shape();
      ++shape[0];
      bad[name] = Tensor::zeros(t.dtype(), shape);
      store(bad);
      expect_error(ErrorCode::corrupt_file, leaf);
      bad[name] = Tensor::zeros(DType::u8, t.shape());
      store(bad);
      expect_error(ErrorCode::corrupt_file, leaf);
      if (!is_floating(t.dtype())) continue;
      for (const uint32_t bits : {0x7fc00000u, 0x7f800000u}) {  // NaN, infinity
        bad[name] = Tensor::zeros(DType::f32, t.shape());
        std::memcpy(static_cast<char*>(bad[name].raw()) + bad[name].nbytes() - 4, &bits, 4);
        store(bad);
        expect_error(ErrorCode::corrupt_file, leaf);
      }
    }
    store(good);
  }
  fs::path dir_;
};

float plain4(int64_t o, int64_t i) {
  return float(q4(o, i) - zero4(o, i / kGroup)) * scale(o, i / kGroup);
}

// Scales as [n_groups, n_out] (AWQ, GPTQ) or [n_out, n_groups], of halves: exact for our scales.
Tensor scales(bool groups_first) {
  Tensor t = Tensor::zeros(DType::bf16, groups_first ? Shape{kGroups, kOut} : Shape{kOut, kGroups});
  for (int64_t o = 0; o < kOut; ++o)
    for (int64_t g = 0; g < kGroups; ++g)
      static_cast<BFloat16*>(t.raw())[groups_first ? g * kOut + o : o * kGroups + g] =
          to_bfloat16(scale(o, g));
  return t;
}

// --- AWQ

constexpr const char* kAwq =
    R"({"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm", "zero_point": true})";

// Word c of a row: outputs 8c + 0, 2, 4, 6, 1, 3, 5, 7 from the lowest bits up.
template <class Value>
std::vector<uint32_t> awq_packed(int64_t rows, const Value& value) {
  constexpr int order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  return packed(rows, kOut, 4, false,
                [&](int64_t r, int64_t c) { return value(r, c / 8 * 8 + order[c % 8]); });
}

std::map<std::string, Tensor> awq() {
  return {{"model.m.qweight",
           words({kIn, kOut / 8}, awq_packed(kIn, [](int64_t i, int64_t o) { return q4(o, i); }))},
          {"model.m.qzeros",
           words({kGroups, kOut / 8},
                 awq_packed(kGroups, [](int64_t g, int64_t o) { return zero4(o, g); }))},
          {"model.m.scales", scales(true)}};
}

TEST_F(QuantizedTest, Awq) {
  configure(kAwq);
  store(awq());
  const Matrix w = read();
  EXPECT_EQ(int(w.format), int(WeightFormat::int4));
  EXPECT_EQ(w.group, kGroup);
  expect_equal(w, plain4);
  EXPECT_EQ(Weights::open(dir_).quantization(), "AWQ, 4 bits in groups of 16");
}

// one word as WQLinear_GEMM packs it, independent of the helper above
TEST_F(QuantizedTest, AwqByHand) {
  configure(R"({"quant_method": "awq", "bits": 4, "group_size": -1})");
  std::vector<uint32_t> q(8, 0);
  q[3] = 0x75316420;  // input 3: output j holds j
  store({{"model.m.qweight", words({8, 1}, q)},
         {"model.m.qzeros", words({1, 1}, {0})},
         {"model.m.scales", tensor<float>(DType::f32, {1, 8}, std::vector<float>(8, 2))}});
  const Tensor w = dequantize(read(8, 8), 0, 8);
  for (int64_t o = 0; o < 8; ++o)
    for (int64_t i = 0; i < 8; ++i)
      EXPECT_EQ(w.f32()[o * 8 + i], i == 3 ? float(2 * o) : 0.f) << o << ", " << i;
}

TEST_F(QuantizedTest, ManyThreadsUnpackTheSame) {
  configure(R"({"quant_method": "awq", "bits": 4, "group_size": 128})");
  const int64_t n_out = 392, n_in = 384;  // no multiples of a tile
  Tensor q = Tensor::zeros(DType::i32, {n_in, n_out / 8}),
         z = Tensor::zeros(DType::i32, {n_in / 128, n_out / 8});
  auto* p = static_cast<uint32_t*>(q.raw());
  for (int64_t i = 0; i < q.numel(); ++i) p[i] = uint32_t(i * 2654435761u);
  Tensor s = Tensor::zeros(DType::f32, {n_in / 128, n_out});
  for (int64_t i = 0; i < s.numel(); ++i) s.f32()[i] = 1;
  store({{"model.m.qweight", q}, {"model.m.qzeros", z}, {"model.m.scales", s}});
  ThreadPool pool(4);
  const Tensor w = dequantize(Weights::open(dir_)
                                  .with(Precision::float32, {&pool, nullptr})
                                  .scope("model")
                                  .matrix("m", n_out, n_in),
                              0, n_out);
  constexpr int slot[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  for (int64_t o = 0; o < n_out; ++o)
    for (int64_t i = 0; i < n_in; ++i)
      ASSERT_EQ(w.f32()[o * n_in + i], float(p[i * n_out / 8 + o / 8] >> (4 * slot[o % 8]) & 15))
          << o << ", " << i;
}

TEST_F(QuantizedTest, AwqThatLies) {
  configure(kAwq);
  expect_nothing_trusted(awq());
  for (
      const auto& [config, code, says] :
      std::vector<std::tuple<const char*, ErrorCode, const char*>>{
          {R"({"quant_method": "awq", "bits": 3, "group_size": 16})", ErrorCode::unsupported,
           "3 bits"},
          {R"({"quant_method": "awq", "bits": 4, "group_size": 0})", ErrorCode::corrupt_file,
           "groups of 0"},
          {R"({"quant_method": "awq", "bits": 4, "group_size": -16})", ErrorCode::corrupt_file,
           "groups of -16"},
          {R"({"quant_method": "awq", "bits": 4, "group_size": 24})", ErrorCode::unsupported,
           "groups of 24"},
          {R"({"quant_method": "awq", "bits": 4, "group_size": 8})", ErrorCode::corrupt_file,
           "model.m.qzeros"},
          {R"({"quant_method": "awq", "bits": 4, "group_size": 32})", ErrorCode::corrupt_file,
           "model.m.qzeros"},
          {R"({"quant_method": "awq", "bits": 4})", ErrorCode::corrupt_file, "group_size"},
          {R"({"quant_method": "awq", "bits": "four", "group_size": 16})", ErrorCode::corrupt_file,
           "bits"},
          {R"({"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemv"})",
           ErrorCode::unsupported, "gemv"},
          {R"({"quant_method": "awq", "bits": 4, "group_size": 16, "modules_to_not_convert": "m"})",
           ErrorCode::corrupt_file, "no list"},
          {R"([])", ErrorCode::corrupt_file, "no object"}}) {
    configure(config);
    expect_error(code, says);
  }
}

// --- GPTQ

std::string gptq_config(const std::string& more, int bits = 4) {
  return R"({"quant_method": "gptq", "bits": )" + std::to_string(bits) + R"(, "group_size": 16)" +
         more + "}";
}

// `group_of` = the group of an input; `off` is what was taken from each zero.
template <class GroupOf>
std::map<std::string, Tensor> gptq(int off, const GroupOf& group_of) {
  std::vector<int32_t> g_idx;
  for (int64_t i = 0; i < kIn; ++i) g_idx.push_back(int32_t(group_of(i)));
  return {{"model.m.qweight",
           words({kIn / 8, kOut},
                 packed(kIn, kOut, 4, true, [](int64_t i, int64_t o) { return q4(o, i); }))},
          {"model.m.qzeros", words({kGroups, kOut / 8}, packed(kGroups, kOut, 4, false,
                                                               [&](int64_t g, int64_t o) {
                                                                 return (zero4(o, g) - off) & 15;
                                                               }))},
          {"model.m.scales", scales(true)},
          {"model.m.g_idx", tensor(DType::i32, {kIn}, g_idx)}};
}
int64_t in_order(int64_t i) { return i / kGroup; }
int64_t shuffled(int64_t i) { return (i / 4 + i % 2) % 2; }  // sixteen of each

TEST_F(QuantizedTest, GptqOfBothVersions) {
  configure(gptq_config(R"(, "sym": false)"));
  store(gptq(1, in_order));
  expect_equal(read(), plain4);  // among the zeros are 0, stored as 15, and 15
  store(gptq(0, in_order));
  configure(gptq_config(R"(, "sym": false, "checkpoint_format": "gptq_v2")"));
  expect_equal(read(), plain4);
}

TEST_F(QuantizedTest, GptqSymmetricHasNoZeros) {
  configure(gptq_config(R"(, "sym": true)"));
  auto t = gptq(1, in_order);
  t["model.m.qzeros"] =
      words({kGroups, kOut / 8}, std::vector<uint32_t>(kGroups * kOut / 8, 0x77777777));
  store(t);
  const Matrix w = read();
  EXPECT_FALSE(w.zeros.defined());
  EXPECT_FALSE(w.inputs.defined());
  expect_equal(w, [](int64_t o, int64_t i) { return float(q4(o, i) - 8) * scale(o, i / kGroup); });
}

TEST_F(QuantizedTest, GptqInTheOrderOfActivations) {
  configure(gptq_config(R"(, "sym": false, "desc_act": true)"));
  store(gptq(1, shuffled));
  const Matrix w = read();
  EXPECT_TRUE(w.inputs.defined());
  expect_equal(w, [](int64_t o, int64_t i) {
    return float(q4(o, i) - zero4(o, shuffled(i))) * scale(o, shuffled(i));
  });
}

TEST_F(QuantizedTest, GptqOfEightBits) {
  auto t = gptq(1, shuffled);
  t["model.m.qweight"] = words(
      {kIn / 4, kOut}, packed(kIn, kOut, 8, true, [](int64_t i, int64_t o) { return q8(o, i); }));
  t["model.m.qzeros"] =
      words({kGroups, kOut / 4}, std::vector<uint32_t>(kGroups * kOut / 4, 0x7f7f7f7f));
  configure(gptq_config(R"(, "desc_act": true)", 8));
  store(t);
  const Matrix symmetric = read();
  EXPECT_EQ(int(symmetric.format), int(WeightFormat::int8));
  expect_equal(symmetric,
               [](int64_t o, int64_t i) { return float(q8(o, i) - 128) * scale(o, shuffled(i)); });
  t["model.m.qzeros"] =
      // 0, 128, 1, 128
      words({kGroups, kOut / 4}, std::vector<uint32_t>(kGroups * kOut / 4, 0x7f007fff));
  store(t);
  const Matrix w = read();
  EXPECT_EQ(int(w.format), int(WeightFormat::f32));  // an int8 Matrix has no zeros
  expect_equal(w, [](int64_t o, int64_t i) {
    return float(q8(o, i) - (o % 4 == 0 ? 0 : o % 4 == 2 ? 1 : 128)) * scale(o, shuffled(i));
  });
}

TEST_F(QuantizedTest, GptqBesideTheConfiguration) {
  write("config.json", "{}");
  write("quantize_config.json",
        R"({"bits": 4, "group_size": 16, "sym": false, "desc_act": false})");
  auto t = gptq(1, in_order);
  t.erase("model.m.g_idx");
  store(t);
  expect_equal(read(), plain4);
}

TEST_F(QuantizedTest, GptqThatLies) {
  configure(gptq_config(R"(, "sym": false, "desc_act": true)"));
  expect_nothing_trusted(gptq(1, shuffled));
  for (const auto& group_of : std::vector<std::function<int64_t(int64_t)>>{
           [](int64_t) { return 0; }, [](int64_t i) { return i == 5 ? 2 : shuffled(i); },
           [](int64_t i) { return i == 5 ? -1 : shuffled(i); },
           [](int64_t i) { return i == 5 ? 1 - shuffled(5) : shuffled(i); }}) {
    store(gptq(1, group_of));
    expect_error(ErrorCode::corrupt_file, "g_idx");
  }
  store(gptq(1, in_order));
  for (const auto& [more, bits, code, says] :
       std::vector<std::tuple<const char*, int, ErrorCode, const char*>>{
           {"", 3, ErrorCode::unsupported, "3 bits"},
           {"", 8, ErrorCode::corrupt_file, "qweight"},
           {R"(, "checkpoint_format": "marlin")", 4, ErrorCode::unsupported, "marlin"},
           {R"(, "dynamic": {"+:.*down.*": {"bits": 8}})", 4, ErrorCode::unsupported, "down"}}) {
    configure(gptq_config(more, bits));
    expect_error(code, says);
  }
}

// --- compressed-tensors

std::string compressed_config(const std::string& format, const std::string& weights,
                              const std::string& more = "") {
  return R"({"quant_method": "compressed-tensors", "format": ")" + format +
         R"(", "config_groups": {"group_0": {"targets": ["Linear"], "weights": {)" + weights +
         "}}}" + more + "}";
}
constexpr const char* kW4 =
    R"("num_bits": 4, "type": "int", "strategy": "group", "group_size": 16, "symmetric": false)";
constexpr const char* kW4Symmetric =
    R"("num_bits": 4, "type": "int", "strategy": "group", "group_size": 16)";
constexpr const char* kW8 =
    R"("num_bits": 8, "type": "int", "strategy": "channel", "symmetric": true, "group_size": null)";

std::map<std::string, Tensor> w4a16() {
  return {{"model.m.weight_packed", words({kOut, kIn / 8}, packed(kOut, kIn, 4, false, q4))},
          {"model.m.weight_scale", scales(false)},
          {"model.m.weight_shape", tensor<int64_t>(DType::i64, {2}, {kOut, kIn})},
          {"model.m.weight_zero_point",
           words({kOut / 8, kGroups}, packed(kOut, kGroups, 4, true, zero4))},
          {"model.m.weight_g_idx", tensor(DType::i32, {kIn}, std::vector<int32_t>(kIn, -1))}};
}
std::map<std::string, Tensor> w8a8() {
  std::vector<int8_t> values;
  std::vector<float> s;
  for (int64_t o = 0; o < kOut; ++o)
    for (int64_t i = 0; i < kIn; ++i) values.push_back(int8_t(q8(o, i) - 128));
  for (int64_t o = 0; o < kOut; ++o) s.push_back(scale(o, 0));
  return {{"model.m.weight", tensor(DType::i8, {kOut, kIn}, values)},
          {"model.m.weight_scale", tensor(DType::f32, {kOut, 1}, s)}};
}

TEST_F(QuantizedTest, PackedFourBits) {
  configure(compressed_config("pack-quantized", kW4));
  auto t = w4a16();
  store(t);
  expect_equal(read(), plain4);
  configure(compressed_config("pack-quantized", kW4Symmetric));
  expect_equal(read(),
               [](int64_t o, int64_t i) { return float(q4(o, i) - 8) * scale(o, i / kGroup); });
  std::vector<int32_t> group_of;
  for (int64_t i = 0; i < kIn; ++i) group_of.push_back(int32_t(shuffled(i)));
  t["model.m.weight_g_idx"] = tensor(DType::i32, {kIn}, group_of);
  store(t);
  expect_equal(read(),
               [](int64_t o, int64_t i) { return float(q4(o, i) - 8) * scale(o, shuffled(i)); });
}

TEST_F(QuantizedTest, PackedEightBits) {
  configure(compressed_config("pack-quantized",
                              R"("num_bits": 8, "strategy": "group", "group_size": 16)"));
  auto t = w4a16();
  t.erase("model.m.weight_zero_point");
  t["model.m.weight_packed"] = words({kOut, kIn / 4}, packed(kOut, kIn, 8, false, q8));
  store(t);
  const Matrix w = read();
  EXPECT_EQ(int(w.format), int(WeightFormat::int8));
  expect_equal(w,
               [](int64_t o, int64_t i) { return float(q8(o, i) - 128) * scale(o, i / kGroup); });
}

TEST_F(QuantizedTest, BytesWithAScaleARow) {
  configure(compressed_config("int-quantized", kW8));
  auto t = w8a8();
  store(t);
  const Matrix w = read();
  EXPECT_EQ(int(w.format), int(WeightFormat::int8));
  EXPECT_EQ(w.group, kIn);
  expect_equal(w, [](int64_t o, int64_t i) { return float(q8(o, i) - 128) * scale(o, 0); });
  t["model.m.weight_zero_point"] = tensor(DType::i8, {kOut, 1}, std::vector<int8_t>(kOut, 0));
  store(t);
  configure(compressed_config("int-quantized",
                              R"("num_bits": 8, "strategy": "channel", "symmetric": false)"));
  EXPECT_EQ(int(read().format), int(WeightFormat::int8));
  t["model.m.weight_zero_point"] = tensor(DType::i8, {kOut, 1}, std::vector<int8_t>(kOut, -5));
  store(t);
  expect_equal(read(),
               [](int64_t o, int64_t i) { return float(q8(o, i) - 128 + 5) * scale(o, 0); });
  configure(compressed_config("int-quantized", R"("num_bits": 8, "strategy": "tensor")"));
  t.erase("model.m.weight_zero_point");
  t["model.m.weight_scale"] = tensor<float>(DType::f32, {1}, {0.5f});
  store(t);
  expect_equal(read(), [](int64_t o, int64_t i) { return float(q8(o, i) - 128) * 0.5f; });
}

TEST_F(QuantizedTest, CompressedThatLies) {
  configure(compressed_config("pack-quantized", kW4));
  expect_nothing_trusted(w4a16(), {"weight_g_idx"});
  auto t = w4a16();
  t["model.m.weight_shape"] = tensor<int64_t>(DType::i64, {2}, {kOut, kIn + 1});
  store(t);
  expect_error(ErrorCode::corrupt_file, "weight_shape");
  store(w4a16());
  for (
      const auto& [config, code, says] :
      std::vector<std::tuple<std::string, ErrorCode, const char*>>{
          {compressed_config("float-quantized", kW4), ErrorCode::unsupported, "float-quantized"},
          {compressed_config("nvfp4-pack-quantized", kW4), ErrorCode::unsupported, "nvfp4"},
          {compressed_config("pack-quantized",
                             R"("num_bits": 8, "type": "float", "strategy": "channel")"),
           ErrorCode::unsupported, "float"},
          {compressed_config("pack-quantized", R"("num_bits": 3, "strategy": "channel")"),
           ErrorCode::unsupported, "3 bits"},
          {compressed_config("pack-quantized", R"("num_bits": 4, "strategy": "block")"),
           ErrorCode::unsupported, "block"},
          {compressed_config("pack-quantized",
                             R"("num_bits": 4, "strategy": "group", "group_size": 0)"),
           ErrorCode::corrupt_file, "groups of 0"},
          {compressed_config("pack-quantized", kW4,
                             R"(, "sparsity_config": {"format": "sparse-24-bitmask"})"),
           ErrorCode::unsupported, "sparse"},
          {compressed_config("pack-quantized", kW4,
                             R"(, "transform_config": {"config_groups": {"u": {}}})"),
           ErrorCode::unsupported, "rotations"},
          {compressed_config("pack-quantized", kW4, R"(, "ignore": ["re:("])"),
           ErrorCode::corrupt_file, "regular expression"},
          {R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {}})",
           ErrorCode::corrupt_file, "config_groups"},
          {R"({"quant_method": "compressed-tensors", "config_groups": 3})", ErrorCode::corrupt_file,
           "config_groups"}}) {
    configure(config);
    expect_error(code, says);
  }
}

// --- which modules

TEST_F(QuantizedTest, ModulesThatAreListedStayDense) {
  auto t = w4a16();
  t["model.m.weight"] = tensor(DType::f32, {kOut, kIn}, std::vector<float>(kOut * kIn, 7));
  store(t);
  const auto is_dense = [&](const std::string& more) {
    configure(compressed_config("pack-quantized", kW4, more));
    return !is_quantized(read().format);
  };
  EXPECT_FALSE(is_dense(""));
  for (const char* listed : {"m", "model", "model.m", "re:model", "re:.*m$", "re:m", "re:^m$"})
    EXPECT_TRUE(is_dense(R"(, "ignore": ["x", ")" + std::string(listed) + "\"]")) << listed;
  for (const char* listed : {"mod", "odel.m", "m.x", "", "re:odel", "re:mo$"})
    EXPECT_FALSE(is_dense(R"(, "ignore": [")" + std::string(listed) + "\"]")) << listed;
  // A pattern that would take forever gives up, and matches nothing.
  EXPECT_FALSE(is_dense(R"(, "ignore": ["re:((((.*)*)*)*)*[^a-z.]"])"));
  configure(R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups":
                {"a": {"targets": ["re:.*other"], "weights": {"num_bits": 4, "strategy": "group", "group_size": 16}}}})");
  EXPECT_FALSE(is_quantized(read().format));
  auto q = awq();
  q["model.m.weight"] = t["model.m.weight"];
  store(q);
  configure(
      R"({"quant_method": "awq", "bits": 4, "group_size": 16, "modules_to_not_convert": ["visual", "m"]})");
  EXPECT_FALSE(is_quantized(read().format));
  configure(
      R"({"quant_method": "awq", "bits": 4, "group_size": 16, "modules_to_not_convert": null})");
  EXPECT_TRUE(is_quantized(read().format));
}

TEST_F(QuantizedTest, EachModuleByItsScheme) {
  auto t = w4a16();
  for (const auto& [name, tensor] : w8a8()) t["model.n" + name.substr(name.rfind('.'))] = tensor;
  store(t);
  configure(
      std::string(
          R"({"quant_method": "compressed-tensors", "format": "mixed-precision", "config_groups": {
             "a": {"targets": ["re:.*m$"], "format": "pack-quantized", "weights": {)") +
      kW4 + R"(}},
             "b": {"targets": ["Linear"], "format": "int-quantized", "weights": {)" +
      kW8 + "}}}}");
  const Weights w = Weights::open(dir_).scope("model");
  EXPECT_EQ(int(w.matrix("m", kOut, kIn).format), int(WeightFormat::int4));
  EXPECT_EQ(int(w.matrix("n", kOut, kIn).format), int(WeightFormat::int8));
}

TEST_F(QuantizedTest, PartsOfAConfigurationMaySayIt) {
  store(awq());
  const std::string says = R"({"quantization_config": )" + std::string(kAwq) + "}";
  for (const std::string& config : {R"({"thinker_config": )" + says + "}",
                                    R"({"thinker_config": {"text_config": )" + says + "}}",
                                    R"({"text_config": )" + says + "}"}) {
    write("config.json", config);
    expect_equal(read(), plain4);
  }
}

// --- float8

constexpr const char* kFp8 =
    R"({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
        "weight_block_size": [8, 12], "modules_to_not_convert": ["visual", "lm_head"]})";
// Every number but the two NaN, blocks that do not come out even.
int f8(int64_t o, int64_t i) {
  const int bits = int((o * 37 + i * 11) % 256);
  return (bits & 127) == 127 ? 0 : bits;
}
std::map<std::string, Tensor> fp8() {
  std::vector<uint8_t> numbers;
  for (int64_t o = 0; o < kOut; ++o)
    for (int64_t i = 0; i < kIn; ++i) numbers.push_back(uint8_t(f8(o, i)));
  return {{"model.m.weight", tensor(DType::u8, {kOut, kIn}, numbers)},
          {"model.m.weight_scale_inv",
           tensor<float>(DType::f32, {2, 3}, {1, 0.5f, 2, 0.25f, 4, 0.7f})}};
}
// IEEE 754's rules for such a format, with a bias of 7.
float e4m3(int bits) {
  const int e = bits >> 3 & 15;
  const float m = float(bits & 7) / 8;
  const float magnitude = e ? (1 + m) * std::exp2(float(e - 7)) : m * std::exp2(-6.f);
  return bits & 128 ? -magnitude : magnitude;
}

TEST_F(QuantizedTest, Float8InBlocks) {
  configure(kFp8);
  write_float8(dir_ / "model.safetensors", fp8());
  constexpr float kScales[] = {1, 0.5f, 2, 0.25f, 4, 0.7f};
  const auto plain = [&](int64_t o, int64_t i) {
    return to_float(to_bfloat16(e4m3(f8(o, i)) * kScales[o / 8 * 3 + i / 12]));
  };
  EXPECT_EQ(e4m3(0x7e), 448);
  EXPECT_EQ(e4m3(0x01), 0x1p-9f);
  const Matrix alone = read();
  EXPECT_EQ(int(alone.format), int(WeightFormat::bf16));
  expect_equal(alone, plain);
  const Weights weights = Weights::open(dir_);
  EXPECT_EQ(weights.quantization(), "float8 in blocks of 8x12");
  ThreadPool pool(3);
  const Matrix shared =
      weights.with(Precision::float32, {&pool, nullptr}).scope("model").matrix("m", kOut, kIn);
  expect_equal(shared, plain);
}

TEST_F(QuantizedTest, Float8ThatLies) {
  const fs::path file = dir_ / "model.safetensors";
  const auto refuse = [&](std::map<std::string, Tensor> t, ErrorCode code, const char* says) {
    write_float8(file, t);
    expect_error(code, says);
  };
  configure(kFp8);
  auto t = fp8();
  static_cast<uint8_t*>(t["model.m.weight"].raw())[77] = 0xff;
  refuse(t, ErrorCode::corrupt_file, "NaN");
  t = fp8();
  t["model.m.weight_scale_inv"] = Tensor::zeros(DType::f32, {2, 2});
  refuse(t, ErrorCode::corrupt_file, "weight_scale_inv");
  t["model.m.weight_scale_inv"] = tensor<float>(DType::f32, {2, 3}, {1, 1, INFINITY, 1, 1, 1});
  refuse(t, ErrorCode::corrupt_file, "NaN or infinite");
  t = fp8();
  t["model.m.weight"] = Tensor::zeros(DType::u8, {kOut, kIn + 1});
  refuse(t, ErrorCode::corrupt_file, "config.json asks for");
  t["model.m.weight"] = Tensor::zeros(DType::bf16, {kOut, kIn});
  refuse(t, ErrorCode::corrupt_file, "is of type BF16, not F8_E4M3");
  t = fp8();
  t.erase("model.m.weight");
  refuse(t, ErrorCode::not_found, "no tensor model.m.weight");
  t = fp8();
  t.erase("model.m.weight_scale_inv");
  refuse(t, ErrorCode::unsupported, "is of type F8_E4M3");
  configure(R"({"quant_method": "fp8", "fmt": "e5m2", "weight_block_size": [8, 12]})");
  refuse(fp8(), ErrorCode::unsupported, "e5m2");
  configure(R"({"quant_method": "fp8", "weight_block_size": [8]})");
  refuse(fp8(), ErrorCode::corrupt_file, "weight_block_size");
  configure(R"({"quant_method": "fp8", "weight_block_size": [0, 8]})");
  refuse(fp8(), ErrorCode::corrupt_file, "weight_block_size");
}

// --- what is not read

TEST_F(QuantizedTest, OtherMethodsAreNamedWithWhatCanBeDone) {
  store(awq());
  for (const char* method :
       {"\"bitsandbytes\"", "\"aqlm\"", "\"quanto\"", "\"hqq\"", "\"mxfp4\"", "\"torchao\""}) {
    configure(R"({"quant_method": )" + std::string(method) + "}");
    expect_error(ErrorCode::unsupported, method);
    expect_error(ErrorCode::unsupported, "awq, gptq, compressed-tensors, fp8");
  }
}

TEST_F(QuantizedTest, TypesThatAreThereAreNamed) {
  write("config.json", "{}");
  const std::string header =
      R"({"model.m.weight":{"dtype":"F8_E4M3","shape":[16,32],"data_offsets":[0,512]}})";
  uint64_t n = header.size();
  std::ofstream(dir_ / "model.safetensors", std::ios::binary)
      << std::string(reinterpret_cast<char*>(&n), 8) << header << std::string(512, 'x');
  expect_error(ErrorCode::unsupported, "model.m.weight is of type F8_E4M3");
  store({{"model.m.weight", Tensor::zeros(DType::i8, {kOut, kIn})}});
  expect_error(ErrorCode::unsupported, "model.m.weight is of type I8");
  try {
    Weights::open(dir_).get_f32("model.m.weight", {kOut, kIn});
    ADD_FAILURE() << "read";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("model.m.weight is of type I8"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace omni
