// What a seed decides: one stream of draws a thread.
#pragma once

#include <cstdint>
#include <iterator>
#include <random>

namespace omni_test {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(engine_); }
  bool one_in(uint64_t n) { return below(n) == 0; }
  uint64_t bits() { return engine_(); }
  double unit() { return std::uniform_real_distribution<double>(0, 1)(engine_); }
  template <class Many>
  auto& pick(Many& many) {
    return *(std::begin(many) + std::ptrdiff_t(below(std::size(many))));
  }
  // Numbers where mistakes live, and some of everywhere.
  uint64_t edge() {
    static constexpr uint64_t kEdges[] = {0,
                                          1,
                                          2,
                                          200'000'000,
                                          1'000'000'000,
                                          3'600'000'000'000,
                                          1'760'000'000'000'000'000,
                                          UINT32_MAX,
                                          INT64_MAX / 2,
                                          INT64_MAX - 1,
                                          INT64_MAX,
                                          UINT64_MAX - 1,
                                          UINT64_MAX};
    return one_in(3) ? bits() >> below(64) : pick(kEdges);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace omni_test
