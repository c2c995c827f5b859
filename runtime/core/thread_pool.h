// Worker threads that share out the tiles of a loop as they go. The caller works too and several
// callers may use one pool at once. There are no static halves and no barriers: under load a
// descheduled worker delays at most the tile it holds. Whoever has nothing to do looks for some
// microseconds whether that changes (the next product of a small model comes sooner than a wake-up
// takes), then sleeps.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace omni {

class ThreadPool {
 public:
  // `n_threads` counts the caller; 0 = one for each processor this process may use.
  explicit ThreadPool(int n_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return int(workers_.size()) + 1; }

  // The tiles of a loop, as one of the threads that share them takes them.
  class Tiles {
   public:
    explicit Tiles(int64_t n) : n_(n) {}
    // The next one; false: there is none left.
    bool take(int64_t& tile) { return (tile = next_.fetch_add(1, std::memory_order_relaxed)) < n_; }
    void drop_rest() { next_.store(n_, std::memory_order_relaxed); }

   private:
    std::atomic<int64_t> next_{0};
    const int64_t n_;
  };

  // Calls body(tile) once for every tile in [0, n_tiles), in any order and on any thread, and
  // returns when all are done. The first exception that a tile throws is thrown again here. `work`
  // = an estimate of the whole in nanoseconds: below some microseconds the caller does it alone.
  template <class Body>
  void parallel_for(int64_t n_tiles, double work, const Body& body) {
    share(n_tiles, work, [&body](Tiles& tiles) {
      for (int64_t tile; tiles.take(tile);) body(tile);
    });
  }

  // The same, where a thread needs something for all the tiles that it takes: body(tiles) is called
  // once on each thread that takes part, and takes tiles until there are none.
  template <class Body>
  void share(int64_t n_tiles, double work, const Body& body) {
    run(
        n_tiles, work, [](const void* b, Tiles& tiles) { (*static_cast<const Body*>(b))(tiles); },
        &body);
  }

 private:
  using Call = void (*)(const void* body, Tiles& tiles);
  struct Job;
  void run(int64_t n_tiles, double work, Call call, const void* body);
  static void take_part(Job& job);
  void close(Job& job);
  void worker();

  std::atomic<int> n_open_{0};  // jobs_.size(), to be looked at without the lock
  std::mutex lock_;
  std::condition_variable work_there_, tiles_done_;
  std::vector<Job*> jobs_;  // under lock_: those that still have tiles to take
  bool stopping_ = false;   // under lock_
  std::vector<std::thread> workers_;
};

}  // namespace omni
