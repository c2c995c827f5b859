// What the tests of ops on a device stand on: the same op on the host and on CUDA. On the
// emulation, under its checker; linked with nvcc's kernels (OMNI_CUDA_TOOLKIT) on a GPU, where
// there is one.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#if !OMNI_CUDA_TOOLKIT
#include "emu/memory.h"
#endif
#include "ops/cuda/cuda_device.h"
#include "ops/cuda/open.h"
#include "ops/ops.h"

namespace omni {

// nullptr, with the reason, where there is none.
inline Error* g_why = nullptr;
inline const Device* cuda() {
  static const Device* device = omni_open_cuda(0, &g_why);
  return device;
}

// The host or the device, with what is to be computed on either.
class Side {
 public:
  explicit Side(const Device* device) : arena_(device), device_(device) {}
  ops::Context& cx() { return cx_; }
  // The same random values on either side.
  Tensor random(Shape shape, uint32_t seed) { return there(random_on_host(shape, seed)); }
  // Such as bfloat16 holds (not every level of the host rounds x), as this type.
  Tensor random_bf16(Shape shape, uint32_t seed, DType type = DType::f32) {
    Tensor x = random_on_host(shape, seed), narrow = Tensor::zeros(DType::bf16, shape);
    for (int64_t i = 0; i < x.numel(); ++i) {
      const BFloat16 value = to_bfloat16(x.f32()[i]);
      static_cast<BFloat16*>(narrow.raw())[i] = value;
      x.f32()[i] = to_float(value);
    }
    return there(type == DType::bf16 ? narrow : x);
  }
  Tensor there(const Tensor& x) { return to_device(x, device_); }
  std::shared_ptr<const ops::PackedMatrix> weight(Shape shape, uint32_t seed,
                                                  ops::MatmulPrecision precision,
                                                  DType dtype = DType::f32) {
    Tensor w = to_device(Side(nullptr).random(shape, seed), nullptr);
    if (dtype == DType::bf16) {
      Tensor b = Tensor::zeros(DType::bf16, shape);
      for (int64_t i = 0; i < w.numel(); ++i)
        static_cast<BFloat16*>(b.raw())[i] = to_bfloat16(w.f32()[i]);
      w = b;
    }
    const Matrix matrix(w);
    return ops::pack_linear({&matrix, 1}, precision, device_);
  }
  bool is_host() const { return !device_; }
  std::vector<float> read(const Tensor& x) {
    std::vector<float> room;
    if (x.dtype() == DType::bf16) {
      if (x.device()) cx_.arena.queue().wait();
      const Tensor wide = to_f32(to_device(x, nullptr));
      return {wide.f32(), wide.f32() + wide.numel()};
    }
    const auto v = ops::to_host(cx_, x, room);
    return {v.begin(), v.end()};
  }

 private:
  static Tensor random_on_host(Shape shape, uint32_t seed) {
    std::mt19937 r(seed);
    std::normal_distribution<float> d;
    Tensor x = Tensor::zeros(DType::f32, shape);
    for (int64_t i = 0; i < x.numel(); ++i) x.f32()[i] = d(r);
    return x;
  }

  ThreadPool pool_{1};
  Arena arena_;
  const Device* device_;
  ops::Context cx_{pool_, arena_};
};

class Devices : public testing::Test {
 protected:
#if OMNI_CUDA_TOOLKIT
  void SetUp() override {
    if (!cuda()) GTEST_SKIP() << g_why->what();
  }
#else
  void SetUp() override {
    ASSERT_NE(cuda(), nullptr) << g_why->what();
    emu::reports().clear();
  }
  void TearDown() override { EXPECT_EQ(emu::reports(), std::vector<std::string>()); }
#endif

  // A GPU fuses multiplications and additions and approximates exponentials.
#if OMNI_CUDA_TOOLKIT
  static constexpr double kTolerance = 5e-5;
  // A library rounds factors where it may and that is faster, which it need not be.
  static constexpr bool kAlwaysRounds = false;
#else
  static constexpr double kTolerance = 1e-5;
  static constexpr bool kAlwaysRounds = true;
#endif
  static constexpr double kBfloat16 = 1. / 128;  // twice what rounding changes
  void same_rounded(const std::string& what, const std::function<Tensor(Side&)>& op) {
    same(what, op, kBfloat16);
  }
  void same(const std::string& what, const std::function<Tensor(Side&)>& op,
            double tolerance = kTolerance) {
    Side host(nullptr), device(cuda());
    const auto a = host.read(op(host)), b = device.read(op(device));
    ASSERT_EQ(a.size(), b.size()) << what;
    double scale = 1e-30;
    for (float x : a) scale = std::max(scale, double(std::abs(x)));
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_LE(std::abs(double(a[i]) - b[i]) / scale, tolerance) << what << " at " << i;
  }
};

// b: a with factors and result rounded to bfloat16.
inline void expect_rounded(const std::vector<float>& a, const std::vector<float>& b,
                           double tolerance, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  double worst = 0, scale = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_TRUE(std::isfinite(b[i])) << what << " at " << i;
    worst = std::max(worst, std::abs(double(a[i]) - b[i]));
    scale = std::max(scale, double(std::abs(a[i])));
  }
  EXPECT_LT(worst / scale, tolerance) << what;
}

}  // namespace omni
