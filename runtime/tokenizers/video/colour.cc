#include "video/colour.h"

#include <algorithm>
#include <cmath>

#include "video/picture_kernels.h"

namespace omni {

Conversion::Conversion(ColourMatrix matrix, bool full_range) {
  const double kr = matrix == ColourMatrix::bt709    ? 0.2126
                    : matrix == ColourMatrix::bt2020 ? 0.2627
                                                     : 0.299;
  const double kb = matrix == ColourMatrix::bt709    ? 0.0722
                    : matrix == ColourMatrix::bt2020 ? 0.0593
                                                     : 0.114;
  const double kg = 1 - kr - kb, ys = full_range ? 1 : 255.0 / 219,
               cs = full_range ? 1 : 255.0 / 224;
  auto fix = [](double x) { return int(std::lround(x * 65536)); };
  y_offset = full_range ? 0 : 16;
  y = fix(ys);
  r_v = fix(2 * (1 - kr) * cs);
  b_u = fix(2 * (1 - kb) * cs);
  g_v = fix(-2 * (1 - kr) * kr / kg * cs);
  g_u = fix(-2 * (1 - kb) * kb / kg * cs);
}

Interleaved interleaved(PixelFormat f) {
  switch (f) {
    case PixelFormat::rgb:
      return {3, 0, 1, 2};
    case PixelFormat::bgr:
      return {3, 2, 1, 0};
    case PixelFormat::rgba:
      return {4, 0, 1, 2};
    case PixelFormat::bgra:
      return {4, 2, 1, 0};
    default:
      return {0, 0, 0, 0};
  }
}

PlaneResizer& FrameScaler::resizer(int in_width, int in_height, PictureSize size, ResizeOrder order,
                                   std::optional<PlaneResizer>& slot) {
  if (!slot || slot->in_width() != in_width || slot->in_height() != in_height)
    slot.emplace(in_width, in_height, size.width, size.height, order);
  return *slot;
}

void FrameScaler::run(const VideoFrame& f, PictureSize size, uint8_t* rgb) {
  if (!(size == size_)) rgb_.reset(), luma_.reset(), chroma_.reset(), size_ = size;
  const int64_t n = int64_t(size.width) * size.height;
  if (const Interleaved l = interleaved(f.format); l.step) {
    const int offsets[] = {l.r, l.g, l.b};
    uint8_t* const outs[] = {rgb, rgb + n, rgb + 2 * n};
    resizer(f.width, f.height, size, ResizeOrder::rows_first, rgb_)
        .run({f.data[0], f.stride[0], l.step, f.width, f.height}, 3, offsets, outs);
    return;
  }
  yuv_.resize(size_t(3 * n));
  uint8_t *y = yuv_.data(), *uv[] = {yuv_.data() + n, yuv_.data() + 2 * n};
  const int bytes = sample_bytes(f.format), offsets[] = {bytes - 1, 2 * bytes - 1};
  resizer(f.width, f.height, size, ResizeOrder::columns_first, luma_)
      .run({f.data[0], f.stride[0], bytes, f.width, f.height}, 1, offsets, &y);
  if (f.format == PixelFormat::gray8) {
    for (int c = 0; c < 3; ++c) std::copy_n(y, n, rgb + c * n);
    return;
  }
  const int w = (f.width + 1) / 2, h = (f.height + 1) / 2;
  PlaneResizer& chroma = resizer(w, h, size, ResizeOrder::columns_first, chroma_);
  if (f.format == PixelFormat::nv12 || f.format == PixelFormat::p010) {
    chroma.run({f.data[1], f.stride[1], 2 * bytes, w, h}, 2, offsets, uv);
  } else {
    for (int c = 0; c < 2; ++c)
      chroma.run({f.data[1 + c], f.stride[1 + c], 1, w, h}, 1, offsets, &uv[c]);
  }
  picture_kernels().to_rgb(Conversion(f.matrix, f.full_range), {y, uv[0], uv[1]}, n,
                           {rgb, rgb + n, rgb + 2 * n});
}

}  // namespace omni
