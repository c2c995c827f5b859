// What a thread keeps of what it has done once.
#pragma once

#include <malloc.h>

#include <functional>
#include <latch>
#include <thread>
#include <vector>

namespace omni_test {

// Bytes that each further thread which has done `work` holds for as long as it lives.
inline double held_by_a_thread(const std::function<void()>& work) {
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

}  // namespace omni_test
