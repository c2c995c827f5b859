#include "video/picture_kernels.inl"

namespace omni {
namespace {

void row(const int16_t* row, const int* first, const int16_t* weight, int n_taps, int precision,
         int n, uint8_t* out) {
  for (int i = 0; i < n; ++i, weight += n_taps) {
    const int16_t* in = row + first[i];
    int sum = 0;
    for (int t = 0; t < n_taps; ++t) sum += in[t] * weight[t];
    out[i] = clamp8((sum + (1 << (precision - 1))) >> precision);
  }
}

void column(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps, int precision,
            int n, uint8_t* out) {
  constexpr int kBlock = 64;
  for (int x = 0; x < n; x += kBlock) {
    int sum[kBlock];
    const int size = std::min(kBlock, n - x);
    std::fill_n(sum, kBlock, 1 << (precision - 1));
    for (int t = 0; t < n_taps; ++t) {
      const uint8_t* samples = in + t * stride + x;
#pragma omp simd
      for (int i = 0; i < size; ++i) sum[i] += samples[i] * weight[t];
    }
#pragma omp simd
    for (int i = 0; i < size; ++i) out[x + i] = clamp8(sum[i] >> precision);
  }
}

}  // namespace

const PictureKernels kPortablePictureKernels = {component, row, column, to_rgb, normalise};

}  // namespace omni
