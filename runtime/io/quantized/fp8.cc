// Float8 with a scale a block. (transformers, integrations/finegrained_fp8.py, FP8Linear)
// clang-format off
//   weight            F8_E4M3 [n_out, n_in]
//   weight_scale_inv  F32 or BF16 [⌈n_out / rows⌉, ⌈n_in / columns⌉], of blocks of weight_block_size
// clang-format on
// Stacks of experts: `name` F8_E4M3 [n, rows, columns], `name`_scale_inv [n, blocks, blocks].
// W[o, i] = weight · weight_scale_inv: dense and rounded to bfloat16, since no Matrix has a scale a
// block. Activations stay as they are.
#include <array>
#include <atomic>
#include <cmath>

#include "core/parallel.h"
#include "io/quantized/layouts.h"

namespace omni {

namespace {

// Sign, four bits of exponent, three of mantissa; no infinity, all ones is NaN.
float from_e4m3(int bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  const float magnitude = (bits & 127) == 127 ? NAN
                          : exponent          ? std::ldexp(float(8 + mantissa), exponent - 10)
                                              : std::ldexp(float(mantissa), -9);
  return bits & 128 ? -magnitude : magnitude;
}

std::array<float, 256> table() {
  std::array<float, 256> values{};
  for (int i = 0; i < 256; ++i) values[size_t(i)] = from_e4m3(i);
  return values;
}

class Fp8 final : public QuantizedFormat {
 public:
  explicit Fp8(const Json& config)
      : dense_(config.find("modules_to_not_convert")),
        block_(config.at("weight_block_size").integers(1, kMostGroup)) {
    const std::string type = config.string_or("fmt", "e4m3");
    if (type != "e4m3")
      throw Error(ErrorCode::unsupported,
                  config.member_path("fmt") + " is \"" + type + "\"; only e4m3 is read here");
    if (block_.size() != 2) config.at("weight_block_size").fail("has not two sizes");
  }

  std::string describe() const override {
    return "float8 in blocks of " + std::to_string(block_[0]) + "x" + std::to_string(block_[1]);
  }
  bool stores(const Weights& module) const override {
    return module.has("weight_scale_inv") && !dense_.has(module_name(module));
  }

  Matrix read(const Weights& module, int64_t n_out, int64_t n_in, ThreadPool* pool) const override {
    return Matrix(widened(module, "weight", module.get_float8("weight", {n_out, n_in}), pool));
  }

  bool stores_stack(const Weights& module, const std::string& name) const override {
    return module.has(name + "_scale_inv") && !dense_.has(module_name(module) + "." + name);
  }
  Tensor read_stack(const Weights& module, const std::string& name,
                    ThreadPool* pool) const override {
    const Tensor stored = module.get_float8(name);
    if (stored.rank() != 3)
      module.fail(name, ErrorCode::corrupt_file, "is " + stored.shape().str() + ", no stack");
    return widened(module, name, stored, pool);
  }

 private:
  // `stored` U8 [n_out, n_in] or [n, n_out, n_in] → bfloat16 of that shape; `name`_scale_inv has
  // the blocks of each matrix.
  Tensor widened(const Weights& module, const std::string& name, const Tensor& stored,
                 ThreadPool* pool) const {
    static const std::array<float, 256> kValues = table();
    const bool is_stack = stored.rank() == 3;
    const int64_t n = is_stack ? stored.dim(0) : 1, n_out = stored.dim(is_stack),
                  n_in = stored.dim(is_stack + 1), rows = block_[0], columns = block_[1],
                  n_down = (n_out + rows - 1) / rows, n_across = (n_in + columns - 1) / columns;
    const Tensor scales =
        get_scales(module, name + "_scale_inv",
                   is_stack ? Shape{n, n_down, n_across} : Shape{n_down, n_across});
    Tensor dense = Tensor::zeros(DType::bf16, stored.shape());
    std::atomic<bool> finite = true;
    parallel_for(pool, n * n_out, double(stored.numel()), [&](int64_t o) {
      const auto* from = static_cast<const uint8_t*>(stored.raw()) + o * n_in;
      auto* to = static_cast<BFloat16*>(dense.raw()) + o * n_in;
      const float* scale = scales.f32() + (o / n_out * n_down + o % n_out / rows) * n_across;
      bool all = true;
      for (int64_t i = 0; i < n_in; ++i) {
        const float value = kValues[from[i]] * scale[i / columns];
        all &= std::isfinite(value);
        to[i] = to_bfloat16(value);
      }
      if (!all) finite = false;
    });
    if (!finite) module.fail(name, ErrorCode::corrupt_file, "has a value that is NaN or infinite");
    module.release(name);
    return dense;
  }

  ModuleList dense_;
  std::vector<int64_t> block_;
};

}  // namespace

std::unique_ptr<const QuantizedFormat> fp8_format(const Json& config) {
  return std::make_unique<Fp8>(config);
}

}  // namespace omni
