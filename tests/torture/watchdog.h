// Ends a program that hangs: says what it was doing and where each thread stands, by gdb where that
// is installed, and aborts.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace omni_test {

class Watchdog {
 public:
  // `describe` prints what was being done; called by the watchdog's thread.
  Watchdog(std::chrono::seconds limit, std::function<void()> describe);
  ~Watchdog();
  void beat();  // the program lives

 private:
  void run();

  const std::chrono::seconds limit_;
  const std::function<void()> describe_;
  std::mutex lock_;
  std::condition_variable changed_;
  uint64_t n_beats_ = 0;
  bool over_ = false;
  std::thread thread_;
};

// All threads of this process, to the standard error.
void print_backtraces();

}  // namespace omni_test
