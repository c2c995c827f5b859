// What packing a weight takes: the weight once, however large it is.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "core/matrix.h"
#include "cpu/packed_matrix.h"
#include "ops/ops.h"

namespace omni {
namespace {

// A line of /proc/self/status, in MiB.
double status_mib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key + ":", 0) == 0) return std::stod(line.substr(key.size() + 1)) / 1024;
  return 0;
}

// From now on VmHWM is the highest since now.
bool forget_the_peak() {
  std::ofstream file("/proc/self/clear_refs");
  return bool(file << "5" << std::flush);
}

Matrix filled_int8(int64_t n_out, int64_t n_in) {
  Matrix w;
  w.format = WeightFormat::int8;
  w.n_out = n_out;
  w.n_in = w.group = n_in;
  w.values = Tensor::zeros(DType::i8, {n_out, n_in});
  w.scales = Tensor::zeros(DType::f32, {n_out, 1});
  for (int64_t i = 0; i < w.values.numel(); ++i)
    static_cast<int8_t*>(w.values.raw())[i] = int8_t(i % 127);
  for (int64_t o = 0; o < n_out; ++o) w.scales.f32()[o] = 1;
  return w;
}

// The peak of packing 32 MiB beyond what was there, the 32 MiB among it.
double growth_mib(bool read_once) {
  Matrix w = filled_int8(8192, 4096);
  w.read_once = read_once;
  const double before = status_mib("VmRSS");
  if (!forget_the_peak()) return -1;
  const auto packed = ops::pack_linear({&w, 1}, ops::MatmulPrecision::f32);
  return status_mib("VmHWM") - before;
}

TEST(PackingMemory, AMatrixThatIsReadOnceIsThereOnce) {
  const Matrix small = filled_int8(64, 64);
  const auto kept = ops::cpu::n_packed("portable");
  ops::pack_linear({&small, 1}, ops::MatmulPrecision::f32);
  if (ops::cpu::n_packed("portable") > kept)
    GTEST_SKIP() << "at this level a quantized weight stays as it is";
  const double twice = growth_mib(false);
  if (twice < 0) GTEST_SKIP() << "a process cannot have its peak forgotten here";
  EXPECT_GT(twice, 30);
  EXPECT_LT(growth_mib(true), 12);
}

}  // namespace
}  // namespace omni
