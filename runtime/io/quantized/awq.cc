// AWQ's "gemm" layout. (AutoAWQ, awq/modules/linear/gemm.py, WQLinear_GEMM.from_linear)
// clang-format off
//   qweight I32 [n_in, n_out / 8]      word c of a row: outputs 8c … 8c + 7 in the order 0 2 4 6 1 3 5 7
//   qzeros  I32 [n_groups, n_out / 8]  in the same order
//   scales  F16 [n_groups, n_out]
// clang-format on
// W[o, i] = (q − zero) · scale.
#include <algorithm>

#include "core/parallel.h"
#include "io/quantized/layouts.h"

namespace omni {

namespace {

constexpr int kPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};  // where in a word output j lies

int nibble(uint32_t word, int j) { return int(word >> (4 * kPlace[j])) & 15; }

// [n_in, n_out / 8] as above → [n_out, n_in / 8], inputs in their order: what a Matrix keeps.
Tensor rows_of_outputs(const Tensor& qweight, ThreadPool* pool) {
  constexpr int64_t kTile = 16;  // words: a cache line of both
  const int64_t n_words = qweight.dim(1), width = qweight.dim(0) / 8;
  Tensor out = Tensor::zeros(DType::i32, {8 * n_words, width});
  const auto* from = static_cast<const uint32_t*>(qweight.raw());
  auto* to = static_cast<uint32_t*>(out.raw());
  parallel_for(pool, (n_words + kTile - 1) / kTile, double(out.numel()) * 8, [&](int64_t tile) {
    const int64_t c0 = tile * kTile, c1 = std::min(n_words, c0 + kTile);
    for (int64_t r0 = 0; r0 < width; r0 += kTile) {
      const int64_t r1 = std::min(width, r0 + kTile);
      uint32_t made[8 * kTile][kTile] = {};
      for (int64_t r = r0; r < r1; ++r)
        for (int i = 0; i < 8; ++i)
          for (int64_t c = c0; c < c1; ++c)
            for (int j = 0; j < 8; ++j)
              made[8 * (c - c0) + j][r - r0] |= uint32_t(nibble(from[(8 * r + i) * n_words + c], j))
                                                << (4 * i);
      for (int64_t o = 8 * c0; o < 8 * c1; ++o)
        std::copy_n(made[o - 8 * c0], r1 - r0, to + o * width + r0);
    }
  });
  return out;
}

class Awq final : public QuantizedFormat {
 public:
  explicit Awq(const Json& config)
      : group_size_(config.integer(config.has("q_group_size") ? "q_group_size" : "group_size",
                                   -kMostGroup, kMostGroup)),
        dense_(config.find("modules_to_not_convert")) {
    require_bits(config, config.integer(config.has("w_bit") ? "w_bit" : "bits", 1, 64), {4});
    std::string version = config.string_or("version", "gemm");
    std::transform(version.begin(), version.end(), version.begin(),
                   [](unsigned char c) { return char(std::tolower(c)); });
    // the latter is the same file for another kernel
    if (version != "gemm" && version != "exllama")
      throw Error(ErrorCode::unsupported, config.where() + ": AWQ in the layout \"" + version +
                                              "\"; \"gemm\" is read here");
  }

  std::string describe() const override {
    return "AWQ, 4 bits in groups of " + std::to_string(group_size_);
  }
  bool stores(const Weights& module) const override {
    return module.has("qweight") && !dense_.has(module_name(module));
  }

  Matrix read(const Weights& module, int64_t n_out, int64_t n_in, ThreadPool* pool) const override {
    const int64_t group = group_columns(module, group_size_, n_in), n_groups = n_in / group;
    if (n_out % 8 != 0 || n_in % 8 != 0)
      module.fail(
          "qweight", ErrorCode::unsupported,
          "packs 8 weights to a word, which does not go with " + Shape({n_out, n_in}).str());
    const Tensor qweight = get_exactly(module, "qweight", DType::i32, {n_in, n_out / 8});
    const Tensor qzeros = get_exactly(module, "qzeros", DType::i32, {n_groups, n_out / 8});
    const Tensor scales = transpose(get_scales(module, "scales", {n_groups, n_out}), nullptr);
    Tensor zeros = Tensor::zeros(DType::u8, {n_out, n_groups});
    for (int64_t g = 0; g < n_groups; ++g)
      for (int64_t o = 0; o < n_out; ++o) {
        const uint32_t word = static_cast<const uint32_t*>(qzeros.raw())[g * (n_out / 8) + o / 8];
        static_cast<uint8_t*>(zeros.raw())[o * n_groups + g] = uint8_t(nibble(word, int(o % 8)));
      }
    const Tensor words = rows_of_outputs(qweight, pool);
    for (const char* read : {"qweight", "qzeros", "scales"}) module.release(read);
    return unpack_rows(words, 4, scales, zeros, {}, n_in, pool);
  }

 private:
  int64_t group_size_;
  ModuleList dense_;
};

}  // namespace

std::unique_ptr<const QuantizedFormat> awq_format(const Json& config) {
  return std::make_unique<Awq>(config);
}

}  // namespace omni
