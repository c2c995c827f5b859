// The loops themselves. kernels_portable.cc, kernels_avx2.cc, kernels_avx512.cc and kernels_neon.cc compile this one text for their instruction sets;
// OMNI_FAST chooses the approximations (checked against libm by tests/ops) where a library call would keep a loop from being vectorised.
#include <algorithm>
#include <bit>
#include <cmath>

#include "cpu/kernels.h"
#if OMNI_FAST
#include "cpu/simd.h"
#endif

namespace omni::ops::cpu {
namespace {

#if OMNI_FAST
// exp by 2^n · p(r), r in ±ln2/2; relative error 2e-7. (Cephes expf)
inline float exp_(float x) {
  x = std::min(88.3762626f, std::max(-87.3365479f, x));
  const float n = std::floor(x * 1.44269504f + 0.5f);
  const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  return p * std::bit_cast<float>((int32_t(n) + 127) << 23);
}
// erf as a quotient of polynomials on ±4; absolute error 2e-7. (the minimax fit that Eigen and XLA use)
inline float erf_(float x) {
  x = std::min(4.f, std::max(-4.f, x));
  const float s = x * x;
  float p = -2.72614225801306e-10f;
  p = p * s + 2.77068142495902e-08f;
  p = p * s - 2.10102402082508e-06f;
  p = p * s - 5.69250639462346e-05f;
  p = p * s - 7.34990630326855e-04f;
  p = p * s - 2.95459980854025e-03f;
  p = p * s - 1.60960333262415e-02f;
  float q = -1.45660718464996e-05f;
  q = q * s - 2.13374055278905e-04f;
  q = q * s - 1.68282697438203e-03f;
  q = q * s - 7.37332916720468e-03f;
  q = q * s - 1.42647390514189e-02f;
  return x * p / q;
}
// sin² by reduction to ±π/2 and a polynomial; absolute error 2e-7 for |x| < 1e4. (Cephes sinf, sine part)
inline float sin_squared_(float x) {
  const float n = std::floor(x * 0.318309886f + 0.5f);
  float r = x - n * 3.140625f;
  r -= n * 9.67502593994140625e-4f;
  r -= n * 1.509957990978376432e-7f;
  const float s = r * r;
  float p = 2.6083159809786593541503e-06f;
  p = p * s - 1.981069071916863322258e-04f;
  p = p * s + 8.333078585565090179443e-03f;
  p = p * s - 1.666665971279144287109e-01f;
  const float y = p * s * r + r;
  return y * y;
}
#else
inline float sin_squared_(float x) {
  const float y = std::sin(x);
  return y * y;
}
inline float exp_(float x) { return std::exp(x); }
inline float erf_(float x) { return std::erf(x); }
#endif

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* y) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const float scale = 1.f / std::sqrt(sum / float(n) + eps);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale * weight[i];
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t n, float* y) {
  float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  const float mean = sum / float(n);
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float scale = 1.f / std::sqrt(squares / float(n) + eps);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

void silu_mul(const float* gate, const float* up, int64_t n, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = gate[i] / (1.f + exp_(-gate[i])) * up[i];
}

void gelu(float* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] = 0.5f * x[i] * (1.f + erf_(x[i] * 0.70710678118654752f));
}

void gelu_tanh(float* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float u = 0.79788456080286536f * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
    x[i] *= 1.f / (1.f + exp_(-2.f * u));  // (1 + tanh u) / 2
  }
}

void silu(float* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] /= 1.f + exp_(-x[i]);
}

inline float filter_6(const float* x, int64_t step, const float (&tap)[6]) {
  return tap[0] * x[0] + tap[1] * x[step] + tap[2] * x[2 * step] + tap[3] * x[3 * step] +
         tap[4] * x[4 * step] + tap[5] * x[5 * step];
}

// out = filter(in) + sin²(α filter(in))/β for n values of rows of c; alpha and beta repeat after `period`.
void filter_and_snake(const float* in, int64_t c, const float (&tap)[6], const float* alpha,
                      const float* beta_reciprocal, int64_t period, int64_t n, float* out) {
  for (; n > 0; n -= period, in += period, out += period) {
    const int64_t size = std::min(n, period);
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      const float u = filter_6(in + i, c, tap);
      out[i] = u + sin_squared_(u * alpha[i]) * beta_reciprocal[i];
    }
  }
}

// Of the filter's twelve taps six fall on samples when it upsamples, the odd ones at even rows of the result
// and the even ones at odd rows; when it downsamples, six fall on either kind.
void snake_beta(const SnakeTile& t) {
  constexpr int64_t kReach = SnakeTile::kReach;
  const int64_t c = t.c, period = t.period(), n_up = t.n_upsampled(), n_in = n_up + 2 * kReach;
  const int64_t first = t.begin - kReach;
  float* in = t.scratch;        // rows first − kReach … of x, its ends repeated
  float* even = in + n_in * c;  // rows 2 first, 2 first + 2 … of the upsampled x
  float* odd = even + n_up * c;
  float *alpha = odd + n_up * c, *beta_reciprocal = alpha + period;
  float even_tap[6], odd_tap[6];  // in the order of the rows
  for (int k = 0; k < 6; ++k) even_tap[k] = 2 * t.filter[11 - 2 * k], odd_tap[k] = 2 * t.filter[10 - 2 * k];
  for (int64_t r = 0; r < n_in; ++r) {
    const int64_t row = std::min(std::max<int64_t>(first - kReach + r, 0), t.n - 1);
    std::copy(t.x + row * c, t.x + (row + 1) * c, in + r * c);
  }
  for (int64_t i = 0; i < period; ++i)
    alpha[i] = t.alpha[i % c], beta_reciprocal[i] = t.beta_reciprocal[i % c];
  filter_and_snake(in, c, even_tap, alpha, beta_reciprocal, period, n_up * c, even);
  filter_and_snake(in + c, c, odd_tap, alpha, beta_reciprocal, period, n_up * c, odd);
  for (int64_t r = 0; r < n_up; ++r) {  // the ends of what was upsampled are repeated, too
    const int64_t row = first + r;
    if (row >= 0 && row < t.n) continue;
    const float* end = row < 0 ? even - first * c : odd + (t.n - 1 - first) * c;
    std::copy(end, end + c, even + r * c);
    std::copy(end, end + c, odd + r * c);
  }
  for (int k = 0; k < 6; ++k) odd_tap[k] = t.filter[2 * k], even_tap[k] = t.filter[2 * k + 1];
  float* y = t.y + t.begin * c;
#pragma omp simd
  for (int64_t i = 0; i < (t.end - t.begin) * c; ++i)
    y[i] = filter_6(odd + i, c, odd_tap) + filter_6(even + c + i, c, even_tap);
}

void add(float* x, const float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void add_scaled(float* x, const float* y, const float* scale, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] += y[i] * scale[i];
}

void div(float* x, float divisor, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] /= divisor;
}

void mean(const float* a, const float* b, int64_t n, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = (a[i] + b[i]) / 2;
}

void rotate(float* x, const float* cos, const float* sin, int64_t half) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cos[i] - b * sin[i];
    x[i + half] = b * cos[i] + a * sin[i];
  }
}

void round_bf16(const float* x, int64_t n, BFloat16* y) {
  uint16_t* out = &y->bits;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t u = std::bit_cast<uint32_t>(x[i]);
    const uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16, nan = (u >> 16) | 0x40;
    out[i] = uint16_t((u & 0x7fffffff) > 0x7f800000 ? nan : rounded);
  }
}

template <class T>
inline void widen(const T* x, int64_t n, float* y) {
  int64_t i = 0;
#if OMNI_FAST
  for (; i + kLanes <= n; i += kLanes) store(y + i, load(x + i));
#endif
  for (; i < n; ++i) y[i] = to_float(x[i]);
}

void widen_bf16(const BFloat16* x, int64_t n, float* y) { widen(x, n, y); }
void widen_f16(const Float16* x, int64_t n, float* y) { widen(x, n, y); }

// softmax over scores[0, n), in place.
void softmax(float* scores, int64_t n) {
  float highest = -INFINITY, sum = 0;
#pragma omp simd reduction(max : highest)
  for (int64_t j = 0; j < n; ++j) highest = std::max(highest, scores[j]);
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    scores[j] = exp_(scores[j] - highest);
    sum += scores[j];
  }
  const float scale = 1.f / sum;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) scores[j] *= scale;
}

// Row r of a tile: one head of one query.
struct AttentionRow {
  const float* q;
  float* y;
  int64_t visible;
};

inline AttentionRow row_of(const AttentionTile& t, int64_t r) {
  const int64_t i = r / t.group, h = r % t.group;
  return {t.q + i * t.q_stride + h * t.head_dim, t.y + i * t.y_stride + h * t.head_dim, t.first_visible + (t.causal ? i : 0)};
}

// Dot products of a row with n keys.
void scores(const float* q, const float* k, int64_t stride, int64_t n, int head_dim, float scale, float* y) {
  for (int64_t j = 0; j < n; ++j) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < head_dim; ++c) sum += q[c] * k[j * stride + c];
    y[j] = sum * scale;
  }
}

#if OMNI_FAST
constexpr int kShared = 4;                       // rows that share what is loaded of keys and values
constexpr int kSpan = kLanes == 4 ? 4 : 2;       // vectors of turned keys at a time
constexpr int kWide = kLanes == 8 ? 2 : 4;       // vectors of a value at a time

using Queries = const float* [kShared];
using Results = float* [kShared];

// Dot products of the rows with kLanes · N keys that lie across vectors: keys[c · 32 + j].
template <int N>
void score_turned(const AttentionTile& t, const Queries& q, const float* keys, float* scores, int64_t stride) {
  Vec total[kShared][N];
  unroll<kShared>([&](auto r) { unroll<N>([&](auto k) { total[r][k] = splat(0); }); });
  const float* row[kShared] = {q[0], q[1], q[2], q[3]};
  for (int c = 0; c < t.head_dim; ++c, keys += 32) {
    Vec key[N];
    unroll<N>([&](auto k) { key[k] = load(keys + k * kLanes); });
    unroll<kShared>([&](auto r) { unroll<N>([&](auto k) { total[r][k] = fma(splat(row[r][c]), key[k], total[r][k]); }); });
  }
  unroll<kShared>([&](auto r) { unroll<N>([&](auto k) { store(scores + r * stride + k * kLanes, total[r][k] * splat(t.scale)); }); });
}

// The same with one key where it lies: what turning costs is not worth it for few rows.
void score_key(const AttentionTile& t, const Queries& q, const float* key, float* scores, int64_t stride) {
  Vec total[kShared];
  unroll<kShared>([&](auto r) { total[r] = splat(0); });
  const float* row[kShared] = {q[0], q[1], q[2], q[3]};
  int c = 0;
  for (; c + kLanes <= t.head_dim; c += kLanes) {
    const Vec k = load(key + c);
    unroll<kShared>([&](auto r) { total[r] = fma(load(row[r] + c), k, total[r]); });
  }
  unroll<kShared>([&](auto r) {
    float dot = sum(total[r]);
    for (int d = c; d < t.head_dim; ++d) dot += row[r][d] * key[d];
    scores[r * stride] = dot * t.scale;
  });
}

// y of up to four rows: their probabilities times the values, kLanes · N components from `c` on.
template <int N>
void weigh_columns(const AttentionTile& t, const float* p, int64_t stride, int64_t n_keys, const Results& y, int n_rows, int c) {
  Vec total[kShared][N];
  unroll<kShared>([&](auto r) { unroll<N>([&](auto k) { total[r][k] = splat(0); }); });
  const float* v = t.v + c;
  const int64_t step = t.kv_stride;
  for (int64_t j = 0; j < n_keys; ++j, v += step) {
    Vec value[N];
    unroll<N>([&](auto k) { value[k] = load(v + k * kLanes); });
    unroll<kShared>([&](auto r) { unroll<N>([&](auto k) { total[r][k] = fma(splat(p[r * stride + j]), value[k], total[r][k]); }); });
  }
  unroll<kShared>([&](auto r) {
    if (r < n_rows) unroll<N>([&](auto k) { store(y[r] + c + k * kLanes, total[r][k]); });
  });
}

void weigh(const AttentionTile& t, const float* p, int64_t stride, int64_t n_keys, const Results& y, int n_rows) {
  int c = 0;
  for (; c + kWide * kLanes <= t.head_dim; c += kWide * kLanes) weigh_columns<kWide>(t, p, stride, n_keys, y, n_rows, c);
  for (; c + kLanes <= t.head_dim; c += kLanes) weigh_columns<1>(t, p, stride, n_keys, y, n_rows, c);
  for (; c < t.head_dim; ++c)
    for (int r = 0; r < n_rows; ++r) {
      float total = 0;
      for (int64_t j = 0; j < n_keys; ++j) total += p[r * stride + j] * t.v[j * t.kv_stride + c];
      y[r][c] = total;
    }
}

void score(const AttentionTile& t, float* scores, int64_t stride) {
  const int64_t n_rows = t.n_rows(), n_keys = t.most_visible();
  constexpr int64_t kBlock = 32;
  for (int64_t first = 0; first < n_keys; first += kBlock) {
    const int64_t n = std::min(kBlock, n_keys - first);
    const bool turns = t.turned || n_rows > kShared;
    if (!t.turned && turns) turn_keys(t.k + first * t.kv_stride, t.kv_stride, n, t.head_dim, t.scratch);
    const float* keys = t.turned ? t.turned + first * t.head_dim : t.scratch;
    for (int64_t r = 0; r < n_rows; r += kShared) {
      const float* q[kShared];
      for (int64_t k = 0; k < kShared; ++k) q[k] = row_of(t, std::min(r + k, n_rows - 1)).q;
      float* to = scores + r * stride + first;
      if (!turns) {
        for (int64_t j = 0; j < n; ++j) score_key(t, q, t.k + (first + j) * t.kv_stride, to + j, stride);
        continue;
      }
      for (int64_t j = 0; j < n; j += kSpan * kLanes) {
        if (n - j > kSpan * kLanes / 2) score_turned<kSpan>(t, q, keys + j, to + j, stride);
        else score_turned<kSpan / 2>(t, q, keys + j, to + j, stride);
      }
    }
  }
}

void attention(const AttentionTile& t) {
  const int64_t n_rows = t.n_rows(), n_keys = t.most_visible(), stride = (n_keys + 15) / 16 * 16;
  float* scores = t.scratch + 32 * t.head_dim;
  score(t, scores, stride);
  for (int64_t r = 0; r < n_rows; r += kShared) {
    float* y[kShared];
    for (int64_t k = 0; k < kShared; ++k) {
      const AttentionRow row = row_of(t, std::min(r + k, n_rows - 1));
      float* p = scores + (r + k) * stride;
      y[k] = row.y;
      softmax(p, row.visible);
      std::fill(p + row.visible, p + stride, 0.f);
    }
    weigh(t, scores + r * stride, stride, n_keys, y, int(std::min<int64_t>(kShared, n_rows - r)));
  }
}
#else
void attention(const AttentionTile& t) {
  for (int64_t r = 0; r < t.n_rows(); ++r) {
    const AttentionRow row = row_of(t, r);
    float* p = t.scratch;
    scores(row.q, t.k, t.kv_stride, row.visible, t.head_dim, t.scale, p);
    softmax(p, row.visible);
    for (int c = 0; c < t.head_dim; ++c) row.y[c] = 0;
    for (int64_t j = 0; j < row.visible; ++j)
      for (int c = 0; c < t.head_dim; ++c) row.y[c] += p[j] * t.v[j * t.kv_stride + c];
  }
}
#endif

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_KERNEL_TABLE                                                                                  \
  {                                                                                                        \
    rms_norm, layer_norm, silu_mul, gelu, gelu_tanh, silu, snake_beta, add, add_scaled, div, mean, rotate, \
        round_bf16, widen_bf16, widen_f16, scores, softmax, attention                                      \
  }
