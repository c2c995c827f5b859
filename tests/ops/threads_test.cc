// What a thread keeps of what it has computed: nothing that grows with the number of threads.
#include <gtest/gtest.h>
#include <malloc.h>

#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "core/thread_pool.h"
#include "ops/ops.h"
#include "text/segmentation.h"

namespace omni {
namespace {

// What each further thread that has computed `work` holds for as long as it lives.
double held_by_a_thread(const std::function<void()>& work) {
  constexpr int kThreads = 9;
  work();  // what the process holds of it; and it throws here if it does
  std::vector<size_t> in_use;
  std::latch all_done(kThreads + 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    std::latch done(1);
    threads.emplace_back([&] {
      work();
      in_use.push_back(mallinfo2().uordblks);
      done.count_down();
      all_done.arrive_and_wait();  // a thread that lives
    });
    done.wait();
  }
  all_done.arrive_and_wait();
  for (std::thread& t : threads) t.join();
  return (double(in_use.back()) - double(in_use.front())) / (kThreads - 1);
}

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
  EXPECT_LT(held_by_a_thread([&] {
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
  EXPECT_LT(held_by_a_thread([&] {
              const Arena::Scope scope(arena);
              ops::attention(cx, heads(0), heads(1), heads(2), std::span<const int64_t>(spans));
            }),
            10e3);
}

TEST(Threads, HoldNothingForSegmentation) {
  EXPECT_LT(held_by_a_thread([] {
              for (const TextUnit unit : {TextUnit::grapheme, TextUnit::word, TextUnit::line})
                ends_of(unit, "a word");
            }),
            10e3);
}

}  // namespace
}  // namespace omni
