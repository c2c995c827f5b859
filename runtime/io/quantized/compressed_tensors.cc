// compressed-tensors, as llm-compressor writes it. (vllm-project/compressed-tensors, compressors/)
// clang-format off
//   int-quantized, naive-quantized (W8A8):
//     weight            I8 [n_out, n_in]
//     weight_scale      [n_out, n_groups], [n_out, 1] or [1]
//   pack-quantized (W4A16, W8A16):
//     weight_packed     I32 [n_out, n_in · bits / 32]  numbers offset by 2^(bits − 1), lowest bits first
//     weight_scale      [n_out, n_groups]
//     weight_zero_point I32 [n_out · bits / 32, n_groups], packed alike along the outputs; where asymmetric
//     weight_shape      I64 [2] = n_out, n_in
//     weight_g_idx      I32 [n_in], the group of each input; −1 everywhere: not in use
// clang-format on
// W[o, i] = (q − zero_point) · scale. How activations are quantized is the product's own choice.
#include <algorithm>

#include "io/quantized/layouts.h"

namespace omni {

namespace {

// One of config_groups.
struct Scheme {
  ModuleList targets;
  int bits;
  int64_t group_size;  // −1: a scale a row
  bool one_scale;      // for the whole matrix
  bool symmetric;      // without zeros
  bool packed;
};

[[noreturn]] void refuse(const Json& at, const std::string& what) {
  throw Error(ErrorCode::unsupported,
              at.where() + ": compressed-tensors with " + what +
                  "; integer weights of 4 or 8 bits are read here (int-quantized, pack-quantized)");
}

bool is_packed(const Json& config, const std::string& format) {
  if (format == "pack-quantized") return true;
  if (format == "int-quantized" || format == "naive-quantized") return false;
  refuse(config, "the format \"" + format + "\"");
}

Scheme read_scheme(const Json& group, const std::string& format) {
  const Json weights = group.at("weights");
  if (weights.string_or("type", "int") != "int")
    refuse(weights, "weights of type \"" + weights.at("type").string() + "\"");
  const std::string strategy =
      weights.string_or("strategy", weights.has("group_size") ? "group" : "channel");
  if (strategy != "group" && strategy != "channel" && strategy != "tensor")
    refuse(weights, "the strategy \"" + strategy + "\"");
  return {ModuleList(group.at("targets")),
          int(require_bits(weights, weights.integer("num_bits", 1, 64), {4, 8})),
          strategy == "group" ? weights.integer("group_size", -kMostGroup, kMostGroup) : -1,
          strategy == "tensor",
          weights.boolean_or("symmetric", true),
          is_packed(group, group.string_or("format", format))};
}

class CompressedTensors final : public QuantizedFormat {
 public:
  explicit CompressedTensors(const Json& config) : dense_(config.find("ignore")) {
    const std::string sparsity = config.find("sparsity_config").string_or("format", "dense");
    if (sparsity != "dense") refuse(config, "sparse weights (" + sparsity + ")");
    if (!config.find("transform_config").find("config_groups").keys().empty())
      refuse(config, "rotations of the activations (transform_config)");
    const Json groups = config.at("config_groups");
    for (const std::string& name : groups.keys())
      schemes_.push_back(read_scheme(groups.at(name), config.at("format").string()));
    if (schemes_.empty()) groups.fail("is empty");
  }

  std::string describe() const override {
    const Scheme& s = schemes_[0];
    return "compressed-tensors, " + std::to_string(s.bits) + " bits" +
           (s.group_size == -1 ? "" : " in groups of " + std::to_string(s.group_size));
  }

  bool stores(const Weights& module) const override {
    return scheme_of(module) && (module.has("weight_packed") || module.has("weight_scale"));
  }

  Matrix read(const Weights& module, int64_t n_out, int64_t n_in, ThreadPool* pool) const override {
    const Scheme& s = *scheme_of(module);
    const int64_t group = group_columns(module, s.group_size, n_in);
    return s.packed ? read_packed(module, s, n_out, n_in, group, pool)
                    : read_bytes(module, s, n_out, n_in, group, pool);
  }

 private:
  const Scheme* scheme_of(const Weights& module) const {
    const std::string name = module_name(module);
    if (dense_.has(name)) return nullptr;
    const auto it = std::find_if(schemes_.begin(), schemes_.end(),
                                 [&](const Scheme& s) { return s.targets.has(name); });
    return it == schemes_.end() ? nullptr : &*it;
  }

  static Tensor read_scales(const Weights& module, const Scheme& s, int64_t n_out,
                            int64_t n_groups) {
    if (!s.one_scale) return get_scales(module, "weight_scale", {n_out, n_groups});
    Tensor scales = Tensor::zeros(DType::f32, {n_out, 1});
    std::fill_n(scales.f32(), n_out, get_scales(module, "weight_scale", {1}).f32()[0]);
    return scales;
  }

  static Matrix read_bytes(const Weights& module, const Scheme& s, int64_t n_out, int64_t n_in,
                           int64_t group, ThreadPool* pool) {
    const Tensor values = get_exactly(module, "weight", DType::i8, {n_out, n_in}),
                 scales = read_scales(module, s, n_out, n_in / group);
    if (!s.symmetric) {
      const int64_t n = s.one_scale ? 1 : n_out;
      const Tensor stored =
          get_exactly(module, "weight_zero_point", DType::i8, {n, s.one_scale ? 1 : n_in / group});
      const auto* z = static_cast<const int8_t*>(stored.raw());
      if (std::any_of(z, z + stored.numel(), [](int8_t x) { return x != 0; }))
        return asymmetric_bytes(values, scales, stored, pool);
    }
    Matrix w;
    w.format = WeightFormat::int8;
    w.n_out = n_out;
    w.n_in = n_in;
    w.group = group;
    w.values = values;
    w.scales = scales;
    return w;
  }

  // An int8 Matrix has no zeros: what needs them becomes dense, as unpack_rows() makes it of offset
  // bytes.
  static Matrix asymmetric_bytes(const Tensor& values, const Tensor& scales, const Tensor& stored,
                                 ThreadPool* pool) {
    const int64_t n_out = values.dim(0), n_in = values.dim(1);
    Tensor offset = Tensor::zeros(DType::i32, {n_out, (n_in + 3) / 4}),
           zeros = Tensor::zeros(DType::u8, scales.shape());
    for (int64_t o = 0; o < n_out; ++o)
      for (int64_t i = 0; i < n_in; ++i)
        static_cast<uint8_t*>(offset.raw())[o * offset.dim(1) * 4 + i] =
            uint8_t(static_cast<const int8_t*>(values.raw())[o * n_in + i] + 128);
    for (int64_t i = 0; i < zeros.numel(); ++i)
      static_cast<uint8_t*>(zeros.raw())[i] =
          uint8_t(static_cast<const int8_t*>(stored.raw())[stored.numel() == 1 ? 0 : i] + 128);
    return unpack_rows(offset, 8, scales, zeros, {}, n_in, pool);
  }

  static Matrix read_packed(const Weights& module, const Scheme& s, int64_t n_out, int64_t n_in,
                            int64_t group, ThreadPool* pool) {
    const int64_t per_word = 32 / s.bits, n_groups = n_in / group;
    if (n_in % per_word != 0)
      module.fail("weight_packed", ErrorCode::unsupported,
                  "packs " + std::to_string(per_word) +
                      " weights to a word, which does not go with " + Shape({n_out, n_in}).str());
    const Tensor shape = get_exactly(module, "weight_shape", DType::i64, {2});
    if (shape.i64()[0] != n_out || shape.i64()[1] != n_in)
      module.fail("weight_shape", ErrorCode::corrupt_file,
                  "says " + Shape({shape.i64()[0], shape.i64()[1]}).str() +
                      ", config.json asks for " + Shape({n_out, n_in}).str());
    const Tensor words = get_exactly(module, "weight_packed", DType::i32, {n_out, n_in / per_word});
    const Tensor scales = read_scales(module, s, n_out, n_groups),
                 zeros =
                     s.symmetric ? Tensor() : read_packed_zeros(module, s.bits, n_out, n_groups);
    return unpack_rows(words, s.bits, scales, zeros, read_inputs(module, n_in, group), n_in, pool);
  }

  static Tensor read_packed_zeros(const Weights& module, int bits, int64_t n_out,
                                  int64_t n_groups) {
    const int64_t per_word = 32 / bits;
    const Tensor packed = get_exactly(module, "weight_zero_point", DType::i32,
                                      {(n_out + per_word - 1) / per_word, n_groups});
    Tensor zeros = Tensor::zeros(DType::u8, {n_out, n_groups});
    for (int64_t o = 0; o < n_out; ++o)
      for (int64_t g = 0; g < n_groups; ++g) {
        const uint32_t word =
            static_cast<const uint32_t*>(packed.raw())[o / per_word * n_groups + g];
        static_cast<uint8_t*>(zeros.raw())[o * n_groups + g] =
            uint8_t(unpacked(&word, o % per_word, bits));
      }
    return zeros;
  }

  static Tensor read_inputs(const Weights& module, int64_t n_in, int64_t group) {
    if (!module.has("weight_g_idx")) return {};
    const Tensor stored = get_exactly(module, "weight_g_idx", DType::i32, {n_in});
    const auto* g = static_cast<const int32_t*>(stored.raw());
    if (std::all_of(g, g + n_in, [](int32_t x) { return x == -1; })) return {};
    return inputs_by_group(module, "weight_g_idx", stored, group);
  }

  ModuleList dense_;
  std::vector<Scheme> schemes_;
};

}  // namespace

std::unique_ptr<const QuantizedFormat> compressed_tensors_format(const Json& config) {
  return std::make_unique<CompressedTensors>(config);
}

}  // namespace omni
