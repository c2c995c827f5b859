#include <arm_neon.h>

#include "video/picture_kernels.inl"

namespace omni {
namespace {

inline int32x4_t dot(const int16_t* in, const int16_t* weight, int n_taps) {
  int32x4_t low = vdupq_n_s32(0), high = low;  // two, so that none waits for itself
  for (int t = 0; t < n_taps; t += 8) {
    const int16x8_t samples = vld1q_s16(in + t), weights = vld1q_s16(weight + t);
    low = vmlal_s16(low, vget_low_s16(samples), vget_low_s16(weights));
    high = vmlal_high_s16(high, samples, weights);
  }
  return vaddq_s32(low, high);
}

// (sum + half) >> precision of 16 sums, as bytes.
inline uint8x16_t rounded(const int32x4_t (&sums)[4], int precision) {
  const int32x4_t half = vdupq_n_s32(1 << (precision - 1)), shift = vdupq_n_s32(-precision);
  uint16x4_t words[4];
  for (int q = 0; q < 4; ++q) words[q] = vqmovun_s32(vshlq_s32(vaddq_s32(sums[q], half), shift));
  return vqmovn_high_u16(vqmovn_u16(vcombine_u16(words[0], words[1])),
                         vcombine_u16(words[2], words[3]));
}

void row(const int16_t* row, const int* first, const int16_t* weight, int n_taps, int precision,
         int n, uint8_t* out) {
  for (int i = 0; i < n; i += 16) {
    int32x4_t sums[4];
    for (int q = 0; q < 4; ++q, first += 4, weight += 4 * n_taps) {
      const auto sum = [&](int k) { return dot(row + first[k], weight + k * n_taps, n_taps); };
      sums[q] = vpaddq_s32(vpaddq_s32(sum(0), sum(1)), vpaddq_s32(sum(2), sum(3)));
    }
    vst1q_u8(out + i, rounded(sums, precision));
  }
}

// 16 columns.
inline void columns(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps,
                    int precision, uint8_t* out) {
  int32x4_t sums[4] = {};
  for (int t = 0; t < n_taps; ++t, in += stride) {
    const uint8x16_t samples = vld1q_u8(in);
    const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(samples)));
    const int16x8_t high = vreinterpretq_s16_u16(vmovl_high_u8(samples));
    sums[0] = vmlal_n_s16(sums[0], vget_low_s16(low), weight[t]);
    sums[1] = vmlal_high_n_s16(sums[1], low, weight[t]);
    sums[2] = vmlal_n_s16(sums[2], vget_low_s16(high), weight[t]);
    sums[3] = vmlal_high_n_s16(sums[3], high, weight[t]);
  }
  vst1q_u8(out, rounded(sums, precision));
}

void column(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps, int precision,
            int n, uint8_t* out) {
  constexpr int kBlock = 16;
  if (n < kBlock)
    return kPortablePictureKernels.column(in, stride, weight, n_taps, precision, n, out);
  for (int x = 0; x < n; x += kBlock) {
    const int at = std::min(x, n - kBlock);  // the last block begins early
    columns(in + at, stride, weight, n_taps, precision, out + at);
  }
}

}  // namespace

const PictureKernels kNeonPictureKernels = {component, row, column, to_rgb, normalise};

}  // namespace omni
