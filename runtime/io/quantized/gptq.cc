// GPTQ's layout. (AutoGPTQ, auto_gptq/nn_modules/qlinear/qlinear_cuda.py, QuantLinear.pack;
// GPTQModel for "gptq_v2")
// clang-format off
//   qweight I32 [n_in · bits / 32, n_out]      word r of an output: inputs r · 32/bits …, low bits first
//   qzeros  I32 [n_groups, n_out · bits / 32]  of outputs in order; "gptq" stores zero − 1, "gptq_v2" zero
//   scales  F16 [n_groups, n_out]
//   g_idx   I32 [n_in]                         the group of each input (desc_act: by falling activation)
// clang-format on
// W[o, i] = (q − zero) · scale.
#include "io/quantized/layouts.h"

namespace omni {

namespace {

class Gptq final : public QuantizedFormat {
 public:
  explicit Gptq(const Json& config)
      : bits_(int(require_bits(config, config.integer("bits", 1, 64), {4, 8}))),
        group_size_(config.integer("group_size", -kMostGroup, kMostGroup)),
        desc_act_(config.boolean_or("desc_act", false)),
        symmetric_(config.boolean_or("sym", true)),
        dense_(config.find("modules_to_not_convert")) {
    const std::string format =
        config.string_or("checkpoint_format", config.string_or("format", "gptq"));
    if (format != "gptq" && format != "gptq_v2")
      throw Error(ErrorCode::unsupported, config.where() + ": GPTQ in the layout \"" + format +
                                              "\"; \"gptq\" and \"gptq_v2\" are read here");
    zero_off_ = format == "gptq" ? 1 : 0;
    // GPTQModel's settings by pattern: "-:…" leaves a module dense, which its tensors show; others
    // differ from the rest.
    for (const std::string& pattern : config.find("dynamic").keys())
      if (!pattern.starts_with("-:"))
        throw Error(ErrorCode::unsupported,
                    config.where() +
                        ": GPTQ with settings of their own for some modules (dynamic: " + pattern +
                        ")");
  }

  std::string describe() const override {
    return "GPTQ, " + std::to_string(bits_) + " bits in groups of " + std::to_string(group_size_) +
           (desc_act_ ? ", act-order" : "");
  }
  bool stores(const Weights& module) const override {
    return module.has("qweight") && !dense_.has(module_name(module));
  }

  Matrix read(const Weights& module, int64_t n_out, int64_t n_in, ThreadPool* pool) const override {
    const int64_t group = group_columns(module, group_size_, n_in), n_groups = n_in / group,
                  per_word = 32 / bits_;
    if (n_in % per_word != 0 || n_out % per_word != 0)
      module.fail("qweight", ErrorCode::unsupported,
                  "packs " + std::to_string(per_word) +
                      " weights to a word, which does not go with " + Shape({n_out, n_in}).str());
    const Tensor qweight = get_exactly(module, "qweight", DType::i32, {n_in / per_word, n_out});
    const Tensor qzeros = get_exactly(module, "qzeros", DType::i32, {n_groups, n_out / per_word});
    const Tensor scales = transpose(get_scales(module, "scales", {n_groups, n_out}), nullptr);
    const Tensor zeros = zeros_of(qzeros, n_out);
    const Tensor inputs = inputs_of(module, n_in, group);
    const Tensor words = transpose(qweight, pool);
    for (const char* read : {"qweight", "qzeros", "scales", "g_idx"}) module.release(read);
    return unpack_rows(words, bits_, scales, zeros, inputs, n_in, pool);
  }

 private:
  // U8 [n_out, n_groups]; undefined where the configuration says that all are the middle, and they
  // are.
  Tensor zeros_of(const Tensor& qzeros, int64_t n_out) const {
    const int64_t n_groups = qzeros.dim(0);
    Tensor zeros = Tensor::zeros(DType::u8, {n_out, n_groups});
    bool middle = true;
    for (int64_t g = 0; g < n_groups; ++g) {
      const auto* row = static_cast<const uint32_t*>(qzeros.raw()) + g * qzeros.dim(1);
      for (int64_t o = 0; o < n_out; ++o) {
        const int zero = (unpacked(row, o, bits_) + zero_off_) & ((1 << bits_) - 1);
        static_cast<uint8_t*>(zeros.raw())[o * n_groups + g] = uint8_t(zero);
        middle &= zero == 1 << (bits_ - 1);
      }
    }
    return symmetric_ && middle ? Tensor() : zeros;
  }

  Tensor inputs_of(const Weights& module, int64_t n_in, int64_t group) const {
    if (!desc_act_ && !module.has("g_idx")) return {};
    return inputs_by_group(module, "g_idx", get_exactly(module, "g_idx", DType::i32, {n_in}),
                           group);
  }

  int bits_;
  int64_t group_size_;
  bool desc_act_, symmetric_;
  ModuleList dense_;
  int zero_off_ = 0;
};

}  // namespace

std::unique_ptr<const QuantizedFormat> gptq_format(const Json& config) {
  return std::make_unique<Gptq>(config);
}

}  // namespace omni
