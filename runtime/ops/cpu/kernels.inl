// The loops themselves. kernels_portable.cc and kernels_avx512.cc compile this one text for their instruction sets;
// OMNI_FAST chooses the approximations (checked against libm by tests/ops) where a library call would keep a loop from being vectorised.
#include <algorithm>
#include <bit>
#include <cmath>

#include "cpu/kernels.h"

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

void snake(float* x, const float* alpha, const float* beta_reciprocal, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] += sin_squared_(x[i] * alpha[i]) * beta_reciprocal[i];
}

void add(float* x, const float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
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

// softmax over scores[0, n), in place.
inline void softmax(float* scores, int64_t n) {
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

#if OMNI_FAST
// Sixteen keys lie across a vector, and four rows share what is loaded of keys and values.
using Vec = float __attribute__((vector_size(64), aligned(4)));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, const Vec& v) { *reinterpret_cast<Vec*>(p) = v; }

// Dot products of four rows with 16·N keys; keys[c · 32 + j].
template <int N>
inline void score_block(const AttentionTile& t, const float* const (&q)[4], const float* keys, float* scores, int64_t stride) {
  Vec sum[4][N] = {};
  for (int i = 0; i < t.head_dim; ++i)
    for (int k = 0; k < N; ++k) {
      const Vec key = load(keys + 32 * i + 16 * k);
      for (int r = 0; r < 4; ++r) sum[r][k] += q[r][i] * key;
    }
  for (int r = 0; r < 4; ++r)
    for (int k = 0; k < N; ++k) store(scores + r * stride + 16 * k, sum[r][k] * t.scale);
}

// y of up to four rows: their probabilities times the values, 16·N components from `c` on.
template <int N>
inline void weigh_columns(const AttentionTile& t, const float* p, int64_t stride, int64_t n_keys, float* const (&y)[4], int n_rows, int c) {
  Vec sum[4][N] = {};
  const float* v = t.v + c;
  for (int64_t j = 0; j < n_keys; ++j, v += t.kv_stride)
    for (int k = 0; k < N; ++k) {
      const Vec values = load(v + 16 * k);
      for (int r = 0; r < 4; ++r) sum[r][k] += p[r * stride + j] * values;
    }
  for (int r = 0; r < n_rows; ++r)
    for (int k = 0; k < N; ++k) store(y[r] + c + 16 * k, sum[r][k]);
}

inline void weigh_block(const AttentionTile& t, const float* p, int64_t stride, int64_t n_keys, float* const (&y)[4], int n_rows) {
  int c = 0;
  for (; c + 64 <= t.head_dim; c += 64) weigh_columns<4>(t, p, stride, n_keys, y, n_rows, c);
  for (; c + 16 <= t.head_dim; c += 16) weigh_columns<1>(t, p, stride, n_keys, y, n_rows, c);
  for (; c < t.head_dim; ++c)
    for (int r = 0; r < n_rows; ++r) {
      float sum = 0;
      for (int64_t j = 0; j < n_keys; ++j) sum += p[r * stride + j] * t.v[j * t.kv_stride + c];
      y[r][c] = sum;
    }
}

void attention(const AttentionTile& t) {
  const int64_t n_rows = t.n_rows(), n_keys = t.most_visible(), stride = (n_keys + 15) / 16 * 16;
  float* scores = t.scratch + 32 * t.head_dim;
  for (int64_t first = 0; first < n_keys; first += 32) {
    const int64_t n = std::min<int64_t>(32, n_keys - first);
    if (!t.turned) turn_keys(t.k + first * t.kv_stride, t.kv_stride, n, t.head_dim, t.scratch);
    const float* keys = t.turned ? t.turned + first * t.head_dim : t.scratch;
    for (int64_t r = 0; r < n_rows; r += 4) {
      const float* q[4];
      for (int64_t k = 0; k < 4; ++k) q[k] = row_of(t, std::min(r + k, n_rows - 1)).q;
      if (n > 16) score_block<2>(t, q, keys, scores + r * stride + first, stride);
      else score_block<1>(t, q, keys, scores + r * stride + first, stride);
    }
  }
  for (int64_t r = 0; r < n_rows; r += 4) {
    float* y[4];
    for (int64_t k = 0; k < 4; ++k) {
      const AttentionRow row = row_of(t, std::min(r + k, n_rows - 1));
      float* p = scores + (r + k) * stride;
      y[k] = row.y;
      softmax(p, row.visible);
      std::fill(p + row.visible, p + stride, 0.f);
    }
    weigh_block(t, scores + r * stride, stride, n_keys, y, int(std::min<int64_t>(4, n_rows - r)));
  }
}
#else
void attention(const AttentionTile& t) {
  for (int64_t r = 0; r < t.n_rows(); ++r) {
    const AttentionRow row = row_of(t, r);
    float* scores = t.scratch;
    for (int64_t j = 0; j < row.visible; ++j) {
      float sum = 0;
      for (int c = 0; c < t.head_dim; ++c) sum += row.q[c] * t.k[j * t.kv_stride + c];
      scores[j] = sum * t.scale;
    }
    softmax(scores, row.visible);
    for (int c = 0; c < t.head_dim; ++c) row.y[c] = 0;
    for (int64_t j = 0; j < row.visible; ++j)
      for (int c = 0; c < t.head_dim; ++c) row.y[c] += scores[j] * t.v[j * t.kv_stride + c];
  }
}
#endif

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_KERNEL_TABLE {rms_norm, layer_norm, silu_mul, gelu, gelu_tanh, snake, add, rotate, round_bf16, attention}
