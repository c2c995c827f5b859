// Mixtures of experts on the host: who is picked and what it counts, the sum against double
// precision in every format of weights, and rows that do not depend on one another. The level in
// use is OMNI_CPU_ISA's (tests/CMakeLists.txt runs this at each).
#include "ops/experts.h"

#include <cstring>
#include <limits>
#include <numeric>

#include "core/cpu_level.h"
#include "cpu/packed_matrix.h"
#include "io/quantize.h"
#include "ops/values.h"

namespace omni {
namespace {

constexpr int kExperts = 7, kHidden = 64, kInner = 32;

struct Picked {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

class ExpertsTest : public OpsTest {
 protected:
  Picked pick(std::vector<float> logits, int64_t n, int top_k, bool normalize) {
    const Shape shape{n, int64_t(logits.size()) / n};
    const ops::Routes r = ops::route(cx, tensor(logits, shape), top_k, normalize);
    const auto* experts = static_cast<const int32_t*>(r.experts.raw());
    return {{experts, experts + r.experts.numel()},
            {r.weights.f32(), r.weights.f32() + r.weights.numel()}};
  }
  // Seeded, as the format stores them.
  static Matrix matrix(int64_t n_out, int64_t n_in, uint32_t seed, WeightFormat format) {
    auto values = random_values(size_t(n_out * n_in), seed, 1 / std::sqrt(float(n_in)));
    Tensor dense = Tensor::zeros(DType::f32, {n_out, n_in});
    std::copy(values.begin(), values.end(), dense.f32());
    if (format == WeightFormat::f32) return dense;
    if (format != WeightFormat::bf16) return quantize(dense, format, "w");
    Tensor narrow = Tensor::zeros(DType::bf16, {n_out, n_in});
    std::transform(values.begin(), values.end(), static_cast<BFloat16*>(narrow.raw()), to_bfloat16);
    return narrow;
  }
  struct Mixture {
    std::vector<Matrix> gate_up, down;
    std::vector<ops::Expert> experts;
  };
  static Mixture mixture(WeightFormat format) {
    Mixture m;
    for (uint32_t e = 0; e < kExperts; ++e) {
      m.gate_up.push_back(matrix(2 * kInner, kHidden, 10 + e, format));
      m.down.push_back(matrix(kHidden, kInner, 30 + e, format));
      m.experts.push_back({ops::pack_linear({&m.gate_up[e], 1}, ops::MatmulPrecision::f32),
                           ops::pack_linear({&m.down[e], 1}, ops::MatmulPrecision::f32)});
    }
    return m;
  }
  static std::vector<double> product(const Matrix& w, const std::vector<double>& x) {
    const Tensor wide = dequantize(w, 0, w.n_out);
    std::vector<double> y(size_t(w.n_out));
    for (int64_t o = 0; o < w.n_out; ++o)
      for (int64_t i = 0; i < w.n_in; ++i)
        y[size_t(o)] += double(wide.f32()[o * w.n_in + i]) * x[size_t(i)];
    return y;
  }
  // What the expert makes of x.
  static std::vector<double> reference(const Mixture& m, size_t expert, const float* x) {
    const std::vector<double> both = product(m.gate_up[expert], {x, x + kHidden});
    std::vector<double> inner(kInner);
    for (size_t i = 0; i < kInner; ++i)
      inner[i] = both[i] / (1 + std::exp(-both[i])) * both[i + kInner];
    return product(m.down[expert], inner);
  }
};

TEST_F(ExpertsTest, TheLikeliestArePicked) {
  // probabilities of 1, 2, 8, 4, 1 sixteenths
  const std::vector<float> row = {0, std::log(2.f), std::log(8.f), std::log(4.f), 0};
  Picked p = pick(row, 1, 3, false);
  EXPECT_EQ(p.experts, (std::vector<int32_t>{2, 3, 1}));
  for (const auto& [got, want] :
       {std::pair{p.weights[0], 8.f / 16}, {p.weights[1], 4.f / 16}, {p.weights[2], 2.f / 16}})
    EXPECT_NEAR(got, want, 1e-6);
  p = pick(row, 1, 3, true);
  EXPECT_NEAR(p.weights[0], 8.f / 14, 1e-6);
  EXPECT_NEAR(p.weights[2], 2.f / 14, 1e-6);
  EXPECT_EQ(pick(row, 1, 5, true).experts, (std::vector<int32_t>{2, 3, 1, 0, 4}))
      << "of equals the first";
  EXPECT_NEAR(pick(row, 1, 1, true).weights[0], 1, 1e-6);
}

// As softmax does it: no logit is too large.
TEST_F(ExpertsTest, LogitsOfAnySize) {
  const Picked p = pick({900, 1000, -1000, 1000}, 1, 2, false);
  EXPECT_EQ(p.experts, (std::vector<int32_t>{1, 3}));
  EXPECT_NEAR(p.weights[0], 0.5, 1e-6);
}

// They come to nothing, but are no reason to read what is not there.
TEST_F(ExpertsTest, WhatIsNoNumberPicksExpertsThatAreThere) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::vector<float>& row :
       {std::vector<float>{nan, nan, nan, nan}, {1, nan, 3, nan}, {nan, INFINITY, 1, -INFINITY}}) {
    Picked p = pick(row, 1, 3, true);
    std::sort(p.experts.begin(), p.experts.end());
    EXPECT_EQ(std::unique(p.experts.begin(), p.experts.end()), p.experts.end());
    EXPECT_TRUE(p.experts[0] >= 0 && p.experts[2] < 4);
  }
}

TEST_F(ExpertsTest, SumsOfWhatTheExpertsMake) {
  for (const WeightFormat format :
       {WeightFormat::f32, WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4}) {
    const Mixture m = mixture(format);
    // of integers some levels round x
    const bool rounds = static_cast<const ops::cpu::CpuMatrix&>(*m.experts[0].down).rounding() !=
                        ops::cpu::CpuMatrix::Rounding::none;
    for (const int64_t n : {0, 1, 2, 40})
      for (const int top_k : {1, 3, kExperts}) {
        auto x = random_values(size_t(n * kHidden), 1), y = random_values(size_t(n * kHidden), 2),
             logits = random_values(size_t(n * kExperts), 3);
        std::vector<double> want(y.begin(), y.end());
        const ops::Routes r = ops::route(cx, tensor(logits, {n, kExperts}), top_k, true);
        for (int64_t i = 0; i < n * top_k; ++i) {
          const auto expert = size_t(static_cast<const int32_t*>(r.experts.raw())[i]);
          const auto made = reference(m, expert, x.data() + i / top_k * kHidden);
          for (size_t c = 0; c < kHidden; ++c)
            want[size_t(i / top_k) * kHidden + c] += r.weights.f32()[i] * made[c];
        }
        Tensor sum = tensor(y, {n, kHidden});
        ops::add_experts_(cx, sum, tensor(x, {n, kHidden}), r, m.experts);
        EXPECT_LT(error(y.data(), want), rounds ? 2e-2 : 2e-6)
            << name_of(format) << " " << n << " to " << top_k;
      }
  }
}

// Whichever experts the others go to.
TEST_F(ExpertsTest, RowsTogetherAndAloneHaveTheSameBits) {
  if (cpu_level() == CpuLevel::portable) GTEST_SKIP() << "the reference promises no bits";
  constexpr int64_t kRows = 37;
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4}) {
    const Mixture m = mixture(format);
    auto x = random_values(kRows * kHidden, 1), logits = random_values(kRows * kExperts, 2);
    const auto run = [&](int64_t begin, int64_t end) {
      Tensor y = Tensor::zeros(DType::f32, {end - begin, kHidden});
      const ops::Routes r =
          ops::route(cx, tensor(logits, {kRows, kExperts}).rows(begin, end), 3, true);
      ops::add_experts_(cx, y, tensor(x, {kRows, kHidden}).rows(begin, end), r, m.experts);
      return y;
    };
    const Tensor all = run(0, kRows);
    for (const int64_t size : {1, 5, 18})
      for (int64_t begin = 0; begin + size <= kRows; begin += size) {
        const Tensor some = run(begin, begin + size);
        ASSERT_EQ(std::memcmp(some.raw(), all.rows(begin, begin + size).raw(), some.nbytes()), 0)
            << name_of(format) << ": " << size << " rows from " << begin;
      }
  }
}

TEST_F(ExpertsTest, WrongShapesThrow) {
  const Mixture m = mixture(WeightFormat::f32);
  auto x = random_values(2 * kHidden, 1), logits = random_values(3 * kExperts, 2);
  Tensor y = Tensor::zeros(DType::f32, {2, kHidden});
  const Tensor rows = tensor(x, {2, kHidden}), all = tensor(logits, {3, kExperts});
  EXPECT_THROW(ops::route(cx, all, 0, true), Error);
  EXPECT_THROW(ops::route(cx, all, kExperts + 1, true), Error);
  EXPECT_THROW(ops::add_experts_(cx, y, rows, ops::route(cx, all, 2, true), m.experts), Error);
  Tensor narrow = Tensor::zeros(DType::f32, {2, kHidden / 2});
  const ops::Routes r = ops::route(cx, all.rows(0, 2), 2, true);
  EXPECT_THROW(ops::add_experts_(cx, narrow, narrow, r, m.experts), Error);
}

}  // namespace
}  // namespace omni
