// Each family of the Qwen line as AWQ, GPTQ and compressed-tensors store it: what is published so
// leaves tower, routers and head dense and has each expert by itself. The text model of its
// fixture is rounded by the rule of tools/fixtures/make_quantized_families_fixture.py, which
// recorded what transformers computes with the values that the numbers stand for.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "io/float8_file.h"
#include "models/checkpoint_copy.h"
#include "models/load_error.h"
#include "models/rounds_rows.h"
#include "parity/parity.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kGroup = 8;
const fs::path kFixtures = OMNI_SOURCE_DIR "/tests/fixtures";

// [n_out, n_in] in numbers of four bits.
struct Rounded {
  int64_t n_out, n_in;
  std::vector<int> numbers, zeros;  // [n_out, n_in], [n_out, n_in / kGroup]
  std::vector<float> scales;        // likewise
};

Rounded rounded(const Tensor& matrix) {
  const Tensor w = to_f32(matrix);
  const int64_t n_groups = w.dim(1) / kGroup;
  Rounded r{w.dim(0), w.dim(1), {}, {}, {}};
  for (int64_t o = 0; o < r.n_out; ++o)
    for (int64_t g = 0; g < n_groups; ++g) {
      const float* x = w.f32() + o * r.n_in + g * kGroup;
      float most = 0;
      for (int64_t i = 0; i < kGroup; ++i) most = std::max(most, std::abs(x[i]));
      float scale = 1;
      if (most > 0) {
        scale = std::ldexp(1.f, std::ilogb(most) - 3);
        while (7 * scale < most) scale *= 2;
      }
      const int zero = 7 + int((o + g) % 3);
      r.scales.push_back(scale);
      r.zeros.push_back(zero);
      for (int64_t i = 0; i < kGroup; ++i)
        r.numbers.push_back(std::clamp(int(std::nearbyint(x[i] / scale)) + zero, 0, 15));
    }
  return r;
}

// value(row, column), four bits each, eight to a word along the columns, place(k) of eight.
template <class Value>
Tensor packed(int64_t rows, int64_t columns, const Value& value, const int* order = nullptr) {
  Tensor t = Tensor::zeros(DType::i32, {rows, (columns + 7) / 8});
  auto* words = static_cast<uint32_t*>(t.raw());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t from = order ? c / 8 * 8 + order[c % 8] : c;
      words[r * t.dim(1) + c / 8] |= uint32_t(value(r, from)) << (4 * (c % 8));
    }
  return t;
}

Tensor transposed(const Tensor& words) {
  Tensor t = Tensor::zeros(words.dtype(), {words.dim(1), words.dim(0)});
  for (int64_t r = 0; r < words.dim(0); ++r)
    for (int64_t c = 0; c < words.dim(1); ++c)
      static_cast<uint32_t*>(t.raw())[c * words.dim(0) + r] =
          static_cast<const uint32_t*>(words.raw())[r * words.dim(1) + c];
  return t;
}

Tensor scales_of(const Rounded& r, bool groups_first) {
  const int64_t n_groups = r.n_in / kGroup;
  Tensor t =
      Tensor::zeros(DType::f32, groups_first ? Shape{n_groups, r.n_out} : Shape{r.n_out, n_groups});
  for (int64_t o = 0; o < r.n_out; ++o)
    for (int64_t g = 0; g < n_groups; ++g)
      t.f32()[groups_first ? g * r.n_out + o : o * n_groups + g] =
          r.scales[size_t(o * n_groups + g)];
  return t;
}

void put_awq(const std::string& module, const Rounded& r, Tensors& tensors) {
  constexpr int kOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  const int64_t n_groups = r.n_in / kGroup;
  tensors[module + ".qweight"] = packed(
      r.n_in, r.n_out, [&](int64_t i, int64_t o) { return r.numbers[size_t(o * r.n_in + i)]; },
      kOrder);
  tensors[module + ".qzeros"] = packed(
      n_groups, r.n_out, [&](int64_t g, int64_t o) { return r.zeros[size_t(o * n_groups + g)]; },
      kOrder);
  tensors[module + ".scales"] = scales_of(r, true);
}

void put_gptq(const std::string& module, const Rounded& r, Tensors& tensors) {
  const int64_t n_groups = r.n_in / kGroup;
  tensors[module + ".qweight"] = transposed(packed(
      r.n_out, r.n_in, [&](int64_t o, int64_t i) { return r.numbers[size_t(o * r.n_in + i)]; }));
  tensors[module + ".qzeros"] = packed(n_groups, r.n_out, [&](int64_t g, int64_t o) {
    return r.zeros[size_t(o * n_groups + g)] - 1;
  });
  tensors[module + ".scales"] = scales_of(r, true);
  Tensor group_of = Tensor::zeros(DType::i32, {r.n_in});
  for (int64_t i = 0; i < r.n_in; ++i)
    static_cast<int32_t*>(group_of.raw())[i] = int32_t(i / kGroup);
  tensors[module + ".g_idx"] = group_of;
}

void put_packed(const std::string& module, const Rounded& r, Tensors& tensors) {
  const int64_t n_groups = r.n_in / kGroup;
  tensors[module + ".weight_packed"] = packed(
      r.n_out, r.n_in, [&](int64_t o, int64_t i) { return r.numbers[size_t(o * r.n_in + i)]; });
  tensors[module + ".weight_zero_point"] = transposed(packed(
      n_groups, r.n_out, [&](int64_t g, int64_t o) { return r.zeros[size_t(o * n_groups + g)]; }));
  tensors[module + ".weight_scale"] = scales_of(r, false);
  Tensor shape = Tensor::zeros(DType::i64, {2});
  static_cast<int64_t*>(shape.raw())[0] = r.n_out;
  static_cast<int64_t*>(shape.raw())[1] = r.n_in;
  tensors[module + ".weight_shape"] = shape;
}

struct Layout {
  const char* name;
  const char* config;
  void (*put)(const std::string& module, const Rounded& r, Tensors& tensors);
};

const Layout kLayouts[] = {
    {"awq",
     R"({"quant_method": "awq", "bits": 4, "group_size": 8, "zero_point": true, "version": "gemm",
         "modules_to_not_convert": ["visual", "audio_tower", "mlp.gate", "lm_head"]})",
     put_awq},
    {"gptq",
     R"({"quant_method": "gptq", "bits": 4, "group_size": 8, "sym": false, "desc_act": false,
         "dynamic": {"-:.*visual.*": {}, "-:.*mlp.gate$": {}}})",
     put_gptq},
    {"w4a16",
     R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
         "ignore": ["lm_head", "re:.*visual.*", "re:.*audio_tower.*", "re:.*mlp.gate$"],
         "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4,
         "type": "int", "strategy": "group", "group_size": 8, "symmetric": false}}}})",
     put_packed},
};

bool is_of_text(const std::string& name) {
  return name.find("layers.") != std::string::npos && name.find("visual") == std::string::npos &&
         name.find("audio_tower") == std::string::npos;
}
bool is_stack(const std::string& name) {
  return name.find(".experts.") != std::string::npos && name.ends_with("_proj");
}

// A stack's experts one by one, gate and up apart.
template <class Put>
void each_expert(const std::string& name, const Tensor& all, const Put& put) {
  const std::string scope = name.substr(0, name.find(".experts.") + 9);
  const int64_t rows = all.dim(1), half = rows / 2;
  for (int64_t e = 0; e < all.dim(0); ++e) {
    const Tensor one = all.rows(e, e + 1).reshape({rows, all.dim(2)});
    const std::string expert = scope + std::to_string(e) + ".";
    if (name.ends_with("down_proj")) {
      put(expert + "down_proj", one);
    } else {
      put(expert + "gate_proj", one.rows(0, half));
      put(expert + "up_proj", one.rows(half, rows));
    }
  }
}

void quantize(CheckpointCopy& copy, const Layout& layout) {
  copy.rewrite([&](const std::string& name, const Tensor& t, Tensors& tensors) {
    const auto put = [&](const std::string& module, const Tensor& w) {
      layout.put(module, rounded(w), tensors);
    };
    if (is_of_text(name) && is_stack(name))
      each_expert(name, t, put);
    else if (is_of_text(name) && name.ends_with("_proj.weight"))
      put(name.substr(0, name.size() - 7), t);
    else
      tensors[name] = t;
  });
  nlohmann::json config = copy.original("config.json");
  config["quantization_config"] = nlohmann::json::parse(layout.config);
  copy.write("config.json", config.dump());
}

const auto kFamilies =
    testing::Values("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_omni");
using Case = std::tuple<const char*, size_t>;
class QuantizedFamilies : public testing::TestWithParam<Case> {};

TEST_P(QuantizedFamilies, EveryBoundaryEqualsTransformers) {
  const auto [family, layout] = GetParam();
  CheckpointCopy copy(kFixtures / family / "a/checkpoint", "quantized_family");
  quantize(copy, kLayouts[layout]);
  const fs::path folder = copy.folder().string() + "_fixture";
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::create_symlink(copy.folder(), folder / "checkpoint");
  fs::create_symlink(kFixtures / family / "a/input", folder / "input");
  for (const char* file : {"expected.json", "expected.safetensors"})
    fs::create_symlink(kFixtures / "quantized/families" / family / file, folder / file);
  const auto lines = parity::compare(folder);
  fs::remove_all(folder);
  EXPECT_EQ(lines.size(), 8u);
  // Where a level rounds rows to int8, ids and positions are what is equal: a row may go to another
  // expert. tests/CMakeLists.txt runs this at the portable level, too, which rounds nothing.
  for (const parity::Line& line : lines) {
    if (rounds_rows() && !line.boundary.ends_with("_ids")) continue;
    EXPECT_TRUE(line.pass) << parity::format(line);
  }
}

// Of each family: what config.json says of numbers that are stored otherwise, or are not there.
class QuantizedConfigurations : public testing::TestWithParam<const char*> {};

TEST_P(QuantizedConfigurations, Wrong) {
  CheckpointCopy copy(kFixtures / GetParam() / "a/checkpoint", "quantized_wrong");
  quantize(copy, kLayouts[0]);
  struct Wrong {
    const char* config;
    ErrorCode code;
    const char* says;
  };
  const Wrong wrongs[] = {
      {R"({"quant_method": "bitsandbytes"})", kUnsupported, "\"bitsandbytes\" (quant_method)"},
      {R"({"quant_method": "awq", "bits": 3, "group_size": 8})", kUnsupported, "bits"},
      {R"({"quant_method": "awq", "bits": 4, "group_size": 7})", kUnsupported, "q_proj"},
      {R"({"quant_method": "awq", "bits": 4, "group_size": 16})", kCorrupt, "q_proj.qzeros"},
      {R"({"quant_method": "awq", "bits": 4, "group_size": 8, "version": "gemv"})", kUnsupported,
       "gemv"},
      {R"({"quant_method": "gptq", "bits": 4, "group_size": 8})", kCorrupt, "q_proj.qweight"},
      {R"({"quant_method": "fp8"})", kCorrupt, "weight_block_size"},
      {R"({"quant_method": "awq", "bits": 4, "group_size": 8,
           "modules_to_not_convert": ["self_attn"]})",
       kMissing, "q_proj.weight"},
      {"7", kCorrupt, "is no object"},
      {"null", kMissing, "q_proj.weight"},
  };
  for (const Wrong& w : wrongs) {
    nlohmann::json config = copy.original("config.json");
    config["quantization_config"] = nlohmann::json::parse(w.config);
    copy.write("config.json", config.dump());
    const std::string said = error_of(copy.folder(), w.code);
    EXPECT_NE(said.find(w.says), std::string::npos) << w.config << ": " << said;
  }
}

INSTANTIATE_TEST_SUITE_P(Qwen, QuantizedConfigurations, kFamilies,
                         [](const auto& p) { return std::string(p.param); });
INSTANTIATE_TEST_SUITE_P(Qwen, QuantizedFamilies,
                         testing::Combine(kFamilies, testing::Values(0, 1, 2)), [](const auto& p) {
                           return std::string(std::get<0>(p.param)) + "_" +
                                  kLayouts[std::get<1>(p.param)].name;
                         });

}  // namespace
}  // namespace omni
