// The reference: plain loops over row-major weights. bfloat16 weights are kept as their float32 values, x is rounded before it comes here.
#include <cstring>

#include "core/dtype.h"
#include "cpu/linear_weight.h"

namespace omni::ops::cpu {
namespace {

class PortableWeight final : public LinearWeight {
 public:
  PortableWeight(Tensor w, bool bf16) : LinearWeight(w.dim(0), w.dim(1), bf16), w_(std::move(w)) {}

  void run(ThreadPool& pool, const void* x, int64_t n, const float* bias, float* y) const override {
    const int64_t k = n_in(), m = n_out();
    pool.parallel_for(n, double(n) * double(m * k), [&](int64_t i) {
      for (int64_t j = 0; j < m; ++j) {
        const float* w = w_.f32() + j * k;
        float sum = bias ? bias[j] : 0.f;
        if (takes_bf16()) {
          const BFloat16* row = static_cast<const BFloat16*>(x) + i * k;
          for (int64_t c = 0; c < k; ++c) sum += to_float(row[c]) * w[c];
        } else {
          const float* row = static_cast<const float*>(x) + i * k;
          for (int64_t c = 0; c < k; ++c) sum += row[c] * w[c];
        }
        y[i * m + j] = sum;
      }
    });
  }

 private:
  Tensor w_;  // [n_out, n_in]
};

}  // namespace

std::shared_ptr<const LinearWeight> pack_portable(std::span<const Tensor> parts, bool bf16) {
  int64_t rows = 0;
  for (const Tensor& p : parts) rows += p.dim(0);
  const int64_t k = parts[0].dim(1);
  Tensor w = Tensor::zeros(DType::f32, {rows, k});
  float* out = w.f32();
  for (const Tensor& p : parts) {
    const Tensor f = to_f32(p);
    std::memcpy(out, f.raw(), f.nbytes());
    out += f.numel();
  }
  if (bf16)
    for (int64_t i = 0; i < w.numel(); ++i) w.f32()[i] = to_float(to_bfloat16(w.f32()[i]));
  return std::make_shared<PortableWeight>(std::move(w), bf16);
}

}  // namespace omni::ops::cpu
