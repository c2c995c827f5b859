// The fixtures of tools/fixtures/make_fixtures.py, boundary by boundary, with the code that
// tools/parity runs.
#include "parity/parity.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "models/devices.h"
#include "models/rounds_rows.h"

namespace omni::parity {
namespace {

const std::filesystem::path kFixtures = OMNI_SOURCE_DIR "/tests/fixtures";

class Parity : public testing::TestWithParam<const char*> {};

TEST_P(Parity, EveryBoundaryEqualsTransformers) {
  const auto lines = compare(kFixtures / GetParam());
  EXPECT_GT(lines.size(), 20u);
  for (const Line& line : lines) EXPECT_TRUE(line.pass) << format(line);
}

#if OMNI_CUDA_EMULATED
TEST_P(Parity, EveryBoundaryOnEmulatedCuda) {
  ASSERT_NE(open_test_device("cuda"), nullptr);
  const auto lines = compare(kFixtures / GetParam(), "cuda");
  EXPECT_GT(lines.size(), 20u);
  for (const Line& line : lines) EXPECT_TRUE(line.pass) << format(line);
}
#endif

// Of a text model as each published layout stores it (tools/fixtures/make_quantized_fixture.py).
class QuantizedParity : public testing::TestWithParam<const char*> {};

TEST_P(QuantizedParity, EveryBoundaryEqualsTransformers) {
  const auto lines = compare(kFixtures / "quantized" / GetParam());
  EXPECT_GT(lines.size(), 9u);
  // Where a level rounds the rows that are multiplied with quantized weights to int8, values differ
  // by as much, and a text whose next token is nearly a tie goes another way. tests/CMakeLists.txt
  // runs this at the portable level, too, which rounds nothing.
  for (const Line& line : lines) {
    if (!rounds_rows()) {
      EXPECT_TRUE(line.pass) << format(line);
    } else if (line.tolerance > 0) {
      EXPECT_LT(line.error, 5e-2) << format(line);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, QuantizedParity,
                         testing::Values("awq", "gptq", "gptq-int8", "w8a8", "w4a16"),
                         [](const auto& p) {
                           std::string name = p.param;
                           std::erase(name, '-');
                           return name;
                         });

#if OMNI_CUDA_EMULATED
// There the integers are multiplied with rows of bfloat16; of one layout, with zeros and act-order.
class QuantizedOnCuda : public testing::TestWithParam<const char*> {};

TEST_P(QuantizedOnCuda, EveryBoundaryIsCloseToTransformers) {
  ASSERT_NE(open_test_device("cuda"), nullptr);
  const auto lines = compare(kFixtures / "quantized" / GetParam(), "cuda", Precision::bfloat16);
  EXPECT_GT(lines.size(), 9u);
  for (const Line& line : lines)
    if (line.tolerance > 0) {
      EXPECT_LT(line.error, 2e-2) << format(line);
    }
}

INSTANTIATE_TEST_SUITE_P(Layouts, QuantizedOnCuda, testing::Values("gptq"));
#endif

std::string name_of(const testing::TestParamInfo<const char*>& p) {
  std::string name = p.param;
  name.erase(0, name.find('/') + 1);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Qwen2_5Omni, Parity,
                         testing::Values("qwen2_5_omni/a", "qwen2_5_omni/a-fps5",
                                         "qwen2_5_omni/a-sound", "qwen2_5_omni/b",
                                         "qwen2_5_omni/c"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Qwen2_5Vl, Parity, testing::Values("qwen2_5_vl/a", "qwen2_5_vl/b"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Qwen2Vl, Parity, testing::Values("qwen2_vl/a", "qwen2_vl/b"), name_of);
INSTANTIATE_TEST_SUITE_P(Qwen3Vl, Parity, testing::Values("qwen3_vl/a", "qwen3_vl/b"), name_of);
INSTANTIATE_TEST_SUITE_P(Qwen3Omni, Parity, testing::Values("qwen3_omni/a", "qwen3_omni/b"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Qwen3VlMoe, Parity, testing::Values("qwen3_vl_moe/a", "qwen3_vl_moe/b"),
                         name_of);

}  // namespace
}  // namespace omni::parity
