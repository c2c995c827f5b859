// The named tensors of a checkpoint folder: model.safetensors, or the shards that
// model.safetensors.index.json lists. Read-only and shared; scope("layers.3") looks at the tensors
// below a prefix, so that layers name their weights as the checkpoint does. A linear layer may be
// stored quantized in one of several layouts (io/quantized/); matrix() knows, nobody else does.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/matrix.h"
#include "omni/types.h"

namespace omni {

class QuantizeCache;
class Safetensors;
class ThreadPool;

// What quantizing and unpacking may use.
struct Quantizing {
  // lives as long as the weights; nullptr: the caller does it alone
  ThreadPool* pool = nullptr;
  std::shared_ptr<QuantizeCache> cache;  // nullptr: nothing is kept
};

class Weights {
 public:
  // Throws not_found or corrupt_file. Shards are opened when first asked for.
  static Weights open(const std::filesystem::path& folder);
  // Of one file that is open already, dense.
  static Weights of(std::shared_ptr<const Safetensors> file);

  Weights scope(const std::string& name) const;  // this prefix + name + "."
  Weights scope(int64_t index) const { return scope(std::to_string(index)); }

  // The same tensors for a model on `device` (nullptr: the host), which must live as long.
  Weights on(const Device* device) const;
  const Device* device() const { return device_; }

  // The same tensors with matrix() as `precision` (not automatic) asks for, which a checkpoint that
  // was published quantized passes over.
  Weights with(Precision precision) const;
  Weights with(Precision precision, const Quantizing& how) const;
  // The same for what four bits would hurt more than they save: the matrix that makes logits,
  // towers, voices.
  Weights at_least_int8() const {
    return precision_ == Precision::int4 ? with(Precision::int8) : *this;
  }
  Precision precision() const { return precision_; }
  // The same where factors in float32 may be rounded to TF32 (ops::MatmulPrecision::tf32).
  Weights allow_tf32() const;
  bool allows_tf32() const { return allows_tf32_; }

  // How the checkpoint was published, "AWQ, 4 bits in groups of 128"; empty where its matrices are
  // dense.
  std::string quantization() const;

  std::string full_name(const std::string& name) const { return prefix_ + name; }
  // Throws "<file>: tensor <full name> <reason>".
  [[noreturn]] void fail(const std::string& name, ErrorCode code, const std::string& reason) const;

  bool has(const std::string& name) const;
  // As in the file. Throws not_found with the full name, corrupt_file if the shape is not `shape`.
  Tensor get(const std::string& name, const Shape& shape) const;
  Tensor get(const std::string& name) const;
  // A tensor of type F8_E4M3 (and this shape) as bytes, U8. Throws as get() does.
  Tensor get_float8(const std::string& name, const Shape& shape) const;
  Tensor get_float8(const std::string& name) const;
  // The weight of the linear layer `name`, [n_out, n_in]: as stored, or quantized as with() asked
  // for, to be read once. Throws as get() does; unsupported names a type or a layout that cannot be
  // multiplied with.
  Matrix matrix(const std::string& name, int64_t n_out, int64_t n_in) const;
  // n matrices of one shape that lie in the tensor `name`, one under the other as [n · n_out,
  // n_in]: [n, n_out, n_in] or, transposed, [n, n_in, n_out], of a square shape the former;
  // quantized as matrix() quantizes them. Throws as it does.
  Matrix stack(const std::string& name, int64_t n, int64_t n_out, int64_t n_in) const;
  // The tensor converted to float32, in memory of its own. Throws unsupported for what is no
  // floating-point tensor.
  Tensor get_f32(const std::string& name, const Shape& shape) const;
  // The same on device().
  Tensor load_f32(const std::string& name, const Shape& shape) const {
    return to_device(get_f32(name, shape), device_);
  }
  // The caller has copied the tensor, or rows [begin, end) of it: its pages of the file may leave
  // memory.
  void release(const std::string& name) const;
  void release(const std::string& name, int64_t begin, int64_t end) const;
  // All tensors of the folder, whatever the scope, but those of types that nobody computes with;
  // those of F8_E4M3 as U8.
  void for_each(const std::function<void(const std::string& name, const Tensor&)>& body) const;
  // Element type of the first floating-point tensor of the files: what the checkpoint is stored in.
  DType stored_dtype() const;

 private:
  struct Files;
  // What matrix() quantizes to; nullopt: nothing.
  std::optional<WeightFormat> wanted() const;
  const Safetensors& file_of(const std::string& full) const;
  void require_shape(const std::string& name, const Tensor& t, const Shape& shape) const;
  void require_floating(const std::string& name, const Tensor& t) const;
  Matrix quantized(const Tensor& dense, WeightFormat format) const;

  std::shared_ptr<Files> files_;
  std::string prefix_;
  const Device* device_ = nullptr;
  Precision precision_ = Precision::float32;
  bool allows_tf32_ = false;
  Quantizing quantizing_;
};

}  // namespace omni
