// The reference: a row of W at a time as float32, and its products with the rows of x. Nothing is
// packed: W stays where it is, which may be a mapped file.
#include <algorithm>
#include <vector>

#include "cpu/packed_matrix.h"

namespace omni::ops::cpu {
namespace {

class PortableWeight final : public CpuMatrix {
 public:
  explicit PortableWeight(std::span<const Matrix> parts)
      : CpuMatrix(parts), parts_(parts.begin(), parts.end()) {}

  void run(Context& cx, const float* x, int64_t n, const float* bias, float* y) const override {
    constexpr int64_t kTile = 16;  // outputs
    int64_t first = 0;             // of a part
    for (const Matrix& part : parts_) {
      cx.pool.parallel_for(
          (part.n_out + kTile - 1) / kTile, double(n + 1) * double(part.n_out * n_in()),
          [&, first](int64_t tile) {
            const int64_t begin = tile * kTile, end = std::min(part.n_out, begin + kTile);
            const Tensor w = dequantize(part, begin, end);
            for (int64_t o = begin; o < end; ++o)
              for (int64_t i = 0; i < n; ++i)
                y[i * n_out() + first + o] = (bias ? bias[first + o] : 0.f) +
                                             dot(x + i * n_in(), w.f32() + (o - begin) * n_in());
          });
      first += part.n_out;
    }
  }

 private:
  float dot(const float* a, const float* b) const {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n_in(); ++i) sum += a[i] * b[i];
    return sum;
  }

  std::vector<Matrix> parts_;
};

}  // namespace

std::shared_ptr<const CpuMatrix> pack_portable(std::span<const Matrix> parts, MatmulPrecision) {
  return std::make_shared<PortableWeight>(parts);
}

}  // namespace omni::ops::cpu
