// A weight matrix on a CUDA device.
#pragma once

#include <mutex>
#include <optional>
#include <span>

#include "kernels/linear_few.h"
#include "kernels/linear_quantized_tiles.h"
#include "ops/backend.h"
#include "ops/cuda/integer_weight.h"

namespace omni::ops::cuda {

// Rows of bfloat16 are filled up with zeros to what tensor cores take.
class CudaWeight final : public PackedMatrix {
 public:
  CudaWeight(std::span<const Matrix> parts, MatmulPrecision precision, const Device* device);
  MatmulPrecision precision() const { return precision_; }
  bool is_bf16() const { return precision_ == MatmulPrecision::bf16; }
  DType operand() const override { return is_bf16() && row_ == n_in() ? DType::bf16 : DType::f32; }
  // Of those of integers none.
  const void* values() const { return values_.raw(); }
  int row() const { return int(row_); }  // values of a row, those that fill it up among them
  const std::optional<IntegerWeight>& integers() const { return integers_; }
  // Up to how many rows are multiplied as they are; of integers the largest always, since there is
  // no room to make bfloat16 of them.
  int64_t most_few_rows() const {
    if (!integers_) return omni::cuda::kMostFewRows;
    return n_out() * n_in() > kMostWidened ? INT64_MAX : omni::cuda::kMostTileRows;
  }
  bool halves_are_blocks() const {
    return !integers_ || n_out() % (2 * omni::cuda::kBlockOutputs) == 0;
  }
  // [n_out, n_in] as float32, which cuDNN wants; made when they are first asked for.
  const float* in_f32() const;

 private:
  static constexpr int64_t kTensorStep = 8;
  void put(const Matrix& part, int64_t row, void* to) const;

  static constexpr int64_t kMostWidened = int64_t{256} << 20;  // values

  MatmulPrecision precision_;
  int64_t row_;
  std::optional<IntegerWeight> integers_;
  Tensor values_;
  mutable std::once_flag widened_;
  mutable Tensor wide_;
};

}  // namespace omni::ops::cuda
