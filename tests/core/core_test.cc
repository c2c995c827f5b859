// Number formats, memory and threads.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "core/arena.h"
#include "core/free_list.h"
#include "core/host_memory.h"
#include "core/large_pages.h"
#include "core/thread_pool.h"
#include "core/time.h"

namespace omni {
namespace {

// What is waited for lies ahead, however far away a stream says that it is.
TEST(WaitTime, IsAheadOfNow) {
  for (const Nanoseconds left : {kSecond, INT64_MAX / 4, INT64_MAX}) {
    const auto now = std::chrono::steady_clock::now();
    EXPECT_GT(now + wait_time(left), now) << left;
  }
}

TEST(Float16, IsWhatTheStandardSays) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const int exponent = int(bits >> 10), fraction = int(bits & 0x3ff);
    const auto value =
        float(exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
    EXPECT_EQ(to_float(Float16{uint16_t(bits)}), value) << bits;
    EXPECT_EQ(to_float(Float16{uint16_t(bits | 0x8000)}), -value) << bits;
  }
  EXPECT_EQ(to_float(Float16{0x7c00}), INFINITY);
  EXPECT_EQ(to_float(Float16{0xfc00}), -INFINITY);
}

TEST(Float16, RoundsToTheNearest) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {  // every value is itself
    const Float16 h{uint16_t(bits)};
    if (std::isnan(to_float(h)))
      EXPECT_TRUE(std::isnan(to_float(to_float16(to_float(h)))));
    else
      EXPECT_EQ(to_float16(to_float(h)).bits, bits);
  }
  for (uint32_t bits = 0; bits + 1 < 0x7c00;
       ++bits) {  // what lies between two goes to the nearer, a tie to the even one
    const float a = to_float(Float16{uint16_t(bits)}), b = to_float(Float16{uint16_t(bits + 1)}),
                middle = a + (b - a) / 2;
    EXPECT_EQ(to_float16(middle).bits, bits + bits % 2) << bits;
    EXPECT_EQ(to_float16(std::nextafter(middle, 0.f)).bits, bits);
    EXPECT_EQ(to_float16(std::nextafter(middle, 1e9f)).bits, bits + 1);
  }
  EXPECT_EQ(to_float16(65519.f).bits, 0x7bff);
  EXPECT_EQ(to_float16(65520.f).bits, 0x7c00);
  EXPECT_EQ(to_float16(-1e30f).bits, 0xfc00);
}

TEST(LargePages, ZeroedAlignedAndApart) {
  std::vector<Tensor> all;
  for (const int64_t n :
       // small ones share a mapping, large ones have their own
       {1, 100, 1 << 20, 3 << 20, 20 << 20})
    for (int i = 0; i < 3; ++i) all.push_back(zeros_in_large_pages(DType::u8, {n}));
  for (size_t i = 0; i < all.size(); ++i) {
    auto* bytes = static_cast<uint8_t*>(all[i].raw());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % 64, 0u);
    EXPECT_TRUE(std::all_of(bytes, bytes + all[i].numel(), [](uint8_t b) { return b == 0; }));
    std::fill(bytes, bytes + all[i].numel(), uint8_t(i + 1));
  }
  for (size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(static_cast<uint8_t*>(all[i].raw())[all[i].numel() - 1], i + 1);
  EXPECT_THROW(zeros_in_large_pages(DType::u8, {int64_t{1} << 60}), Error);
}

double resident_mib() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * double(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// A tensor that ends in the middle of a large page does not take the rest of it.
TEST(LargePages, TakeNoMoreThanIsUsed) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer has memory of its own beside";
#endif
  constexpr int64_t kBytes = (12 << 20) + 4096;
  std::vector<Tensor> all;
  const double before = resident_mib();
  for (int i = 0; i < 10; ++i) {
    all.push_back(zeros_in_large_pages(DType::u8, {kBytes}));
    std::fill_n(static_cast<uint8_t*>(all.back().raw()), kBytes, uint8_t(1));
  }
  EXPECT_LT(resident_mib() - before, 10 * double(kBytes) / (1 << 20) + 4);
}

TEST(HostMemory, ZeroedAlignedAndApart) {
  std::vector<std::pair<uint8_t*, size_t>> all;
  for (const size_t n : {0, 1, 255, 4096, (256 << 10) - 1, 256 << 10, 3 << 20})
    for (int i = 0; i < 3; ++i) all.emplace_back(static_cast<uint8_t*>(allocate_host_zeroed(n)), n);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto [bytes, n] = all[i];
    ASSERT_NE(bytes, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % 256, 0u);
    EXPECT_TRUE(std::all_of(bytes, bytes + n, [](uint8_t b) { return b == 0; }));
    std::fill(bytes, bytes + n, uint8_t(i + 1));
  }
  for (size_t i = 0; i < all.size(); ++i) {
    const auto [bytes, n] = all[i];
    EXPECT_TRUE(std::all_of(bytes, bytes + n, [i](uint8_t b) { return b == i + 1; }));
    release_host(bytes, n);
  }
  EXPECT_EQ(allocate_host(size_t{1} << 60), nullptr);
}

// Streams come and go: what they computed in does not stay with the process, whatever small things
// were allocated behind it.
TEST(HostMemory, GoesBackToTheSystem) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer keeps what is released";
#endif
  const double before = resident_mib();
  std::vector<std::vector<char>> behind;
  for (int stream = 0; stream < 8; ++stream)
    std::thread([&behind] {
      std::vector<std::unique_ptr<Arena>> arenas;
      for (int i = 0; i < 8; ++i) {
        arenas.push_back(std::make_unique<Arena>());
        Tensor state = Tensor::zeros(DType::u8, {1 << 20});
        for (Tensor t : {arenas.back()->tensor(DType::u8, {1 << 20}), state})
          std::fill_n(static_cast<char*>(t.raw()), t.numel(), 1);
        behind.emplace_back(1000);
      }
    }).join();
  EXPECT_LT(resident_mib() - before, 8) << "of 128 MiB";
}

TEST(ThreadPoolTest, EveryTileOnceFromSeveralCallers) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        std::vector<std::atomic<int>> count(97);
        pool.parallel_for(97, 1e9, [&](int64_t t) { ++count[size_t(t)]; });
        for (auto& n : count) wrong += n != 1;
      }
    });
  for (auto& t : callers) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPoolTest, AnExceptionReachesTheCaller) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.parallel_for(10, 1e9,
                                 [](int64_t t) {
                                   if (t == 5) throw Error(ErrorCode::internal, "five");
                                 }),
               Error);
  int sum = 0;
  pool.parallel_for(3, 0, [&](int64_t t) { sum += int(t); });
  EXPECT_EQ(sum, 3);
}

// A thread that takes part has what it needs once, whatever the number of its tiles.
TEST(ThreadPoolTest, SharedTilesAreTakenOnce) {
  ThreadPool pool(3);
  for (const double work : {0.0, 1e9}) {
    std::vector<std::atomic<int>> count(97);
    std::atomic<int> parts{0};
    pool.share(97, work, [&](ThreadPool::Tiles& tiles) {
      ++parts;
      for (int64_t t; tiles.take(t);) ++count[size_t(t)];
    });
    for (auto& n : count) EXPECT_EQ(n, 1);
    EXPECT_GE(parts, 1);
    EXPECT_LE(parts, work ? 3 : 1);
  }
}

TEST(FreeListTest, HoldsAsManyAsWereInUseAtATime) {
  FreeList<std::unique_ptr<int>> list;
  int n_made = 0;
  const auto use = [&](auto then) {
    Loan<std::unique_ptr<int>> loan(list);
    if (!*loan) *loan = std::make_unique<int>(n_made++);
    then();
    return **loan;
  };
  const auto nothing = [] {};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(use(nothing), 0);
  int inner = -1;
  EXPECT_EQ(use([&] { inner = use(nothing); }), 0);
  EXPECT_EQ(inner, 1);
  EXPECT_EQ(use(nothing), 0);  // what was given back last
  EXPECT_EQ(n_made, 2);
}

TEST(Time, OfSamplesOfAnyNumber) {
  EXPECT_EQ(duration_of(16000, 16000), kSecond);
  const int64_t a_year = int64_t{16000} * 86400 * 365;
  EXPECT_EQ(duration_of(a_year, 16000), 86400 * 365 * kSecond);
  EXPECT_EQ(samples_in(86400 * 365 * kSecond, 16000), a_year);
  EXPECT_EQ(samples_in(-kSecond, 16000), -16000);
}

}  // namespace
}  // namespace omni
