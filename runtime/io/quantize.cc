#include "io/quantize.h"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <limits>
#include <vector>

#include "core/parallel.h"

namespace omni {

namespace {

constexpr int kMost = 15;            // of a number of 4 bits
constexpr float kMostScale = 65504;  // of a float16

// Nearest integer, ties to even, of |x| < 2^22: a form that every level of instructions computes in
// vectors.
inline float rounded(float x) {
  constexpr float kShift = 0x1.8p23f;
  return (x + kShift) - kShift;
}

inline float clamped(float x) { return std::min(std::max(x, 0.f), float(kMost)); }

// By its bits: this file is compiled for finite numbers.
bool all_finite(const float* w, int64_t n) {
  uint32_t bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= (std::bit_cast<uint32_t>(w[i]) & 0x7f800000) == 0x7f800000;
  return bad == 0;
}

struct Fit {
  float scale = 0;
  float zero = 0;
};

// Tries ranges around [lowest, highest]: a narrower one cuts the outermost weights and is finer for
// the others. For each, the scale that fits its numbers best in the sense of least squares. (As
// ggml's make_qkx2_quants, with a whole zero.)
template <int kGroup>
Fit fit(const float* w) {
  float low = 0, high = 0;
#pragma omp simd reduction(min : low) reduction(max : high)
  for (int i = 0; i < kGroup; ++i) {
    low = std::min(low, w[i]);
    high = std::max(high, w[i]);
  }
  if (high - low > kMost * kMostScale / 2) return {std::numeric_limits<float>::max(), 0};
  Fit best;
  float least = std::numeric_limits<float>::max();
  if (high - low < FLT_MIN) return best;
  for (float wider = -1.5f; wider <= 2; wider += 0.5f) {
    const float per_step = std::min((kMost + wider) / (high - low), FLT_MAX),
                zero = clamped(rounded(-low * per_step));
    float wq = 0, qq = 0;
#pragma omp simd reduction(+ : wq, qq)
    for (int i = 0; i < kGroup; ++i) {
      const float q = clamped(rounded(w[i] * per_step) + zero) - zero;
      wq += w[i] * q;
      qq += q * q;
    }
    const float scale = to_float(to_float16(qq > 0 ? wq / qq : 0));
    const float error = scale * (scale * qq - 2 * wq);  // less Σ w²
    if (error < least) {
      least = error;
      best = {scale, zero};
    }
  }
  return best;
}

template <int kGroup>
void pack(const float* w, const Fit& f, uint8_t* out) {
  const float per_step = f.scale > 0 ? 1 / f.scale : 0;
  for (int i = 0; i < kGroup / 2; ++i) {
    const float even = clamped(rounded(w[2 * i] * per_step) + f.zero),
                odd = clamped(rounded(w[2 * i + 1] * per_step) + f.zero);
    out[i] = uint8_t(int(even) | int(odd) << 4);
  }
}

// One row. False if a scale is no float16.
template <int kGroup>
bool row_int4(const float* w, int64_t n, uint8_t* values, float* scales, uint8_t* zeros) {
  for (int64_t g = 0; g < n / kGroup; ++g) {
    const Fit f = fit<kGroup>(w + g * kGroup);
    if (f.scale > kMostScale) return false;
    scales[g] = f.scale;
    zeros[g] = uint8_t(f.zero);
    pack<kGroup>(w + g * kGroup, f, values + g * kGroup / 2);
  }
  return true;
}

void row_int8(const float* w, int64_t n, int8_t* values, float* scale) {
  float most = 0;
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(w[i]));
  *scale = most / 127 < FLT_MIN ? 0 : most / 127;
  const float per_step = *scale > 0 ? 1 / *scale : 0;
  for (int64_t i = 0; i < n; ++i) values[i] = int8_t(rounded(w[i] * per_step));
}

// body(row, its weights as float32), bands of rows shared out.
template <class Body>
void for_rows(const Matrix& dense, const std::string& name, const QuantizeOptions& o,
              const Body& body) {
  const int64_t band = std::max<int64_t>(1, (int64_t{1} << 19) / dense.n_in),
                n_bands = (dense.n_out + band - 1) / band;
  parallel_for(o.pool, n_bands, double(dense.values.numel()) * 10, [&](int64_t tile) {
    const int64_t begin = tile * band, end = std::min(dense.n_out, begin + band);
    const Tensor rows = to_f32(dense.values.rows(begin, end));
    if (!all_finite(rows.f32(), rows.numel()))
      throw Error(ErrorCode::corrupt_file, name + " has a weight that is NaN or infinite");
    for (int64_t r = begin; r < end; ++r) body(r, rows.f32() + (r - begin) * dense.n_in);
    if (o.read) o.read(begin, end);
  });
}

Matrix shaped(const Matrix& dense, WeightFormat format, int64_t group) {
  Matrix w;
  w.format = format;
  w.n_out = dense.n_out;
  w.n_in = dense.n_in;
  w.group = group;
  const bool int4 = format == WeightFormat::int4;
  w.values = Tensor::zeros(int4 ? DType::u8 : DType::i8, {w.n_out, int4 ? w.n_in / 2 : w.n_in});
  w.scales = Tensor::zeros(DType::f32, {w.n_out, w.n_in / group});
  if (int4) w.zeros = Tensor::zeros(DType::u8, {w.n_out, w.n_in / group});
  return w;
}

Matrix quantize_int8(const Matrix& dense, const std::string& name, const QuantizeOptions& o) {
  Matrix w = shaped(dense, WeightFormat::int8, dense.n_in);
  auto* values = static_cast<int8_t*>(w.values.raw());
  for_rows(dense, name, o, [&](int64_t r, const float* row) {
    row_int8(row, w.n_in, values + r * w.n_in, w.scales.f32() + r);
  });
  return w;
}

}  // namespace

int64_t int4_group(int64_t n_in) {
  for (const int64_t group : {64, 32})
    if (n_in % group == 0) return group;
  return 0;
}

Matrix quantize(const Matrix& dense, WeightFormat format, const std::string& name,
                const QuantizeOptions& o) {
  const int64_t group = int4_group(dense.n_in);
  if (format == WeightFormat::int8 || group == 0) return quantize_int8(dense, name, o);
  Matrix w = shaped(dense, WeightFormat::int4, group);
  auto* values = static_cast<uint8_t*>(w.values.raw());
  auto* zeros = static_cast<uint8_t*>(w.zeros.raw());
  std::atomic<bool> fits{true};
  for_rows(dense, name, o, [&](int64_t r, const float* row) {
    const int64_t first = r * (w.n_in / group);
    const auto quantize_row = group == 64 ? row_int4<64> : row_int4<32>;
    if (!quantize_row(row, w.n_in, values + r * w.n_in / 2, w.scales.f32() + first, zeros + first))
      fits = false;
  });
  return fits ? w : quantize_int8(dense, name, o);
}

}  // namespace omni
