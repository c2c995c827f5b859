// The loops that a compiler vectorises by itself: picture_kernels_<level>.cc compiles this one text
// for its level, without fused products so that all have the same bits, and adds the resizing
// loops.
#include <algorithm>

#include "video/colour.h"
#include "video/picture_kernels.h"

namespace omni {
namespace {

inline uint8_t clamp8(int v) { return uint8_t(std::clamp(v, 0, 255)); }

template <int kStep>
inline void every(const uint8_t* in, int n, int16_t* out) {
#pragma omp simd
  for (int i = 0; i < n; ++i) out[i] = in[i * kStep];
}

void component(const uint8_t* in, int step, int offset, int n, int16_t* out) {
  switch (step) {
    case 1:
      return every<1>(in + offset, n, out);
    case 2:
      return every<2>(in + offset, n, out);
    case 3:
      return every<3>(in + offset, n, out);
    default:
      return every<4>(in + offset, n, out);
  }
}

void to_rgb(const Conversion& k, const uint8_t* const (&yuv)[3], int64_t n,
            uint8_t* const (&rgb)[3]) {
  constexpr int kHalf = 1 << 15;
  const Conversion c = k;  // a local one: no store can change it
  const uint8_t *y = yuv[0], *u = yuv[1], *v = yuv[2];
  uint8_t *r = rgb[0], *g = rgb[1], *b = rgb[2];
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const int luma = (y[i] - c.y_offset) * c.y + kHalf, cb = u[i] - 128, cr = v[i] - 128;
    r[i] = clamp8((luma + c.r_v * cr) >> 16);
    g[i] = clamp8((luma + c.g_u * cb + c.g_v * cr) >> 16);
    b[i] = clamp8((luma + c.b_u * cb) >> 16);
  }
}

void normalise(const uint8_t* in, int64_t stride, int width, int height, float scale, float offset,
               float* out) {
  constexpr int kBlock = 8;
  for (int y = 0; y < height; ++y, in += stride, out += width) {
    for (int x = 0; x < width; x += kBlock) {
      const int at = std::max(0, std::min(x, width - kBlock)), size = std::min(kBlock, width);
      if (size == kBlock) {
#pragma omp simd
        for (int i = at; i < at + kBlock; ++i) out[i] = float(in[i]) * scale + offset;
      } else {
        for (int i = 0; i < size; ++i) out[i] = float(in[i]) * scale + offset;
      }
    }
  }
}

}  // namespace
}  // namespace omni
