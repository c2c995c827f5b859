#include "soak/slope.h"

#include <gtest/gtest.h>

#include <random>

namespace omni_test {
namespace {

// A figure of a minute's medians: `per_hour` and noise, of which each takes `memory` from the one
// before.
Slope slope_of(double per_hour, double noise, double memory = 0, size_t n = 120) {
  std::mt19937 random(7);
  std::normal_distribution<double> draw(0, noise);
  std::vector<double> hours, values;
  double rest = 0;
  for (size_t i = 0; i < n; ++i) {
    rest = memory * rest + draw(random);
    hours.push_back(double(i) / 60);
    values.push_back(100 + per_hour * hours.back() + rest);
  }
  return fit_slope(hours, values);
}

TEST(Slope, GrowthIsSeenThroughNoise) {
  EXPECT_NEAR(slope_of(3, 0).per_hour, 3, 1e-9);
  EXPECT_TRUE(slope_of(3, 1).grows(0.5));
  EXPECT_TRUE(slope_of(3, 1, 0.5).grows(0.5));
}

TEST(Slope, NoiseIsNoGrowth) {
  EXPECT_FALSE(slope_of(0, 1).grows(0.1));
  EXPECT_FALSE(slope_of(0, 5, 0.9).grows(0.1));
  EXPECT_FALSE(slope_of(-3, 1).grows(0));
  EXPECT_FALSE(slope_of(0, 0).grows(0));
}

TEST(Slope, WhatRemembersCountsAsFewerValues) {
  EXPECT_GT(slope_of(0, 1, 0.8).error, 2 * slope_of(0, 1).error);
}

TEST(Slope, AFewValuesSayNothing) { EXPECT_FALSE(slope_of(1000, 0, 0, 7).grows(0)); }

}  // namespace
}  // namespace omni_test
