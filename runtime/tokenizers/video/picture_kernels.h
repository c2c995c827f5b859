// The inner loops over samples of pictures, one table of functions a level. Every level gives the
// same bits.
#pragma once

#include <cstdint>

namespace omni {

struct Conversion;

constexpr int kTapBlock = 16;     // taps along a row come in whole vectors (zeros at the end)
constexpr int kOutputBlock = 16;  // and so do outputs along a row

struct PictureKernels {
  // out[i] = in[i · step + offset] for n samples; step 1 … 4.
  void (*component)(const uint8_t* in, int step, int offset, int n, int16_t* out);
  // out[i] = Σ row[first[i] + t] · weight[i · n_taps + t], rounded; n a multiple of kOutputBlock,
  // n_taps of kTapBlock.
  void (*row)(const int16_t* row, const int* first, const int16_t* weight, int n_taps,
              int precision, int n, uint8_t* out);
  // out[x] = Σ in[t · stride + x] · weight[t], rounded.
  void (*column)(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps,
                 int precision, int n, uint8_t* out);
  // Y, Cb, Cr → R, G, B, n samples of each.
  void (*to_rgb)(const Conversion& c, const uint8_t* const (&yuv)[3], int64_t n,
                 uint8_t* const (&rgb)[3]);
  // out[y · width + x] = in[y · stride + x] · scale + offset, rounded after the product and after
  // the sum.
  void (*normalise)(const uint8_t* in, int64_t stride, int width, int height, float scale,
                    float offset, float* out);
};

const PictureKernels& picture_kernels();  // those of cpu_level()
extern const PictureKernels kPortablePictureKernels, kAvx2PictureKernels, kAvx512PictureKernels,
    kNeonPictureKernels;

}  // namespace omni
