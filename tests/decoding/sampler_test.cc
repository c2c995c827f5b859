#include "decoding/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace omni {
namespace {

const std::vector<float> kLogits = {1, 3, 2, 0, -1};

std::vector<int32_t> ids(const std::vector<std::pair<float, int32_t>>& d) {
  std::vector<int32_t> out;
  for (const auto& [p, id] : d) out.push_back(id);
  return out;
}

TEST(Sampler, GreedyAndPenalty) {
  Sampler s(1);
  auto l = kLogits;
  EXPECT_EQ(s.pick(l, {}, {}), 1);
  l = kLogits;
  const std::vector<int32_t> history = {1, 1, 99, -3};
  EXPECT_EQ(s.pick(l, history, {.repetition_penalty = 2}), 2);  // 3/2 < 2; counted once
  EXPECT_FLOAT_EQ(l[1], 1.5f);
}

TEST(Sampler, TopKThenTopP) {
  auto l = kLogits;
  EXPECT_EQ(ids(Sampler::distribution(l, {}, {.temperature = 1, .top_k = 2})),
            (std::vector<int32_t>{1, 2}));
  l = kLogits;
  EXPECT_EQ(ids(Sampler::distribution(l, {}, {.temperature = 1, .top_p = 0.1})),
            (std::vector<int32_t>{1}));
  l = kLogits;  // probabilities .636 .234 .086 .032 .012
  EXPECT_EQ(ids(Sampler::distribution(l, {}, {.temperature = 1, .top_p = 0.9})),
            (std::vector<int32_t>{1, 2, 0}));
  l = kLogits;
  const auto hot = Sampler::distribution(l, {}, {.temperature = 2});
  double sum = 0;
  for (const auto& [p, id] : hot) sum += p;
  EXPECT_NEAR(sum, 1, 1e-6);
  EXPECT_NEAR(hot[0].first / hot[1].first, std::exp(0.5), 1e-5);
}

// A device gets the random numbers that pick() would use, and no more of them.
TEST(Sampler, ForADevice) {
  Sampler host(5), device(5);
  const SamplingOptions hot{.temperature = 1, .repetition_penalty = 1.5};
  const std::vector<int32_t> history = {33, 2, 33, -1, 40, 39};
  for (int i = 0; i < 20; ++i) {
    device.sampling(40, history, {}, {});  // the likeliest: draws nothing
    const ops::Sampling s = device.sampling(40, history, {.temperature = 1, .top_k = 3}, {7, 1});
    EXPECT_EQ(s.allowed, (std::vector<uint32_t>{7, 1}));
    EXPECT_TRUE(s.seen.empty());
    auto l = kLogits;
    double left = s.draw;
    const auto choices = Sampler::distribution(l, {}, {.temperature = 1, .top_k = 3});
    size_t at = 0;
    while (at + 1 < choices.size() && (left -= choices[at].first) >= 0) ++at;
    l = kLogits;
    EXPECT_EQ(host.pick(l, {}, {.temperature = 1, .top_k = 3}), choices[at].second);
  }
  const ops::Sampling s = device.sampling(40, history, hot, {});
  EXPECT_EQ(s.seen, (std::vector<uint32_t>{4, 1u << 1 | 1u << 7}));
  EXPECT_EQ(s.penalty, 1.5f);
}

TEST(Sampler, FrequenciesFollowTheDistribution) {
  Sampler s(7);
  std::map<int32_t, int> count;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    auto l = kLogits;
    ++count[s.pick(l, {}, {.temperature = 1})];
  }
  double z = 0, chi2 = 0;
  for (float x : kLogits) z += std::exp(x);
  for (int32_t id = 0; id < 5; ++id) {
    const double expected = kDraws * std::exp(kLogits[size_t(id)]) / z;
    chi2 += (count[id] - expected) * (count[id] - expected) / expected;
  }
  EXPECT_LT(chi2, 18.5);  // 4 degrees of freedom, p = 0.001
}

TEST(Sampler, SameSeedSameDraws) {
  Sampler a(5), b(5);
  for (int i = 0; i < 100; ++i) {
    auto x = kLogits, y = kLogits;
    EXPECT_EQ(a.pick(x, {}, {.temperature = 1.5}), b.pick(y, {}, {.temperature = 1.5}));
  }
}

}  // namespace
}  // namespace omni
