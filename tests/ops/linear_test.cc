// linear() by every implementation of the level in use, dense and quantized, against double
// precision; what stays the same bit by bit; who is chosen.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "core/cpu_level.h"
#include "cpu/packed_matrix.h"
#include "ops/quantized_case.h"
#include "ops/values.h"

namespace omni {
namespace {

// Every implementation of the level in use (OMNI_CPU_ISA chooses it, and tests/CMakeLists.txt runs
// this at each), for every format that it accepts.
class LinearTest
    : public testing::TestWithParam<std::tuple<size_t, WeightFormat, ops::MatmulPrecision>> {
 protected:
  void SetUp() override {
    const auto [index, format, precision] = GetParam();
    implementation_ = &ops::cpu::linear_implementations()[index];
    Matrix like(Tensor::zeros(DType::f32, {1, 1}));
    like.format = format;
    if (!implementation_->accepts(like, precision))
      GTEST_SKIP() << implementation_->name << " does not take it at " << describe_cpu_level();
  }
  // [n_out, n_in] in the case's format.
  static Matrix matrix(std::vector<float>& values, int64_t n_out, int64_t n_in) {
    const WeightFormat format = std::get<1>(GetParam());
    if (format == WeightFormat::f32) return tensor(values, {n_out, n_in});
    Tensor t =
        Tensor::zeros(format == WeightFormat::bf16 ? DType::bf16 : DType::f16, {n_out, n_in});
    for (size_t i = 0; i < values.size(); ++i) {
      if (format == WeightFormat::bf16)
        static_cast<BFloat16*>(t.raw())[i] = to_bfloat16(values[i]);
      else
        static_cast<Float16*>(t.raw())[i] = to_float16(values[i]);
    }
    return t;
  }
  const ops::cpu::LinearImplementation* implementation_ = nullptr;
};

TEST_P(LinearTest, EqualsReference) {
  ThreadPool pool(2);
  Arena arena;
  ops::Context cx{pool, arena};
  const auto precision = std::get<2>(GetParam());
  for (auto [k, m0, m1] : {std::tuple{8, 3, 0},
                           {48, 64, 16},
                           {160, 480, 480},
                           {1176, 160, 0},
                           {33, 65, 1},
                           {600, 100, 7}}) {
    auto w0 = random_values(size_t(m0 * k), 2), w1 = random_values(size_t(m1 * k), 3),
         b = random_values(size_t(m0 + m1), 4);
    std::vector<Matrix> parts;
    parts.reserve(2);  // or g++ 12 sees array bounds overstepped where there are none
    parts.push_back(matrix(w0, m0, k));
    if (m1) parts.push_back(matrix(w1, m1, k));
    const auto weight = implementation_->pack(parts, precision);
    // Where x is rounded to bfloat16, so are the weights.
    const bool rounds = weight->rounding() == ops::cpu::CpuMatrix::Rounding::bf16;
    auto value = [&](float v) { return rounds ? double(to_float(to_bfloat16(v))) : double(v); };
    std::vector<float> w;
    for (const Matrix& part : parts) {
      const Tensor rows = dequantize(part, 0, part.n_out);
      w.insert(w.end(), rows.f32(), rows.f32() + rows.numel());
    }
    for (int64_t n : {0, 1, 2, 6, 7, 12, 13, 64, 65, 130}) {
      auto x = random_values(size_t(n * k), 1);
      const bool bias = n % 2;
      const Tensor y =
          ops::linear(cx, tensor(x, {n, k}), *weight, bias ? tensor(b, {m0 + m1}) : Tensor());
      std::vector<double> want;
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < m0 + m1; ++j) {
          double sum = bias ? b[size_t(j)] : 0;
          for (int64_t t = 0; t < k; ++t)
            sum += value(x[size_t(i * k + t)]) * value(w[size_t(j * k + t)]);
          want.push_back(sum);
        }
      EXPECT_LT(error(y.f32(), want), 2e-6) << "n=" << n << " k=" << k << " m=" << m0 + m1;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Implementation, LinearTest,
    testing::Combine(testing::Range(size_t{0}, ops::cpu::linear_implementations().size()),
                     testing::Values(WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16),
                     testing::Values(ops::MatmulPrecision::f32, ops::MatmulPrecision::bf16)),
    [](const auto& p) {
      return std::string(ops::cpu::linear_implementations()[std::get<0>(p.param)].name) + "_" +
             name_of(std::get<1>(p.param)) +
             (std::get<2>(p.param) == ops::MatmulPrecision::bf16 ? "_rounded" : "");
    });

// Our own products: rows alone have the bits that they have together, whatever the tiles, and
// whatever the format that holds the same values.
TEST_F(OpsTest, RowsTogetherAndAloneHaveTheSameBits) {
  if (cpu_level() == CpuLevel::portable) GTEST_SKIP() << "the reference promises no bits";
  const int64_t k = 700, m = 130, n = 103;
  auto w = random_values(size_t(m * k), 1), x = random_values(size_t(n * k), 2),
       b = random_values(size_t(m), 3);
  for (float& v : w) v = to_float(to_bfloat16(v));
  Tensor narrow = Tensor::zeros(DType::bf16, {m, k});
  std::transform(w.begin(), w.end(), static_cast<BFloat16*>(narrow.raw()), to_bfloat16);
  const Matrix wide_matrix(tensor(w, {m, k})), narrow_matrix(narrow);
  const auto wide = ops::cpu::pack_panels({&wide_matrix, 1}, ops::MatmulPrecision::f32),
             stored = ops::cpu::pack_panels({&narrow_matrix, 1}, ops::MatmulPrecision::f32);
  const Tensor all = ops::linear(cx, tensor(x, {n, k}), *wide, tensor(b, {m}));
  for (int64_t size : {1, 2, 5, 13, 103})
    for (int64_t begin = 0; begin + size <= n; begin += size) {
      const Tensor some =
          ops::linear(cx, tensor(x, {n, k}).rows(begin, begin + size), *stored, tensor(b, {m}));
      ASSERT_EQ(std::memcmp(some.raw(), all.rows(begin, begin + size).raw(), some.nbytes()), 0)
          << size << " rows from " << begin;
    }
}

// Quantized weights by every implementation of the level that takes them.
TEST_F(OpsTest, QuantizedProductsEqualThoseOfTheDequantizedWeights) {
  for (const ops::cpu::LinearImplementation& implementation : ops::cpu::linear_implementations())
    for (const QuantizedCase& c :
         std::initializer_list<QuantizedCase>{{WeightFormat::int8, 70, 40, 40, false, false},
                                              {WeightFormat::int8, 33, 600, 600, false, true},
                                              {WeightFormat::int8, 200, 256, 128, false, false},
                                              {WeightFormat::int8, 9, 684, 684, false, false},
                                              {WeightFormat::int4, 1, 8, 8, false, false},
                                              {WeightFormat::int4, 70, 160, 32, true, false},
                                              {WeightFormat::int4, 130, 1024, 64, false, false},
                                              {WeightFormat::int4, 31, 960, 320, true, true},
                                              {WeightFormat::int4, 65, 640, 640, true, false}}) {
      Matrix w[] = {random_quantized(c, 1), random_quantized(c, 2)};
      w[1].inputs = w[0].inputs;
      if (!implementation.accepts(w[0], ops::MatmulPrecision::f32)) continue;
      for (const bool odd_scale : {false, true}) {  // one that no float16 holds
        if (odd_scale) w[1].scales.f32()[0] = 1e-9f;
        const auto weight =
            implementation.pack(std::span<const Matrix>(w), ops::MatmulPrecision::f32);
        auto bias = random_values(size_t(2 * c.n_out), 3);
        const Tensor w0 = dequantize(w[0], 0, c.n_out), w1 = dequantize(w[1], 0, c.n_out);
        Tensor all;
        for (int64_t n : {200, 13, 12, 7, 3, 2, 1, 0}) {
          // Whole numbers up to 127, which is in every segment: rounding to int8 changes nothing.
          std::vector<float> x(size_t(n * c.n_in));
          for (size_t i = 0; i < x.size(); ++i)
            x[i] = i % 8 ? float(int(i * 7919 % 255) - 127) : 127;
          const Tensor y =
              ops::linear(cx, tensor(x, {n, c.n_in}), *weight, tensor(bias, {2 * c.n_out}));
          std::vector<double> want;
          for (int64_t i = 0; i < n; ++i)
            for (int64_t o = 0; o < 2 * c.n_out; ++o) {
              const float* row =
                  o < c.n_out ? w0.f32() + o * c.n_in : w1.f32() + (o - c.n_out) * c.n_in;
              double sum = bias[size_t(o)];
              for (int64_t k = 0; k < c.n_in; ++k)
                sum += double(x[size_t(i * c.n_in + k)]) * row[k];
              want.push_back(sum);
            }
          // With a permutation a segment may miss its 127.
          const bool exact = !c.inputs || weight->rounding() != ops::cpu::CpuMatrix::Rounding::int8;
          EXPECT_LT(error(y.f32(), want), exact ? 2e-6 : 1e-2)
              << implementation.name << " " << name_of(c.format) << " " << c.n_out << " " << c.n_in
              << " rows " << n;
          if (n == 200) {
            all = y;
          } else if (n > 0) {
            EXPECT_EQ(std::memcmp(y.raw(), all.raw(), y.nbytes()), 0)
                << implementation.name << ": " << n << " rows have other bits than among 200";
          }
        }
      }
    }
}

// Likewise with rows of any values, which no scale divides.
TEST_F(OpsTest, QuantizedRowsTogetherAndAloneHaveTheSameBits) {
  constexpr int64_t kRows = 110;
  for (const ops::cpu::LinearImplementation& implementation : ops::cpu::linear_implementations())
    for (const QuantizedCase& c :
         std::initializer_list<QuantizedCase>{{WeightFormat::int8, 70, 300, 300, false, false},
                                              {WeightFormat::int4, 70, 320, 64, true, false},
                                              {WeightFormat::int4, 33, 120, 40, false, false}}) {
      const Matrix w = random_quantized(c, 1);
      if (!implementation.accepts(w, ops::MatmulPrecision::f32)) continue;
      const auto weight = implementation.pack({&w, 1}, ops::MatmulPrecision::f32);
      auto values = random_values(size_t(kRows * c.n_in), 2);
      const Tensor x = tensor(values, {kRows, c.n_in}), all = ops::linear(cx, x, *weight, {});
      for (const int64_t size : {1, 3, 11, 55})
        for (int64_t begin = 0; begin < kRows; begin += size) {
          const int64_t end = std::min(begin + size, kRows);
          const Tensor some = ops::linear(cx, x.rows(begin, end), *weight, {});
          ASSERT_EQ(std::memcmp(some.raw(), all.rows(begin, end).raw(), some.nbytes()), 0)
              << implementation.name << " " << name_of(c.format) << ": " << size << " rows from "
              << begin;
        }
    }
}

TEST_F(OpsTest, QuantizedWeightsTakeAnyRows) {
  const QuantizedCase c{WeightFormat::int4, 96, 512, 64, true, false};
  const Matrix w = random_quantized(c, 1);
  const auto weight = ops::pack_linear({&w, 1}, ops::MatmulPrecision::f32);
  auto x = random_values(size_t(20 * c.n_in), 2);
  const Tensor y = ops::linear(cx, tensor(x, {20, c.n_in}), *weight, {}),
               values = dequantize(w, 0, c.n_out);
  std::vector<double> want;
  for (int64_t i = 0; i < 20; ++i)
    for (int64_t o = 0; o < c.n_out; ++o) {
      double sum = 0;
      for (int64_t k = 0; k < c.n_in; ++k)
        sum += double(x[size_t(i * c.n_in + k)]) * values.f32()[o * c.n_in + k];
      want.push_back(sum);
    }
  EXPECT_LT(error(y.f32(), want), static_cast<const ops::cpu::CpuMatrix&>(*weight).rounding() ==
                                          ops::cpu::CpuMatrix::Rounding::none
                                      ? 1e-5
                                      : 2e-2);
  x[3] = NAN, x[size_t(c.n_in) + 70] = INFINITY;  // are not rounded away
  const Tensor bad = ops::linear(cx, tensor(x, {20, c.n_in}), *weight, {});
  EXPECT_FALSE(std::isfinite(bad.f32()[0]) || std::isfinite(bad.f32()[c.n_out]));
  EXPECT_TRUE(std::isfinite(bad.f32()[2 * c.n_out]));
}

// Whatever the level, a product of ordinary shape and format is computed by something made for the
// level.
TEST_F(OpsTest, NothingFallsToThePortableProduct) {
  const bool portable = cpu_level() == CpuLevel::portable;
  const int64_t before = ops::cpu::n_packed("portable");
  int64_t n = 0;
  for (const DType type : {DType::f32, DType::f16, DType::bf16})
    for (const auto precision : {ops::MatmulPrecision::f32, ops::MatmulPrecision::bf16})
      for (const auto& [n_out, n_in] :
           {std::pair{1, 8}, {480, 160}, {160, 1176}, {65, 33}, {2048, 512}}) {
        const Matrix w(Tensor::zeros(type, {n_out, n_in}));
        ops::pack_linear({&w, 1}, precision);
        ++n;
      }
  for (const WeightFormat format : {WeightFormat::int8, WeightFormat::int4})
    for (const auto& [n_out, n_in, group] : {std::tuple{480, 160, 160},
                                             {2048, 512, 64},
                                             {65, 96, 32},
                                             {32, 3420, 3420},
                                             {4, 34, 34}}) {
      const Matrix w = random_quantized({format, n_out, n_in, group, false, false}, 1);
      ops::pack_linear({&w, 1}, ops::MatmulPrecision::f32);
      ++n;
    }
  EXPECT_EQ(ops::cpu::n_packed("portable") - before, portable ? n : 0)
      << "at " << describe_cpu_level();
}

// A row has the same bits whatever lies beside it, so that sequences may be computed together.
TEST(LinearRows, OneHasTheBitsOfMany) {
  ThreadPool pool(2);
  Arena arena;
  ops::Context cx{pool, arena};
  std::mt19937 random(1);
  const auto values = [&](int64_t rows, int64_t k) {
    Tensor t = Tensor::zeros(DType::f32, {rows, k});
    for (int64_t i = 0; i < t.numel(); ++i) t.f32()[i] = float(random() % 2001) / 1000 - 1;
    return t;
  };
  for (const auto precision : {ops::MatmulPrecision::f32, ops::MatmulPrecision::bf16})
    for (const int64_t k : {256, 640, 1024, 1152, 2048, 3584, 4864}) {
      constexpr int64_t kOut = 96, kRows = 7;
      Matrix weight(values(kOut, k));
      const auto packed = ops::pack_linear({&weight, 1}, precision);
      const Tensor x = values(kRows, k), all = ops::linear(cx, x, *packed, Tensor());
      for (int64_t row = 0; row < kRows; ++row) {
        const Tensor one = ops::linear(cx, x.rows(row, row + 1), *packed, Tensor());
        for (int64_t i = 0; i < kOut; ++i)
          ASSERT_EQ(one.f32()[i], all.f32()[row * kOut + i]) << "k " << k << ", row " << row;
      }
    }
}

}  // namespace
}  // namespace omni
