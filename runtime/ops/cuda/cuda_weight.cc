#include "ops/cuda/cuda_weight.h"

#include <algorithm>
#include <cstring>

namespace omni::ops::cuda {

namespace {

int64_t count_rows(std::span<const Matrix> parts) {
  int64_t n = 0;
  for (const Matrix& p : parts) n += p.n_out;
  return n;
}

}  // namespace

CudaWeight::CudaWeight(std::span<const Matrix> parts, MatmulPrecision precision,
                       const Device* device)
    : PackedMatrix(count_rows(parts), parts[0].n_in),
      precision_(precision),
      row_(is_bf16() ? (n_in() + kTensorStep - 1) / kTensorStep * kTensorStep : n_in()) {
  if (is_bf16()) integers_ = IntegerWeight::of(parts, device);
  if (integers_) return;
  Tensor joined = Tensor::zeros(is_bf16() ? DType::bf16 : DType::f32, {n_out(), row_});
  auto* to = static_cast<char*>(joined.raw());
  const size_t row_bytes = size_t(row_) * size_of(joined.dtype());
  for (const Matrix& part : parts)
    for (int64_t row = 0; row < part.n_out; ++row, to += row_bytes) put(part, row, to);
  values_ = to_device(joined, device);
}

const float* CudaWeight::in_f32() const {
  std::call_once(widened_, [&] {
    if (!is_bf16()) return void(wide_ = values_);
    const Tensor all = to_f32(to_device(values_, nullptr));
    Tensor tight = Tensor::zeros(DType::f32, {n_out(), n_in()});
    for (int64_t i = 0; i < n_out(); ++i)
      std::copy_n(all.f32() + i * row_, n_in(), tight.f32() + i * n_in());
    wide_ = to_device(tight, values_.device());
  });
  return static_cast<const float*>(wide_.raw());
}

void CudaWeight::put(const Matrix& part, int64_t row, void* to) const {
  const DType type = is_bf16() ? DType::bf16 : DType::f32;
  if (part.values.dtype() == type) {
    const auto bytes = size_t(part.n_in) * size_of(type);
    std::memcpy(to, static_cast<const char*>(part.values.raw()) + size_t(row) * bytes, bytes);
    return;
  }
  const Tensor values = dequantize(part, row, row + 1);
  if (is_bf16())
    std::transform(values.f32(), values.f32() + values.numel(), static_cast<BFloat16*>(to),
                   to_bfloat16);
  else
    std::copy_n(values.f32(), values.numel(), static_cast<float*>(to));
}

}  // namespace omni::ops::cuda
