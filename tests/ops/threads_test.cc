// What a thread keeps of what it has computed: nothing that grows with the number of threads.
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "core/held_by_a_thread.h"
#include "core/thread_pool.h"
#include "ops/ops.h"
#include "text/segmentation.h"

namespace omni {
namespace {

// Streams come and go, each with threads of its own: what an operation needs besides its operands
// is held by the process, not by each thread that ever computed one.
TEST(Threads, HoldNothingForProducts) {
  ThreadPool pool(1);
  Arena arena;
  ops::Context cx{pool, arena};
  std::vector<std::pair<Tensor, std::shared_ptr<const ops::PackedMatrix>>> products;
  for (int64_t k = 64; k <= 512; k += 64) {
    const Matrix w(Tensor::zeros(DType::f32, {1024, k}));
    products.emplace_back(Tensor::zeros(DType::f32, {127, k}),  // pieces of every size
                          ops::pack_linear({&w, 1}, ops::MatmulPrecision::bf16));
  }
  EXPECT_LT(omni_test::held_by_a_thread([&] {
              for (const auto& [x, weight] : products) {
                const Arena::Scope scope(arena);
                ops::linear(cx, x, *weight, Tensor());
              }
            }),
            30e3);
}

TEST(Threads, HoldNothingForAttention) {
  ThreadPool pool(1);
  Arena arena;
  ops::Context cx{pool, arena};
  Tensor qkv = Tensor::zeros(DType::f32, {3, 40, 64});
  const auto heads = [&](int64_t i) { return ops::Heads{qkv.f32() + i * 40 * 64, 64, 2, 32}; };
  const int64_t spans[] = {0, 40};
  EXPECT_LT(omni_test::held_by_a_thread([&] {
              const Arena::Scope scope(arena);
              ops::attention(cx, heads(0), heads(1), heads(2), std::span<const int64_t>(spans));
            }),
            10e3);
}

TEST(Threads, HoldNothingForSegmentation) {
  EXPECT_LT(omni_test::held_by_a_thread([] {
              for (const TextUnit unit : {TextUnit::grapheme, TextUnit::word, TextUnit::line})
                ends_of(unit, "a word");
            }),
            10e3);
}

}  // namespace
}  // namespace omni
