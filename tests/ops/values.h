// What the tests of operations share: random values, and how far results are from double precision.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "ops/ops.h"

namespace omni {

inline std::vector<float> random_values(size_t n, uint32_t seed, float scale = 1) {
  std::mt19937 g(seed);
  std::normal_distribution<float> d(0, scale);
  std::vector<float> v(n);
  for (float& x : v) x = d(g);
  return v;
}

inline Tensor tensor(std::vector<float>& v, Shape s) {
  return Tensor::view(v.data(), DType::f32, s);
}

inline double error(const float* a, const std::vector<double>& b) {
  double worst = 0, scale = 1e-30;
  for (size_t i = 0; i < b.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i])), scale = std::max(scale, std::abs(b[i]));
  return worst / scale;
}

struct OpsTest : testing::Test {
  ThreadPool pool{2};
  Arena arena;
  ops::Context cx{pool, arena};
};

}  // namespace omni
