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
#else
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

inline float dot(const float* a, const float* b, int n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// One query head: scores, softmax, weighted sum of values.
void attend(const AttentionTile& t, const float* q, int64_t visible, float* y) {
  float* scores = t.scores;
  float highest = -INFINITY;
  for (int64_t j = 0; j < visible; ++j) {
    scores[j] = dot(q, t.k + j * t.kv_stride, t.head_dim) * t.scale;
    highest = std::max(highest, scores[j]);
  }
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < visible; ++j) {
    scores[j] = exp_(scores[j] - highest);
    sum += scores[j];
  }
  const float scale = 1.f / sum;
  for (int d = 0; d < t.head_dim; ++d) y[d] = 0;
  for (int64_t j = 0; j < visible; ++j) {
    const float p = scores[j] * scale;
    const float* v = t.v + j * t.kv_stride;
#pragma omp simd
    for (int d = 0; d < t.head_dim; ++d) y[d] += p * v[d];
  }
}

void attention(const AttentionTile& t) {
  for (int64_t i = 0; i < t.n_q; ++i)
    for (int h = 0; h < t.group; ++h)
      attend(t, t.q + i * t.q_stride + h * t.head_dim, t.first_visible + (t.causal ? i : 0), t.y + i * t.y_stride + h * t.head_dim);
}

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_KERNEL_TABLE {rms_norm, layer_norm, silu_mul, gelu, add, rotate, round_bf16, attention}
