#include "video/colour.h"

#include <algorithm>
#include <cmath>

namespace omni {

namespace {

// Y'CbCr → R'G'B' in 16.16 fixed point. (ITU-R BT.601, BT.709, BT.2020: Kr and Kb)
struct Conversion {
  int y_offset, y, r_v, g_u, g_v, b_u;
  Conversion(ColourMatrix matrix, bool full_range) {
    const double kr = matrix == ColourMatrix::bt709 ? 0.2126 : matrix == ColourMatrix::bt2020 ? 0.2627 : 0.299;
    const double kb = matrix == ColourMatrix::bt709 ? 0.0722 : matrix == ColourMatrix::bt2020 ? 0.0593 : 0.114;
    const double kg = 1 - kr - kb, ys = full_range ? 1 : 255.0 / 219, cs = full_range ? 1 : 255.0 / 224;
    auto fix = [](double x) { return int(std::lround(x * 65536)); };
    y_offset = full_range ? 0 : 16;
    y = fix(ys);
    r_v = fix(2 * (1 - kr) * cs);
    b_u = fix(2 * (1 - kb) * cs);
    g_v = fix(-2 * (1 - kr) * kr / kg * cs);
    g_u = fix(-2 * (1 - kb) * kb / kg * cs);
  }
};

inline uint8_t clamp_fixed(int v) { return uint8_t(std::clamp((v + 32768) >> 16, 0, 255)); }

void to_rgb(const Conversion& c, const uint8_t* y, const uint8_t* u, const uint8_t* v, int64_t n, uint8_t* rgb) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const int luma = (int(y[i]) - c.y_offset) * c.y, cb = int(u[i]) - 128, cr = int(v[i]) - 128;
    rgb[i] = clamp_fixed(luma + c.r_v * cr);
    rgb[n + i] = clamp_fixed(luma + c.g_u * cb + c.g_v * cr);
    rgb[2 * n + i] = clamp_fixed(luma + c.b_u * cb);
  }
}

struct Interleaved {
  int step, r, g, b;
};

Interleaved layout(PixelFormat f) {
  switch (f) {
    case PixelFormat::rgb: return {3, 0, 1, 2};
    case PixelFormat::bgr: return {3, 2, 1, 0};
    case PixelFormat::rgba: return {4, 0, 1, 2};
    case PixelFormat::bgra: return {4, 2, 1, 0};
    default: return {0, 0, 0, 0};
  }
}

}  // namespace

PlaneResizer& FrameScaler::resizer(int in_width, int in_height, PictureSize size, std::optional<PlaneResizer>& slot) {
  if (!slot || slot->in_width() != in_width || slot->in_height() != in_height) slot.emplace(in_width, in_height, size.width, size.height);
  return *slot;
}

void FrameScaler::run(const VideoFrame& f, PictureSize size, uint8_t* rgb) {
  if (!(size == size_)) luma_.reset(), chroma_.reset(), size_ = size;
  const int64_t n = int64_t(size.width) * size.height;
  auto scale = [&](int plane, int offset, int step, uint8_t* out) {
    resizer(f.width, f.height, size, luma_).run({f.data[plane] + offset, f.stride[plane], step, f.width, f.height}, out);
  };
  if (const Interleaved l = layout(f.format); l.step) {
    scale(0, l.r, l.step, rgb);
    scale(0, l.g, l.step, rgb + n);
    scale(0, l.b, l.step, rgb + 2 * n);
    return;
  }
  if (f.format == PixelFormat::gray8) {
    scale(0, 0, 1, rgb);
    std::copy_n(rgb, n, rgb + n);
    std::copy_n(rgb, n, rgb + 2 * n);
    return;
  }
  yuv_.resize(size_t(3 * n));
  scale(0, 0, 1, yuv_.data());
  const bool nv12 = f.format == PixelFormat::nv12;
  const int w = (f.width + 1) / 2, h = (f.height + 1) / 2;
  PlaneResizer& chroma = resizer(w, h, size, chroma_);
  chroma.run({f.data[1], f.stride[1], nv12 ? 2 : 1, w, h}, yuv_.data() + n);
  chroma.run({nv12 ? f.data[1] + 1 : f.data[2], nv12 ? f.stride[1] : f.stride[2], nv12 ? 2 : 1, w, h}, yuv_.data() + 2 * n);
  to_rgb(Conversion(f.matrix, f.full_range), yuv_.data(), yuv_.data() + n, yuv_.data() + 2 * n, n, rgb);
}

}  // namespace omni
