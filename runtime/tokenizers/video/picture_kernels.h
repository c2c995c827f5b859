// The inner loops over samples of pictures. Resizing is integer arithmetic: every instruction set gives the same bits.
#pragma once

#include <cstdint>

namespace omni {

constexpr int kTapBlock = 32;     // taps along a row come in whole vectors (zeros at the end)
constexpr int kOutputBlock = 16;  // and so do outputs along a row

struct PictureKernels {
  // out[i] = Σ row[first[i] + t] · weight[i · n_taps + t], rounded; n a multiple of kOutputBlock, n_taps of kTapBlock.
  void (*row)(const uint8_t* row, const int* first, const int16_t* weight, int n_taps, int precision, int n, uint8_t* out);
  // out[x] = Σ in[t · stride + x] · weight[t], rounded.
  void (*column)(const uint8_t* in, int64_t stride, const int16_t* weight, int n_taps, int precision, int n, uint8_t* out);
  // out[i] = in[i] · scale + offset
  void (*normalise)(const uint8_t* in, int n, float scale, float offset, float* out);
};

const PictureKernels& picture_kernels();  // those of cpu_level()
extern const PictureKernels kPortablePictureKernels, kAvx512PictureKernels;

}  // namespace omni
