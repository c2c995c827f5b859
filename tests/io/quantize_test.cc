// Quantized matrices made of dense ones: their error, and weights that are out of the ordinary.
#include "io/quantize.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/thread_pool.h"

namespace omni {
namespace {

Tensor random(int64_t n_out, int64_t n_in, uint32_t seed, float width = 1) {
  Tensor t = Tensor::zeros(DType::f32, {n_out, n_in});
  std::mt19937 g(seed);
  std::normal_distribution<float> normal(0, width);
  for (int64_t i = 0; i < t.numel(); ++i) t.f32()[i] = normal(g);
  return t;
}

double squares(const Tensor& a, const Tensor& b, int64_t begin, int64_t end) {
  double sum = 0;
  for (int64_t i = begin; i < end; ++i) sum += std::pow(double(a.f32()[i]) - b.f32()[i], 2);
  return sum;
}

// What rounding between the lowest and the highest weight of a group gives, without a search.
double plain_squares(const float* w, int64_t n) {
  float low = 0, high = 0;
  for (int64_t i = 0; i < n; ++i) low = std::min(low, w[i]), high = std::max(high, w[i]);
  const float scale = (high - low) / 15;
  const float zero = std::nearbyint(-low / scale);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += std::pow(
        double(w[i]) - (std::clamp(std::nearbyint(w[i] / scale) + zero, 0.f, 15.f) - zero) * scale,
        2);
  return sum;
}

TEST(Float16, RoundsAsItIsRead) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float x = to_float(Float16{uint16_t(h)});
    if (!std::isnan(x)) {
      ASSERT_EQ(to_float16(x).bits, h);
    }
  }
  const auto back = [](float x) { return to_float(to_float16(x)); };
  EXPECT_EQ(back(1 + 0x1p-11f), 1.f);  // a tie, to even
  EXPECT_EQ(back(1 + 0x3p-11f), 1 + 0x1p-9f);
  EXPECT_EQ(back(65519), 65504.f);
  EXPECT_TRUE(std::isinf(back(65520)));
  EXPECT_EQ(back(0x1p-25f), 0.f);
  EXPECT_EQ(back(0x1.8p-25f), 0x1p-24f);
  EXPECT_EQ(back(-0x1.fffp-15f), -0x1p-14f);
  EXPECT_TRUE(std::isnan(back(std::nanf(""))));
}

TEST(Quantize, Int8IsWithinHalfAStep) {
  ThreadPool pool(3);
  for (const int64_t n_in : {1, 7, 64, 1000}) {
    const Tensor w = random(33, n_in, 1);
    const Matrix q = quantize(w, WeightFormat::int8, "w", {&pool, {}});
    EXPECT_EQ(q.group, n_in);
    EXPECT_FALSE(q.zeros.defined());
    const Tensor back = dequantize(q, 0, 33);
    for (int64_t o = 0; o < 33; ++o) {
      float most = 0;
      for (int64_t i = 0; i < n_in; ++i) most = std::max(most, std::abs(w.f32()[o * n_in + i]));
      EXPECT_FLOAT_EQ(q.scales.f32()[o], most / 127);
      for (int64_t i = 0; i < n_in; ++i)
        ASSERT_LE(std::abs(back.f32()[o * n_in + i] - w.f32()[o * n_in + i]),
                  most / 127 * 0.50001f);
    }
  }
}

TEST(Quantize, Int4IsAtLeastAsGoodAsRounding) {
  ThreadPool pool(3);
  for (const auto& [n_in, group] :
       std::vector<std::pair<int64_t, int64_t>>{{64, 64}, {32, 32}, {96, 32}, {1024, 64}}) {
    const Tensor w = random(40, n_in, 2, 0.02f);
    const Matrix q = quantize(w, WeightFormat::int4, "w", {&pool, {}});
    ASSERT_EQ(int(q.format), int(WeightFormat::int4));
    ASSERT_EQ(q.group, group);
    const Tensor back = dequantize(q, 0, 40);
    double ours = 0, plain = 0;
    for (int64_t g = 0; g < w.numel() / group; ++g) {
      const double mine = squares(w, back, g * group, (g + 1) * group),
                   theirs = plain_squares(w.f32() + g * group, group);
      EXPECT_LE(mine, theirs * 1.01) << "group " << g;  // a scale that is a float16
      ours += mine, plain += theirs;
      EXPECT_EQ(q.scales.f32()[g], to_float(to_float16(q.scales.f32()[g])));
      EXPECT_LE(static_cast<const uint8_t*>(q.zeros.raw())[g], 15);
    }
    EXPECT_LT(ours, plain * 0.95);  // of the whole: the search is worth something
  }
}

TEST(Quantize, StoredIn16BitsAndByAnyNumberOfThreadsItIsTheSame) {
  const Tensor w = random(300, 4096, 3);
  Tensor rounded = Tensor::zeros(DType::bf16, w.shape());
  for (int64_t i = 0; i < w.numel(); ++i)
    static_cast<BFloat16*>(rounded.raw())[i] = to_bfloat16(w.f32()[i]);
  ThreadPool pool(4);
  std::atomic<int64_t> n_read{0};
  const Matrix a = quantize(to_f32(rounded), WeightFormat::int4, "w");
  const Matrix b = quantize(rounded, WeightFormat::int4, "w",
                            {&pool, [&](int64_t begin, int64_t end) { n_read += end - begin; }});
  EXPECT_EQ(n_read, 300);
  for (const auto& [x, y] :
       {std::pair{a.values, b.values}, {a.scales, b.scales}, {a.zeros, b.zeros}})
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.nbytes()), 0);
}

// One group or row of weights each, in both formats: what comes back, and within which share of the
// largest weight.
TEST(Quantize, ExtremeRows) {
  struct Row {
    const char* name;
    float first, others, int8, int4;
  };
  for (const Row& r :
       {Row{"zero", 0, 0, 0, 0}, Row{"constant", 0.3f, 0.3f, 1e-6f, 1e-3f},
        Row{"negative constant", -7, -7, 1e-6f, 1e-3f},
        Row{"one outlier", 1000, 0.001f, 1e-5f, 1e-3f}, Row{"tiny", 1e-6f, -1e-6f, 1e-6f, 0.3f},
        Row{"denormal", 1e-42f, 0, 1, 1}, Row{"large", 30000, -20000, 0.004f, 0.04f}}) {
    Tensor w = Tensor::zeros(DType::f32, {1, 64});
    for (int64_t i = 0; i < 64; ++i) w.f32()[i] = i == 5 ? r.first : r.others;
    for (const WeightFormat format : {WeightFormat::int8, WeightFormat::int4}) {
      const Matrix q = quantize(w, format, "w");
      EXPECT_EQ(int(q.format), int(format)) << r.name;
      const Tensor back = dequantize(q, 0, 1);
      const float most = std::max(std::abs(r.first), std::abs(r.others)),
                  share = format == WeightFormat::int8 ? r.int8 : r.int4;
      for (int64_t i = 0; i < 64; ++i)
        EXPECT_LE(std::abs(back.f32()[i] - w.f32()[i]), most * share)
            << r.name << " " << name_of(format) << " " << i << ": " << back.f32()[i];
    }
  }
}

TEST(Quantize, WhatFourBitsCannotHoldBecomesInt8) {
  EXPECT_EQ(int4_group(100), 0);
  EXPECT_EQ(int(quantize(random(4, 100, 4), WeightFormat::int4, "w").format),
            int(WeightFormat::int8));
  Tensor w = random(2, 64, 5);
  for (const float most : {1e6f, 3e38f}) {  // a scale beyond 65504
    w.f32()[70] = most;
    w.f32()[71] = -most;
    const Matrix q = quantize(w, WeightFormat::int4, "w");
    EXPECT_EQ(int(q.format), int(WeightFormat::int8));
    EXPECT_FLOAT_EQ(dequantize(q, 0, 2).f32()[70], most);
  }
}

TEST(Quantize, NotANumberNamesItsTensor) {
  for (const float bad : {std::nanf(""), -std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()})
    for (const WeightFormat format : {WeightFormat::int8, WeightFormat::int4}) {
      Tensor w = random(3, 64, 6);
      w.f32()[130] = bad;
      try {
        quantize(w, format, "layers.0.q_proj.weight");
        ADD_FAILURE() << bad;
      } catch (const Error& e) {
        EXPECT_EQ(int(e.code()), int(ErrorCode::corrupt_file));
        EXPECT_NE(std::string(e.what()).find("layers.0.q_proj.weight"), std::string::npos);
      }
    }
}

}  // namespace
}  // namespace omni
