// How a published checkpoint stores its quantized linear layers: one layout a file of this folder,
// chosen by the quant_method of config.json. Weights::matrix() asks; what comes back is the Matrix
// that products take.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/matrix.h"

namespace omni {

class ThreadPool;
class Weights;

class QuantizedFormat {
 public:
  virtual ~QuantizedFormat() = default;

  virtual std::string describe() const = 0;  // "AWQ, 4 bits in groups of 128"
  // False for a module (a scope: its tensors are "weight", "qweight" …) that is dense.
  virtual bool stores(const Weights& module) const = 0;
  // Throws corrupt_file with the tensor's name where the file contradicts config.json or itself.
  virtual Matrix read(const Weights& module, int64_t n_out, int64_t n_in,
                      ThreadPool* pool) const = 0;

  // Whether the matrices that lie under one another in the tensor `name` of a module are stored
  // quantized, and their values in that tensor's shape. Of layouts that have no such: false.
  virtual bool stores_stack(const Weights&, const std::string& /*name*/) const { return false; }
  virtual Tensor read_stack(const Weights&, const std::string& /*name*/, ThreadPool*) const {
    return {};
  }
};

// What the checkpoint's quantization_config says; nullptr where there is none. Throws unsupported
// with what was found and what can be done instead.
std::unique_ptr<const QuantizedFormat> find_quantized_format(const std::filesystem::path& folder);

}  // namespace omni
