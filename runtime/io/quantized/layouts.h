// The layouts of this folder, and what they share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/quantized/format.h"
#include "io/weights.h"

namespace omni {

// --- one a file; `config` is the quantization_config. They throw unsupported for a variant that is
// not read here.
std::unique_ptr<const QuantizedFormat> awq_format(const Json& config);
std::unique_ptr<const QuantizedFormat> gptq_format(const Json& config);
std::unique_ptr<const QuantizedFormat> compressed_tensors_format(const Json& config);
std::unique_ptr<const QuantizedFormat> fp8_format(const Json& config);

// --- reading

// Modules as a configuration lists them: "lm_head", "visual", "Linear" (a class: every linear
// layer) or "re:.*gate$".
class ModuleList {
 public:
  ModuleList() = default;
  explicit ModuleList(const Json& list);
  // `module` = "thinker.model.layers.0.mlp". A name stands for whole components anywhere in it, so
  // that it is found below "thinker." too; a pattern must match from the start of a component.
  bool has(const std::string& module) const;

 private:
  struct Pattern;
  std::vector<std::string> names_;
  std::vector<std::shared_ptr<const Pattern>> patterns_;
};

// Name of a module from its scope, without the dot at the end.
std::string module_name(const Weights& module);

// [Throws] the value if it is one of `allowed`, else unsupported.
int64_t require_bits(const Json& config, int64_t bits, std::initializer_list<int64_t> allowed);
constexpr int64_t kMostGroup = 1 << 20;
// Columns of a group, from the group_size of a configuration (-1: a whole row). Throws corrupt_file
// or unsupported.
int64_t group_columns(const Weights& module, int64_t group_size, int64_t n_in);

// The tensor with exactly this type and shape, or corrupt_file.
Tensor get_exactly(const Weights& module, const std::string& name, DType type, const Shape& shape);
// Scales as float32, none NaN or infinite.
Tensor get_scales(const Weights& module, const std::string& name, const Shape& shape);

// --- unpacking

// [n, m] → [m, n], of 4-byte elements.
Tensor transpose(const Tensor& x, ThreadPool* pool);
// Number i of `bits` bits in a row of packed words, lowest first.
inline int unpacked(const uint32_t* words, int64_t i, int bits) {
  const int64_t per_word = 32 / bits;
  return int(words[i / per_word] >> (i % per_word * bits)) & ((1 << bits) - 1);
}

// `group_of` I32 or I64 [n_in]: the group of each column. → which column stands where when the
// groups lie side by side (Matrix::inputs), undefined if they do. Throws corrupt_file unless every
// group has `group` columns.
Tensor inputs_by_group(const Weights& module, const std::string& name, const Tensor& group_of,
                       int64_t group);

// The Matrix of rows of packed words, I32 [n_out, n_in · bits / 32], lowest bits first, of unsigned
// numbers whose columns are still in the order of the input. `scales` F32 [n_out, n_groups];
// `zeros` U8 like it, or undefined: 2^(bits − 1). Eight bits whose zeros are others than that have
// no int8 Matrix, and become dense.
Matrix unpack_rows(const Tensor& words, int bits, const Tensor& scales, const Tensor& zeros,
                   const Tensor& inputs, int64_t n_in, ThreadPool* pool);

}  // namespace omni
