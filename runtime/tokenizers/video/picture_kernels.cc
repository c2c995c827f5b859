#include "video/picture_kernels.h"

#include <algorithm>

#include "core/cpu_level.h"

namespace omni {

namespace {

inline uint8_t clamp8(int v) { return uint8_t(std::clamp(v, 0, 255)); }

void row(const uint8_t* row, const int* first, const int16_t* weight, int n_taps, int precision, int n, uint8_t* out) {
  for (int i = 0; i < n; ++i) {
    int sum = 1 << (precision - 1);
    for (int t = 0; t < n_taps; ++t) sum += int(row[first[i] + t]) * int(weight[int64_t(i) * n_taps + t]);
    out[i] = clamp8(sum >> precision);
  }
}

void column(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps, int precision, int n, uint8_t* out) {
  for (int x = 0; x < n; ++x) {
    int sum = 1 << (precision - 1);
    for (int t = 0; t < n_taps; ++t) sum += int(in[t * stride + x]) * int(weight[t]);
    out[x] = clamp8(sum >> precision);
  }
}

void normalise(const uint8_t* in, int n, float scale, float offset, float* out) {
  for (int i = 0; i < n; ++i) out[i] = float(in[i]) * scale + offset;
}

}  // namespace

const PictureKernels kPortablePictureKernels = {row, column, normalise};

const PictureKernels& picture_kernels() { return cpu_level() == CpuLevel::avx512 ? kAvx512PictureKernels : kPortablePictureKernels; }

}  // namespace omni
