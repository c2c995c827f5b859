// A quantized weight on a device: its integers and scales, in the order of
// cuda/kernels/linear_quantized.h.
#pragma once

#include <optional>
#include <span>

#include "core/matrix.h"
#include "kernels/linear_quantized.h"

namespace omni::ops::cuda {

class IntegerWeight {
 public:
  // The rows of `parts`, one under the other; nullopt where they have to be bfloat16: dense ones,
  // such as do not come in eights of inputs or whose groups do not come in chunks of them, and
  // those that want x in different orders.
  static std::optional<IntegerWeight> of(std::span<const Matrix> parts, const Device* device);
  omni::cuda::QuantizedWeight get() const;
  // Where not nullptr, [n_in] on the device: which column of x is multiplied as which. (Matrix)
  const int* inputs() const { return static_cast<const int*>(inputs_.raw()); }

 private:
  IntegerWeight(std::span<const Matrix> parts, int groups, const Device* device);

  omni::cuda::QuantizedWeight shape_{};
  Tensor values_, scales_, inputs_;  // I32
};

}  // namespace omni::ops::cuda
