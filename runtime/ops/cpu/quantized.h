// Products with quantized weights that lie in panels: the inner part of linear_quantized.cc, once a
// level.
#pragma once

#include <cstdint>

namespace omni::ops::cpu {

// A panel holds `columns` outputs as words of 32 bits: 4 columns of W as bytes or 8 as halves of
// bytes; of the latter byte b of a word holds column b below column b + 4. The columns of W are cut
// into segments, each multiplied by itself and then scaled. What one row reads lies in the order in
// which it is read: [group of panels][word][panel of the group][columns], and scales likewise,
// [group][scale][panel of the group][columns]; the last group may have fewer panels.
struct QuantizedTile {
  // [n_rows, n_in] (row stride n_in): float32 as it is; or int8 with a scale for each segment of a
  // row, [n_segments][n_all][segment].
  const float* x;
  const int8_t* rounded;
  // of each segment of a row, [n_segments][n_all]
  const float* x_scales;    // of `rounded`, of 22 bits
  const float* x_sums;      // Σ over a segment of x, or of `rounded` before its scale
  const int32_t* x_begins;  // of more rows than few_rows: kBegin − (zero or kHalvesZero) · Σ
  const float* x_bases;     // likewise: −kBase · scale

  int64_t n_all;  // rows of all tiles
  int64_t n_rows, n_in, segment, n_segments;
  int64_t segments_of_a_scale;
  const uint32_t* words;  // of whole groups
  const void* scales;
  const uint8_t* zeros;  // as scales, 0 … 16; nullptr: `zero`
  int zero;              // what stands for 0
  int64_t n_out;         // of these panels; what the last one has beyond it is not written
  const float* bias;     // of the first output, or nullptr
  float* y;
  int64_t y_stride;
};

constexpr int64_t kMostRows = 96;      // of a tile
constexpr int64_t kMostSegment = 128;  // columns of W
// Halves of bytes times many rows become bytes with this zero.
constexpr int kHalvesZero = 16;
// A sum of |Σ| < 2^22 that began at kBegin has the bits of the float kBase + Σ; so that scale · Σ
// is one fma, exactly, if kBase · scale is exact.
constexpr float kBase = 0x1.8p23f;
constexpr int32_t kBegin = 0x4b400000;

// y = bias + Σ over segments of scale · (values − zero) · x, for scales of float16 or float32. Rows
// computed together and alone have the same bits.
struct Quantized {
  int columns;
  int group;          // panels
  int few_rows;       // more of them read x_begins and x_bases
  bool rounds;        // reads `rounded`, not `x`
  bool signed_bytes;  // int8 as it is; false: 128 more, with zero = 128
  struct Scaled {
    void (*f16)(const QuantizedTile& tile);
    void (*f32)(const QuantizedTile& tile);
  } int8, int4;
};

extern const Quantized kAvx512Quantized, kNeonQuantized;
extern const Quantized kAvx2Pairs, kAvx2VnniDots, kAvx512VnniDots, kNeonDots;

}  // namespace omni::ops::cpu
