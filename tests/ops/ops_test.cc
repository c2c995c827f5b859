// Every op on every way to compute it that this machine has, against a plain double-precision
// reference: sizes below, at and above a tile, and empty.
#include "ops/ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <random>

#include "core/cpu_level.h"
#include "cpu/kernels.h"
#include "ops/values.h"

namespace omni {
namespace {

struct Level {
  CpuLevel level;
  const ops::cpu::Kernels& kernels;
};
const Level kLevels[] = {
    {CpuLevel::portable, ops::cpu::kPortableKernels},
#if defined(__x86_64__)
    {CpuLevel::avx2, ops::cpu::kAvx2Kernels},
    {CpuLevel::avx512, ops::cpu::kAvx512Kernels},
#else
    {CpuLevel::neon, ops::cpu::kNeonKernels},
#endif
};

// ops::snake_beta(), step by step.
std::vector<double> snake_reference(const std::vector<float>& x, int n, int c,
                                    const std::vector<float>& alpha,
                                    const std::vector<float>& beta_reciprocal,
                                    const float* filter) {
  std::vector<double> y(size_t(n * c));
  for (int k = 0; k < c; ++k) {
    const auto in = [&](int i) { return double(x[size_t(std::clamp(i, 0, n - 1) * c + k)]); };
    std::vector<double> up(size_t(2 * n));
    for (int m = 0; m < 2 * n; ++m) {
      double u = 0;  // conv_transpose1d of the padded signal, cropped by 15
      for (int t = 0; t < 12; ++t)
        if ((m + 15 - t) % 2 == 0) u += 2 * filter[size_t(t)] * in((m + 15 - t) / 2 - 5);
      const double s = std::sin(u * alpha[size_t(k)]);
      up[size_t(m)] = u + s * s * beta_reciprocal[size_t(k)];
    }
    for (int j = 0; j < n; ++j)
      for (int t = 0; t < 12; ++t)
        y[size_t(j * c + k)] +=
            filter[size_t(t)] * up[size_t(std::clamp(2 * j + t - 5, 0, 2 * n - 1))];
  }
  return y;
}

// Rows [begin, end) of a level's snake_beta.
void snake_beta(const ops::cpu::Kernels& kernels, const std::vector<float>& x, int n, int c,
                int begin, int end, const std::vector<float>& alpha,
                const std::vector<float>& beta_reciprocal, const float* filter,
                std::vector<float>& y) {
  ops::cpu::SnakeTile tile{
      x.data(), n, c, begin, end, alpha.data(), beta_reciprocal.data(), filter, y.data(), nullptr};
  std::vector<float> scratch(size_t(tile.scratch_size()) + 1, NAN);
  tile.scratch = scratch.data();
  kernels.snake_beta(tile);
  EXPECT_TRUE(std::isnan(scratch.back()));
}

class KernelTest : public testing::TestWithParam<Level> {
 protected:
  void SetUp() override {
    if (!cpu_supports(GetParam().level))
      GTEST_SKIP() << "no " << name_of(GetParam().level) << " here";
  }
  const ops::cpu::Kernels& k() { return GetParam().kernels; }
};

TEST_P(KernelTest, RmsNorm) {
  for (int64_t n : {1, 15, 16, 17, 160, 1280}) {
    auto x = random_values(size_t(n), 1), w = random_values(size_t(n), 2), y = x;
    double sum = 0;
    for (float v : x) sum += double(v) * v;
    std::vector<double> want;
    for (int64_t i = 0; i < n; ++i)
      want.push_back(x[size_t(i)] / std::sqrt(sum / double(n) + 1e-6) * w[size_t(i)]);
    k().rms_norm(x.data(), w.data(), 1e-6f, n, y.data());
    EXPECT_LT(error(y.data(), want), 1e-6) << n;
  }
}

TEST_P(KernelTest, LayerNorm) {
  for (int64_t n : {2, 16, 33, 1280}) {
    auto x = random_values(size_t(n), 1), w = random_values(size_t(n), 2),
         b = random_values(size_t(n), 3), y = x;
    double mean = 0, var = 0;
    for (float v : x) mean += v / double(n);
    for (float v : x) var += (v - mean) * (v - mean) / double(n);
    std::vector<double> want;
    for (size_t i = 0; i < size_t(n); ++i)
      want.push_back((x[i] - mean) / std::sqrt(var + 1e-5) * w[i] + b[i]);
    k().layer_norm(x.data(), w.data(), b.data(), 1e-5f, n, y.data());
    EXPECT_LT(error(y.data(), want), 1e-6) << n;
  }
}

TEST_P(KernelTest, GeluTanhAndSnake) {
  auto x = random_values(1000, 1, 4), alpha = random_values(1000, 2), beta = random_values(1000, 3),
       y = x;
  k().gelu_tanh(y.data(), 1000);
  for (size_t i = 0; i < y.size(); ++i) {
    const double v = x[i],
                 want = v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    EXPECT_NEAR(y[i], want, 1e-6 * std::max(1.0, std::abs(want))) << x[i];
  }
  x = random_values(1000, 4, 300), y = x;  // far from zero, too
  k().snake(y.data(), alpha.data(), beta.data(), 1000);
  const std::vector<float> bare = y;
  y = x;
  // between filters that change nothing but the size
  const float filter[12] = {0, 0, 0, 0, 0, 0.5f};
  snake_beta(k(), x, 1, 1000, 0, 1, alpha, beta, filter, y);
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] *= 2;
    const double s = std::sin(double(x[i] * alpha[i])), want = x[i] + s * s * beta[i];
    EXPECT_NEAR(y[i], want, 2e-6 * std::max(1.0, std::abs(double(x[i])))) << x[i];
    EXPECT_NEAR(bare[i], want, 2e-6 * std::max(1.0, std::abs(double(x[i])))) << x[i];
  }
}

TEST_P(KernelTest, SiluMulAndGelu) {
  auto x = random_values(1000, 1, 4), up = random_values(1000, 2), y = x;
  x[0] = 0, x[1] = -100, x[2] = 100, x[3] = -87.5f, x[4] = 88.5f;
  std::vector<double> silu, gelu;
  for (size_t i = 0; i < x.size(); ++i) {
    silu.push_back(x[i] / (1 + std::exp(-double(x[i]))) * up[i]);
    gelu.push_back(0.5 * x[i] * (1 + std::erf(x[i] / std::sqrt(2.0))));
  }
  k().silu_mul(x.data(), up.data(), 1000, y.data());
  EXPECT_LT(error(y.data(), silu), 1e-6);
  y = x;
  k().gelu(y.data(), 1000);
  for (size_t i = 0; i < y.size(); ++i)
    EXPECT_NEAR(y[i], gelu[i], 1e-6 * std::max(1.0, std::abs(gelu[i]))) << x[i];
  y = x;
  k().quick_gelu(y.data(), 1000);
  for (size_t i = 0; i < y.size(); ++i) {
    const double want = x[i] / (1 + std::exp(-1.702 * x[i]));
    EXPECT_NEAR(y[i], want, 1e-6 * std::max(1.0, std::abs(want))) << x[i];
  }
}

TEST_P(KernelTest, SnakeBetaInTiles) {
  const std::vector<float> filter = random_values(12, 9, 0.3f);
  for (const auto& [n, c] : {std::pair{1, 1}, {2, 3}, {7, 5}, {64, 17}, {65, 16}, {40, 70}})
    for (int rows : {1, 5, 64}) {
      const auto x = random_values(size_t(n * c), 1), alpha = random_values(size_t(c), 2),
                 beta = random_values(size_t(c), 3);
      std::vector<float> y(size_t(n * c));
      for (int begin = 0; begin < n; begin += rows)
        snake_beta(k(), x, n, c, begin, std::min(n, begin + rows), alpha, beta, filter.data(), y);
      EXPECT_LT(error(y.data(), snake_reference(x, n, c, alpha, beta, filter.data())), 1e-5)
          << n << " " << c << " " << rows;
    }
}

TEST_P(KernelTest, SumsAndQuotients) {
  for (int64_t n : {1, 7, 16, 33, 1000}) {
    const auto x = random_values(size_t(n), 1, 4), y = random_values(size_t(n), 2),
               scale = random_values(size_t(n), 3);
    std::vector<double> silu, scaled;
    for (size_t i = 0; i < size_t(n); ++i) {
      silu.push_back(x[i] / (1 + std::exp(-double(x[i]))));
      scaled.push_back(x[i] + double(y[i]) * scale[i]);
    }
    auto out = x;
    k().silu(out.data(), n);
    EXPECT_LT(error(out.data(), silu), 1e-6);
    out = x;
    k().add_scaled(out.data(), y.data(), scale.data(), n);
    EXPECT_LT(error(out.data(), scaled), 1e-6);
    out = x;
    k().div(out.data(), 3, n);
    for (size_t i = 0; i < size_t(n); ++i) EXPECT_EQ(out[i], x[i] / 3);
    k().mean(x.data(), y.data(), n, out.data());
    for (size_t i = 0; i < size_t(n); ++i) EXPECT_EQ(out[i], (x[i] + y[i]) / 2);
    out = x;
    k().add(out.data(), y.data(), n);
    for (size_t i = 0; i < size_t(n); ++i) EXPECT_EQ(out[i], x[i] + y[i]);
  }
}

TEST_P(KernelTest, EverySixteenBitNumberWidens) {
  constexpr int64_t n = 65536 + 5;  // not whole vectors
  std::vector<BFloat16> b(n);
  std::vector<Float16> f(n);
  for (size_t i = 0; i < n; ++i) b[i].bits = f[i].bits = uint16_t(i);
  std::vector<float> wide_b(n), wide_f(n);
  k().widen_bf16(b.data(), n, wide_b.data());
  k().widen_f16(f.data(), n, wide_f.data());
  for (size_t i = 0; i < n; ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>(wide_b[i]), uint32_t{b[i].bits} << 16) << i;
    if (std::isnan(to_float(f[i])))
      EXPECT_TRUE(std::isnan(wide_f[i])) << i;
    else
      EXPECT_EQ(std::bit_cast<uint32_t>(wide_f[i]), std::bit_cast<uint32_t>(to_float(f[i]))) << i;
  }
}

TEST_P(KernelTest, RoundBf16) {
  std::vector<float> x = random_values(100, 5);
  x[0] = NAN, x[1] = INFINITY, x[2] = 1.00390625f /* a tie: to even */, x[3] = 1.01171875f,
  x[4] = -0.f, x[5] = 3.4e38f;
  std::vector<BFloat16> y(100);
  k().round_bf16(x.data(), 100, y.data());
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(y[i].bits, to_bfloat16(x[i]).bits) << i;
  EXPECT_TRUE(std::isnan(to_float(y[0])));
}

TEST_P(KernelTest, RoundInt8) {
  for (int64_t n : {1, 7, 64, 257}) {
    auto x = random_values(size_t(n), 6);
    std::vector<int8_t> y(static_cast<size_t>(n));
    float scale = 0, sum = 0, total = 0, most = 0;
    k().round_int8(x.data(), n, y.data(), &scale, &sum);
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(scale * y[i], x[i], scale * 0.5001f);
      total += y[i], most = std::max(most, std::abs(x[i]));
    }
    EXPECT_EQ(sum, total);
    EXPECT_FLOAT_EQ(scale, most / 127);
    x[size_t(n / 2)] = n % 2 ? NAN : -INFINITY;
    k().round_int8(x.data(), n, y.data(), &scale, &sum);
    EXPECT_TRUE(std::isnan(scale)) << "what is no number must not be rounded away";
  }
  std::vector<float> nothing(8);
  std::vector<int8_t> y(8, 1);
  float scale = 1, sum = 1;
  k().round_int8(nothing.data(), 8, y.data(), &scale, &sum);
  EXPECT_EQ(scale, 0);
  EXPECT_EQ(sum, 0);
}

TEST_P(KernelTest, Rotate) {
  for (int64_t half : {1, 3, 16, 40, 64}) {
    auto x = random_values(size_t(2 * half), 1), c = random_values(size_t(half), 2),
         s = random_values(size_t(half), 3);
    std::vector<double> want(size_t(2 * half));
    for (size_t i = 0; i < size_t(half); ++i) {
      want[i] = double(x[i]) * c[i] - double(x[i + size_t(half)]) * s[i];
      want[i + size_t(half)] = double(x[i + size_t(half)]) * c[i] + double(x[i]) * s[i];
    }
    k().rotate(x.data(), c.data(), s.data(), half);
    EXPECT_LT(error(x.data(), want), 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, KernelTest, testing::ValuesIn(kLevels),
                         [](const auto& p) { return name_of(p.param.level); });

// softmax(q·kᵀ/√d)·v in double precision.
std::vector<double> attention_reference(const std::vector<float>& q, const std::vector<float>& kv,
                                        int64_t n, int64_t n_keys, int heads, int kv_heads, int d,
                                        const std::function<bool(int64_t, int64_t)>& sees) {
  std::vector<double> y(size_t(n) * size_t(heads * d));
  for (int64_t i = 0; i < n; ++i)
    for (int h = 0; h < heads; ++h) {
      std::vector<double> p(static_cast<size_t>(n_keys));
      double sum = 0;
      for (int64_t j = 0; j < n_keys; ++j) {
        if (!sees(i, j)) continue;
        double dot = 0;
        for (int c = 0; c < d; ++c)
          dot += double(q[size_t((i * heads + h) * d + c)]) *
                 kv[size_t((j * kv_heads + h / (heads / kv_heads)) * d + c)];
        sum += p[size_t(j)] = std::exp(dot / std::sqrt(double(d)));
      }
      for (int64_t j = 0; j < n_keys; ++j)
        for (int c = 0; c < d; ++c)
          y[size_t((i * heads + h) * d + c)] +=
              p[size_t(j)] / sum * kv[size_t((j * kv_heads + h / (heads / kv_heads)) * d + c)];
    }
  return y;
}

TEST_F(OpsTest, AttentionInsideSpans) {
  const std::vector<int64_t> spans = {0, 1, 17, 33, 50};
  const int64_t n = 50;
  for (auto [heads, kv_heads, d] : {std::tuple{4, 4, 12}, {6, 2, 80}, {2, 1, 64}}) {
    auto q = random_values(size_t(n * heads * d), 1),
         kv = random_values(size_t(n * kv_heads * d), 2);
    const Tensor y =
        ops::attention(cx, {q.data(), heads * d, heads, d}, {kv.data(), kv_heads * d, kv_heads, d},
                       {kv.data(), kv_heads * d, kv_heads, d}, spans);
    auto span_of = [&](int64_t i) {
      return std::upper_bound(spans.begin(), spans.end(), i) - spans.begin();
    };
    EXPECT_LT(error(y.f32(),
                    attention_reference(q, kv, n, n, heads, kv_heads, d,
                                        [&](auto i, auto j) { return span_of(i) == span_of(j); })),
              2e-6);
  }
}

TEST_F(OpsTest, Conv1dStrideOneAndTwo) {
  const int64_t c_in = 5, c_out = 7;
  auto w = random_values(size_t(c_out * 3 * c_in), 1), b = random_values(size_t(c_out), 2);
  const Matrix packed = tensor(w, {c_out, 3 * c_in});
  const auto weight = ops::pack_linear({&packed, 1}, ops::MatmulPrecision::f32);
  for (int64_t n : {1, 2, 9, 10})
    for (int stride : {1, 2}) {
      auto x = random_values(size_t(n * c_in), 3);
      const Tensor y = ops::conv1d(cx, tensor(x, {n, c_in}), *weight, tensor(b, {c_out}),
                                   {.kernel = 3, .stride = stride});
      ASSERT_EQ(y.dim(0), (n - 1) / stride + 1);
      std::vector<double> want;
      for (int64_t i = 0; i < y.dim(0); ++i)
        for (int64_t o = 0; o < c_out; ++o) {
          double sum = b[size_t(o)];
          for (int64_t t = 0; t < 3; ++t)
            for (int64_t c = 0; c < c_in; ++c)
              if (const int64_t at = i * stride + t - 1; at >= 0 && at < n)
                sum += double(x[size_t(at * c_in + c)]) * w[size_t((o * 3 + t) * c_in + c)];
          want.push_back(sum);
        }
      EXPECT_LT(error(y.f32(), want), 2e-6);
    }
}

TEST_F(OpsTest, EmbeddingRefusesIdsOutside) {
  auto table = random_values(12, 1);
  const std::vector<int32_t> good = {2, 0}, bad = {3}, negative = {-1};
  const Tensor t = tensor(table, {3, 4});
  EXPECT_EQ(ops::embedding(cx, good, t).f32()[4], table[0]);
  EXPECT_THROW(ops::embedding(cx, bad, t), Error);
  EXPECT_THROW(ops::embedding(cx, negative, t), Error);
}

TEST_F(OpsTest, EmbeddingsOfEveryFormat) {
  const std::vector<int32_t> ids = {2, 0, 2};
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    const Tensor table = Tensor::zeros(type, {3, 19});
    for (int i = 0; i < 3 * 19; ++i) {
      void* to = static_cast<char*>(const_cast<void*>(table.raw())) + size_t(i) * size_of(type);
      const auto v = float(i - 20);  // in all three
      if (type == DType::f32)
        *static_cast<float*>(to) = v;
      else if (type == DType::bf16)
        *static_cast<BFloat16*>(to) = to_bfloat16(v);
      else
        *static_cast<Float16*>(to) = to_float16(v);
    }
    const Tensor y = ops::embedding(cx, ids, table);
    for (int i = 0; i < 3 * 19; ++i)
      EXPECT_EQ(y.f32()[i], float(ids[size_t(i / 19)] * 19 + i % 19 - 20)) << name_of(type);
  }
}

// Heads in the middle of wider rows; what lies around them stays.
TEST_F(OpsTest, RmsNormOfHeads) {
  constexpr int kHeads = 3, kHeadDim = 12;
  constexpr int64_t kRows = 40, kStride = 64, kFirst = 5;
  auto x = random_values(size_t(kRows * kStride), 1), w = random_values(size_t(kHeadDim), 2);
  std::vector<double> want(x.begin(), x.end());
  for (int64_t i = 0; i < kRows; ++i)
    for (int h = 0; h < kHeads; ++h) {
      double* head = want.data() + i * kStride + kFirst + h * kHeadDim;
      double squares = 0;
      for (int k = 0; k < kHeadDim; ++k) squares += head[k] * head[k];
      for (int k = 0; k < kHeadDim; ++k)
        head[k] *= w[size_t(k)] / std::sqrt(squares / kHeadDim + 1e-6);
    }
  ops::rms_norm_(cx, {x.data() + kFirst, kStride, kHeads, kHeadDim}, kRows, tensor(w, {kHeadDim}),
                 1e-6f);
  EXPECT_LT(error(x.data(), want), 1e-6);
  EXPECT_THROW(
      ops::rms_norm_(cx, {x.data(), kStride, 2, 2 * kHeadDim}, 1, tensor(w, {kHeadDim}), 1e-6f),
      Error);
}

TEST_F(OpsTest, WrongShapesThrow) {
  auto v = random_values(12, 1);
  const Matrix w = tensor(v, {3, 4});
  const auto weight = ops::pack_linear({&w, 1}, ops::MatmulPrecision::f32);
  EXPECT_THROW(ops::linear(cx, tensor(v, {4, 3}), *weight, {}), Error);
  EXPECT_THROW(ops::rms_norm(cx, tensor(v, {3, 4}), tensor(v, {12}), 1e-6f), Error);
  EXPECT_THROW(ops::silu_mul(cx, tensor(v, {4, 3})), Error);
}

// Convolutions over time, against their definitions; ends, kernels longer than the sound, dilation.
struct ConvTest : testing::Test {
  ThreadPool pool;
  Arena arena;
  ops::Context cx{pool, arena};
};

TEST_F(ConvTest, SameWithZerosOrReflection) {
  for (const ops::Padding padding : {ops::Padding::zeros, ops::Padding::reflect})
    for (const auto& [n, c_in, c_out, kernel, dilation] :
         std::vector<std::array<int, 5>>{{1, 3, 2, 1, 1},
                                         {5, 4, 7, 3, 1},
                                         {17, 8, 16, 5, 3},
                                         {40, 16, 5, 7, 5},
                                         {3, 4, 4, 11, 1},
                                         {5000, 2, 3, 3, 2}}) {
      const int reach = kernel / 2 * dilation;
      const ops::Conv1dOptions options{.kernel = kernel, .dilation = dilation, .padding = padding};
      auto x = random_values(size_t(n * c_in), 1),
           w = random_values(size_t(c_out * kernel * c_in), 2), b = random_values(size_t(c_out), 3);
      const Matrix weight = tensor(w, {c_out, kernel * c_in});
      const auto packed = ops::pack_linear({&weight, 1}, ops::MatmulPrecision::f32);
      if (padding == ops::Padding::reflect && n <= reach) {
        EXPECT_THROW(ops::conv1d(cx, tensor(x, {n, c_in}), *packed, tensor(b, {c_out}), options),
                     Error);
        continue;
      }
      std::vector<double> want;
      for (int i = 0; i < n; ++i)
        for (int o = 0; o < c_out; ++o) {
          double sum = b[size_t(o)];
          for (int t = 0; t < kernel; ++t) {
            int at = i + t * dilation - reach;
            if (padding == ops::Padding::reflect)
              at = at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
            if (at < 0 || at >= n) continue;
            for (int c = 0; c < c_in; ++c)
              sum += double(x[size_t(at * c_in + c)]) * w[size_t((o * kernel + t) * c_in + c)];
          }
          want.push_back(sum);
        }
      const Tensor y = ops::conv1d(cx, tensor(x, {n, c_in}), *packed, tensor(b, {c_out}), options);
      EXPECT_LT(error(y.f32(), want), 1e-5) << n << " " << kernel;
    }
}

// Without padding it is the middle of the one with zeros.
TEST_F(ConvTest, Bare) {
  constexpr int n = 40, c_in = 6, c_out = 5, kernel = 7, dilation = 3,
                reach = kernel / 2 * dilation;
  auto x = random_values(n * c_in, 1), w = random_values(c_out * kernel * c_in, 2),
       b = random_values(c_out, 3);
  const Matrix weight = tensor(w, {c_out, kernel * c_in});
  const auto packed = ops::pack_linear({&weight, 1}, ops::MatmulPrecision::f32);
  ops::Conv1dOptions options{.kernel = kernel, .dilation = dilation};
  const Tensor whole = ops::conv1d(cx, tensor(x, {n, c_in}), *packed, tensor(b, {c_out}), options);
  options.padding = ops::Padding::none;
  const Tensor y = ops::conv1d(cx, tensor(x, {n, c_in}), *packed, tensor(b, {c_out}), options);
  ASSERT_EQ(y.dim(0), n - 2 * reach);
  for (int i = 0; i < (n - 2 * reach) * c_out; ++i)
    EXPECT_NEAR(y.f32()[i], whole.f32()[reach * c_out + i], 1e-5);
  EXPECT_THROW(ops::conv1d(cx, tensor(x, {2 * reach, c_in}), *packed, tensor(b, {c_out}), options),
               Error);
}

TEST_F(ConvTest, AddGated) {
  auto x = random_values(12, 1), y = random_values(12, 2), gate = random_values(3, 3, 4);
  Tensor sum = ops::clone(cx, tensor(x, {3, 4}));
  ops::add_gated_(cx, sum, tensor(y, {3, 4}), tensor(gate, {3, 1}));
  for (size_t i = 0; i < 12; ++i)
    EXPECT_NEAR(sum.f32()[i], x[i] + y[i] / (1 + std::exp(-gate[i / 4])), 1e-6);
}

TEST_F(ConvTest, Transposed) {
  for (const auto& [n, c_in, c_out, kernel, stride, padding] : std::vector<std::array<int, 6>>{
           {1, 3, 2, 4, 2, 1}, {7, 4, 3, 11, 5, 3}, {20, 8, 4, 7, 3, 2}, {9, 2, 2, 5, 5, 0}}) {
    auto x = random_values(size_t(n * c_in), 1),
         w = random_values(size_t(kernel * c_out * c_in), 2), b = random_values(size_t(c_out), 3);
    const Matrix weight = tensor(w, {kernel * c_out, c_in});
    const auto packed = ops::pack_linear({&weight, 1}, ops::MatmulPrecision::f32);
    const int n_out = (n - 1) * stride + kernel - 2 * padding;
    std::vector<double> want(size_t(n_out * c_out));
    for (int o = 0; o < n_out; ++o)
      for (int c = 0; c < c_out; ++c) want[size_t(o * c_out + c)] = b[size_t(c)];
    for (int i = 0; i < n; ++i)
      for (int t = 0; t < kernel; ++t) {
        const int o = i * stride + t - padding;
        if (o < 0 || o >= n_out) continue;
        for (int c = 0; c < c_out; ++c)
          for (int k = 0; k < c_in; ++k)
            want[size_t(o * c_out + c)] +=
                double(x[size_t(i * c_in + k)]) * w[size_t((t * c_out + c) * c_in + k)];
      }
    const Tensor y = ops::conv_transpose1d(cx, tensor(x, {n, c_in}), *packed, tensor(b, {c_out}),
                                           kernel, stride, padding);
    ASSERT_EQ(y.dim(0), n_out);
    EXPECT_LT(error(y.f32(), want), 1e-5) << n << " " << kernel;
  }
}

TEST_F(ConvTest, SnakeBetaBetweenItsFilters) {
  const std::vector<float> filter = random_values(12, 9, 0.3f);
  for (const auto& [n, c] :
       std::vector<std::array<int, 2>>{{1, 1}, {63, 4}, {2100, 4}, {200, 24}, {70, 512}}) {
    auto x = random_values(size_t(n * c), 1), alpha = random_values(size_t(c), 2),
         beta = random_values(size_t(c), 3);
    const Tensor y = ops::snake_beta(cx, tensor(x, {n, c}), tensor(alpha, {c}), tensor(beta, {c}),
                                     filter.data());
    EXPECT_LT(error(y.f32(), snake_reference(x, n, c, alpha, beta, filter.data())), 1e-5)
        << n << " " << c;
  }
}

TEST_F(ConvTest, AttentionOverRangesOfKeys) {
  constexpr int n = 70, heads = 2, dim = 16, width = heads * dim, block = 24;
  auto q = random_values(n * width, 1), k = random_values(n * width, 2),
       v = random_values(n * width, 3);
  std::vector<ops::AttentionRange> ranges;
  for (int b = 0; b * block < n; ++b) {
    const int from = std::max(0, b - 1) * block, to = std::min(n, (b + 2) * block);
    ranges.push_back({b * block, std::min(n, (b + 1) * block), from, to - from});
  }
  std::vector<double> want(n * width);
  for (const auto& r : ranges)
    for (int64_t i = r.begin; i < r.end; ++i)
      for (int h = 0; h < heads; ++h) {
        std::vector<double> p;
        double sum = 0;
        for (int64_t j = r.first_key; j < r.first_key + r.n_keys; ++j) {
          double s = 0;
          for (int d = 0; d < dim; ++d)
            s += double(q[size_t(i * width + h * dim + d)]) * k[size_t(j * width + h * dim + d)];
          p.push_back(std::exp(s / 4));
          sum += p.back();
        }
        for (int64_t j = 0; j < r.n_keys; ++j)
          for (int d = 0; d < dim; ++d)
            want[size_t(i * width + h * dim + d)] +=
                p[size_t(j)] / sum * v[size_t((r.first_key + j) * width + h * dim + d)];
      }
  const auto view = [&](std::vector<float>& x) { return ops::Heads{x.data(), width, heads, dim}; };
  EXPECT_LT(error(ops::attention(cx, view(q), view(k), view(v), ranges).f32(), want), 1e-5);
}

}  // namespace
}  // namespace omni
