// The loops themselves. kernels_portable.cc, kernels_avx2.cc, kernels_avx512.cc and kernels_neon.cc
// compile this one text for their instruction sets; OMNI_FAST chooses the approximations (checked
// against libm by tests/ops) where a library call would keep a loop from being vectorised.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "cpu/kernels.h"
#if OMNI_FAST
#include "cpu/multiply.h"
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
// erf as a quotient of polynomials on ±4; absolute error 2e-7. (the minimax fit that Eigen and XLA
// use)
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
// sin² by reduction to ±π/2 and a polynomial; absolute error 2e-7 for |x| < 1e4. (Cephes sinf, sine
// part)
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

void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t n,
                float* y) {
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

void quick_gelu(float* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] /= 1.f + exp_(-1.702f * x[i]);
}

void silu(float* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] /= 1.f + exp_(-x[i]);
}

void snake(float* x, const float* alpha, const float* beta_reciprocal, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] += sin_squared_(x[i] * alpha[i]) * beta_reciprocal[i];
}

inline float filter_6(const float* x, int64_t step, const float (&tap)[6]) {
  return tap[0] * x[0] + tap[1] * x[step] + tap[2] * x[2 * step] + tap[3] * x[3 * step] +
         tap[4] * x[4 * step] + tap[5] * x[5 * step];
}

// out = filter(in) + sin²(α filter(in))/β for n values of rows of c; alpha and beta repeat after
// `period`.
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

// Of the filter's twelve taps six fall on samples when it upsamples, the odd ones at even rows of
// the result and the even ones at odd rows; when it downsamples, six fall on either kind.
void snake_beta(const SnakeTile& t) {
  constexpr int64_t kReach = SnakeTile::kReach;
  const int64_t c = t.c, period = t.period(), n_up = t.n_upsampled(), n_in = n_up + 2 * kReach;
  const int64_t first = t.begin - kReach;
  float* in = t.scratch;        // rows first − kReach … of x, its ends repeated
  float* even = in + n_in * c;  // rows 2 first, 2 first + 2 … of the upsampled x
  float* odd = even + n_up * c;
  float *alpha = odd + n_up * c, *beta_reciprocal = alpha + period;
  float even_tap[6], odd_tap[6];  // in the order of the rows
  for (int k = 0; k < 6; ++k)
    even_tap[k] = 2 * t.filter[11 - 2 * k], odd_tap[k] = 2 * t.filter[10 - 2 * k];
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

void round_int8(const float* x, int64_t n, int8_t* y, float* scale, float* sum) {
  float most = 0, nothing = 0;
#pragma omp simd reduction(max : most) reduction(+ : nothing)
  for (int64_t i = 0; i < n; ++i) {
    most = std::max(most, std::abs(x[i]));
    nothing += 0 * x[i];
  }
  const float per_unit = most > 0 ? 127 / most : 0;
  int total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; ++i) {
    const int rounded = int(std::floor(x[i] * per_unit + 0.5f));
    y[i] = int8_t(rounded);
    total += rounded;
  }
  *scale = most / 127 + nothing;
  *sum = float(total);
}

float sum_of(const float* x, int64_t n) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; ++i) total += x[i];
  return total;
}

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
inline const float* query_of(const AttentionTile& t, const AttentionLane& lane, int64_t r) {
  return lane.q + r / t.group * lane.q_stride + r % t.group * t.head_dim;
}
inline float* result_of(const AttentionTile& t, int64_t r) {
  return t.y + r / t.group * t.y_stride + r % t.group * t.head_dim;
}

// The scores of row r with all keys of a tile become their softmax; what it does not see weighs 0.
void softmax_of_visible(const AttentionTile& t, int64_t r, float* scores) {
  float highest = -INFINITY, sum = 0;
  const auto each_lane = [&](const auto& body) {
    float* of_lane = scores;
    for (const AttentionLane& lane : t.lanes) {
      body(of_lane, lane.visible(r / t.group));
      of_lane += lane.visible(t.n_q - 1);
    }
  };
  each_lane([&](const float* x, int64_t n) {
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < n; ++j) most = std::max(most, x[j]);
    highest = std::max(highest, most);
  });
  each_lane([&](float* x, int64_t n) {
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t j = 0; j < n; ++j) {
      x[j] = exp_(x[j] - highest);
      part += x[j];
    }
    sum += part;
  });
  const float scale = 1.f / sum;
  float* hidden = scores;
  each_lane([&](float* x, int64_t n) {
    std::fill(hidden, x, 0.f);
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) x[j] *= scale;
    hidden = x + n;
  });
  std::fill(hidden, scores + t.n_keys(), 0.f);
}

// Dot products of a row with n keys.
template <class T>
void scores_with(const float* q, const T* k, int64_t stride, int64_t n, int head_dim, float scale,
                 float* y) {
  for (int64_t j = 0; j < n; ++j) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < head_dim; ++c) sum += q[c] * to_float(k[j * stride + c]);
    y[j] = sum * scale;
  }
}

void scores(const float* q, const float* k, int64_t stride, int64_t n, int head_dim, float scale,
            float* y) {
  scores_with(q, k, stride, n, head_dim, scale, y);
}

#if OMNI_FAST
// What a tile needs of t.scratch; attention_scratch() is the sum.
struct AttentionScratch {
  float *q, *y;   // [rows, head_dim]: queries times scale, results so far
  float* scores;  // [rows, kKeyBlock]
  // of a block, in panels: [head_dim][kColumns] each, [kKeyBlock][kColumns] each
  float *keys, *values;
  float *highest, *total;  // [rows]: of the scores so far, and of their exponentials

  explicit AttentionScratch(const AttentionTile& t) {
    const int64_t rows = t.n_rows(), d = t.head_dim;
    float* at = t.scratch;
    for (const auto& [member, n] : {std::pair{&keys, kKeyBlock * d},
                                    {&values, kKeyBlock * (d + kColumns)},
                                    {&q, rows * d},
                                    {&y, rows * d},
                                    {&scores, rows * kKeyBlock},
                                    {&highest, rows},
                                    {&total, rows}}) {
      *member = at;
      at += n;
    }
  }
};

// y[n_rows, n_out] ← (more ? y : 0) + x[n_rows, depth] · w; w lies in panels of that depth.
void multiply_rows(const float* x, int64_t x_stride, int64_t n_rows, int64_t depth, const float* w,
                   int64_t n_out, bool more, float* y, int64_t y_stride) {
  for (int64_t at = 0; at < n_out; at += kColumns, w += depth * kColumns)
    for (int64_t row = 0; row < n_rows; row += kRows) {
      const Piece piece{x + row * x_stride,
                        x_stride,
                        depth,
                        kColumns,
                        nullptr,
                        more,
                        y + row * y_stride + at,
                        y_stride,
                        least(kColumns, n_out - at)};
      multiply_some<kRows>(least(kRows, n_rows - row), piece, w);
    }
}

// Where the keys and values of a block lie.
template <class T>
struct KeyBlock {
  const T *k[kKeyBlock], *v[kKeyBlock];
  int64_t n;
};

// The keys of a lane, a block at a time.
template <class T>
class KeyBlocks {
 public:
  KeyBlocks(const AttentionLane& lane, int64_t stride) : runs_(lane.runs), stride_(stride) {}
  bool next(KeyBlock<T>& block) {
    for (block.n = 0; block.n < kKeyBlock && run_ < runs_.size();) {
      const KeyRun& run = runs_[run_];
      const T *k = static_cast<const T*>(run.k), *v = static_cast<const T*>(run.v);
      for (; row_ < run.rows && block.n < kKeyBlock; ++row_, ++block.n)
        block.k[block.n] = k + row_ * stride_, block.v[block.n] = v + row_ * stride_;
      if (row_ == run.rows) ++run_, row_ = 0;
    }
    return block.n > 0;
  }

 private:
  std::span<const KeyRun> runs_;
  int64_t stride_;
  size_t run_ = 0;
  int64_t row_ = 0;  // of the run
};

// The keys of a block as panels, across: what is behind the last one repeats it.
template <class T>
void lay_keys(const KeyBlock<T>& block, int head_dim, float* out) {
  for (int64_t j = 0; j < block.n; j += kColumns, out += head_dim * kColumns)
    for (int64_t k = 0; k < kColumns; k += kSquare) {
      const T* rows[kSquare];
      for (int64_t i = 0; i < kSquare; ++i) rows[i] = block.k[least(j + k + i, block.n - 1)];
      int c = 0;
      for (; c + kSquare <= head_dim; c += kSquare)
        transpose_square(rows, c, out + c * kColumns + k, kColumns);
      for (; c < head_dim; ++c)
        for (int64_t i = 0; i < kSquare; ++i) out[c * kColumns + k + i] = to_float(rows[i][c]);
    }
}

template <class T>
void lay_values(const KeyBlock<T>& block, int head_dim, float* out) {
  for (int64_t c = 0; c < head_dim; c += kColumns) {
    const int64_t columns = least(kColumns, head_dim - c);
    for (int64_t j = 0; j < block.n; ++j, out += kColumns) {
      const T* v = block.v[j] + c;
      if (columns == kColumns)
        unroll<kVecs>([&](auto i) { store(out + i * kLanes, load(v + i * kLanes)); });
      else
        for (int64_t i = 0; i < columns; ++i) out[i] = to_float(v[i]);
    }
  }
}

// Scores of a block of n keys, of which the row sees `visible`, become exponentials beside those
// before.
void add_exponentials(float* scores, int64_t visible, int64_t n, float* y, int head_dim,
                      float& highest, float& total) {
  float most = highest, sum_ = 0;
#pragma omp simd reduction(max : most)
  for (int64_t j = 0; j < visible; ++j) most = std::max(most, scores[j]);
#pragma omp simd reduction(+ : sum_)
  for (int64_t j = 0; j < visible; ++j) {
    scores[j] = exp_(scores[j] - most);
    sum_ += scores[j];
  }
  std::fill(scores + visible, scores + n, 0.f);
  if (most == highest) {
    total += sum_;
    return;
  }
  const float before = exp_(highest - most);
#pragma omp simd
  for (int c = 0; c < head_dim; ++c) y[c] *= before;
  total = total * before + sum_;
  highest = most;
}

// A block at a time, so that what is multiplied stays in the caches. (FlashAttention, arXiv
// 2205.14135, algorithm 1)
template <class T>
void attention_in_blocks(const AttentionTile& t) {
  const int64_t rows = t.n_rows();
  const int head_dim = t.head_dim;
  const AttentionScratch s(t);
  std::fill(s.y, s.y + rows * head_dim, 0.f);
  std::fill(s.highest, s.highest + rows, -INFINITY);
  std::fill(s.total, s.total + rows, 0.f);
  for (const AttentionLane& lane : t.lanes) {
    if (lane.runs.empty()) continue;
    for (int64_t r = 0; r < rows; ++r) {
      const float* q = query_of(t, lane, r);
      for (int c = 0; c < head_dim; ++c) s.q[r * head_dim + c] = q[c] * t.scale;
    }
    KeyBlocks<T> blocks(lane, t.kv_stride);
    KeyBlock<T> block;
    for (int64_t first = 0; blocks.next(block); first += block.n) {
      lay_keys(block, head_dim, s.keys);
      lay_values(block, head_dim, s.values);
      multiply_rows(s.q, head_dim, rows, head_dim, s.keys, block.n, false, s.scores, kKeyBlock);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t visible = std::clamp<int64_t>(lane.visible(r / t.group) - first, 0, block.n);
        add_exponentials(s.scores + r * kKeyBlock, visible, block.n, s.y + r * head_dim, head_dim,
                         s.highest[r], s.total[r]);
      }
      multiply_rows(s.scores, kKeyBlock, rows, block.n, s.values, head_dim, true, s.y, head_dim);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    float* y = result_of(t, r);
    for (int c = 0; c < head_dim; ++c) y[c] = s.y[r * head_dim + c] / s.total[r];
  }
}

// M rows over keys and values where they lie: for so few, laying them out is not worth it. The
// scores are [M, n_keys].
template <int M, class T>
void attention_in_place(const AttentionTile& t) {
  const int64_t stride = t.n_keys();
  const int head_dim = t.head_dim, whole = head_dim / kLanes * kLanes;
  float* score = t.scratch;
  for (const AttentionLane& lane : t.lanes) {
    const float* q[M];
    for (int r = 0; r < M; ++r) q[r] = query_of(t, lane, r);
    for (const KeyRun& run : lane.runs) {
      const T* key = static_cast<const T*>(run.k);
      for (int64_t j = 0; j < run.rows; ++j, key += t.kv_stride, ++score) {
        Vec dots[M];
        unroll<M>([&](auto r) { dots[r] = splat(0); });
        for (int c = 0; c < whole; c += kLanes) {
          const Vec k = load(key + c);
          unroll<M>([&](auto r) { dots[r] = fma(load(q[r] + c), k, dots[r]); });
        }
        unroll<M>([&](auto r) {
          float dot = sum(dots[r]);
          for (int c = whole; c < head_dim; ++c) dot += q[r][c] * to_float(key[c]);
          score[r * stride] = dot * t.scale;
        });
      }
    }
  }
  float* y[M];
  for (int r = 0; r < M; ++r) {
    softmax_of_visible(t, r, t.scratch + r * stride);
    y[r] = result_of(t, r);
  }
  constexpr int kWide = M == 1 ? 8 : 2;  // vectors of a value at a time
  int c = 0;
  const auto weigh = [&](auto n) {
    constexpr int N = n;
    Vec results[M][N];
    unroll<M>([&](auto r) { unroll<N>([&](auto k) { results[r][k] = splat(0); }); });
    const float* p = t.scratch;
    for (const AttentionLane& lane : t.lanes)
      for (const KeyRun& run : lane.runs) {
        const T* v = static_cast<const T*>(run.v) + c;
        for (int64_t j = 0; j < run.rows; ++j, v += t.kv_stride, ++p) {
          Vec value[N];
          unroll<N>([&](auto k) { value[k] = load(v + k * kLanes); });
          unroll<M>([&](auto r) {
            unroll<N>([&](auto k) {
              results[r][k] = fma(splat(p[r * stride]), value[k], results[r][k]);
            });
          });
        }
      }
    unroll<M>(
        [&](auto r) { unroll<N>([&](auto k) { store(y[r] + c + k * kLanes, results[r][k]); }); });
    c += N * kLanes;
  };
  while (c + kWide * kLanes <= head_dim) weigh(std::integral_constant<int, kWide>());
  while (c + kLanes <= head_dim) weigh(std::integral_constant<int, 1>());
  for (; c < head_dim; ++c)
    for (int r = 0; r < M; ++r) {
      const float* p = t.scratch + r * stride;
      float total = 0;
      for (const AttentionLane& lane : t.lanes)
        for (const KeyRun& run : lane.runs) {
          const T* v = static_cast<const T*>(run.v) + c;
          for (int64_t j = 0; j < run.rows; ++j) total += *p++ * to_float(v[j * t.kv_stride]);
        }
      y[r][c] = total;
    }
}

template <class T>
void attention_over(const AttentionTile& t) {
  static_assert(kFewRows == 4);
  switch (t.n_rows()) {
    case 1:
      return attention_in_place<1, T>(t);
    case 2:
      return attention_in_place<2, T>(t);
    case 3:
      return attention_in_place<3, T>(t);
    case 4:
      return attention_in_place<4, T>(t);
    default:
      return attention_in_blocks<T>(t);
  }
}
#else
template <class T>
void attention_over(const AttentionTile& t) {
  for (int64_t r = 0; r < t.n_rows(); ++r) {
    float* p = t.scratch;
    for (const AttentionLane& lane : t.lanes)
      for (const KeyRun& run : lane.runs) {
        scores_with(query_of(t, lane, r), static_cast<const T*>(run.k), t.kv_stride, run.rows,
                    t.head_dim, t.scale, p);
        p += run.rows;
      }
    p = t.scratch;
    softmax_of_visible(t, r, p);
    float* y = result_of(t, r);
    std::fill(y, y + t.head_dim, 0.f);
    for (const AttentionLane& lane : t.lanes)
      for (const KeyRun& run : lane.runs) {
        const T* v = static_cast<const T*>(run.v);
        for (int64_t j = 0; j < run.rows; ++j, v += t.kv_stride, ++p)
          for (int c = 0; c < t.head_dim; ++c) y[c] += *p * to_float(v[c]);
      }
  }
}
#endif

void attention(const AttentionTile& t) {
  if (t.kv_dtype == DType::bf16)
    attention_over<BFloat16>(t);
  else
    attention_over<float>(t);
}

}  // namespace
}  // namespace omni::ops::cpu

#define OMNI_KERNEL_TABLE                                                                      \
  {                                                                                            \
    rms_norm, layer_norm, silu_mul, gelu, gelu_tanh, quick_gelu, silu, snake, snake_beta, add, \
        add_scaled, div, mean, rotate, round_bf16, widen_bf16, widen_f16, round_int8, sum_of,  \
        scores, softmax, attention                                                             \
  }
