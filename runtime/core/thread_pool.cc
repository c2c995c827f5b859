#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <exception>

namespace omni {

namespace {
constexpr double kWorthWaking = 15000;  // ns: below this a wake-up costs more than it saves
constexpr int kLooks = 400;             // before going to sleep: about 10 µs

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int available_processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}
}  // namespace

struct ThreadPool::Job {
  Call call;
  const void* body;
  Tiles tiles;
  std::atomic<int> helpers{0};  // workers inside take_part; changed under lock_
  std::exception_ptr error;     // written once, by whoever wins `failed`
  std::atomic<bool> failed{false};
};

ThreadPool::ThreadPool(int n_threads) {
  if (n_threads <= 0) n_threads = available_processors();
  jobs_.reserve(16);
  for (int i = 1; i < n_threads; ++i) workers_.emplace_back([this] { worker(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(lock_);
    stopping_ = true;
  }
  work_there_.notify_all();
  for (auto& w : workers_) w.join();
}

void ThreadPool::take_part(Job& job) {
  try {
    job.call(job.body, job.tiles);
  } catch (...) {
    job.tiles.drop_rest();
    if (!job.failed.exchange(true)) job.error = std::current_exception();
  }
}

void ThreadPool::run(int64_t n_tiles, double work, Call call, const void* body) {
  if (n_tiles <= 1 || work < kWorthWaking || workers_.empty()) {
    Tiles tiles(n_tiles);
    return call(body, tiles);
  }
  Job job{call, body, Tiles(n_tiles)};
  {
    std::lock_guard lock(lock_);
    jobs_.push_back(&job);
    ++n_open_;
  }
  work_there_.notify_all();
  take_part(job);
  {
    std::lock_guard lock(lock_);
    close(job);
  }
  for (int i = 0; i < kLooks && job.helpers > 0; ++i) pause();
  if (job.helpers > 0) {
    std::unique_lock lock(lock_);
    tiles_done_.wait(lock, [&] { return job.helpers == 0; });
  }
  if (job.failed) std::rethrow_exception(job.error);
}

// Under lock_: nobody else shall begin with this job.
void ThreadPool::close(Job& job) {
  const auto it = std::find(jobs_.begin(), jobs_.end(), &job);
  if (it == jobs_.end()) return;
  jobs_.erase(it);
  --n_open_;
}

void ThreadPool::worker() {
  std::unique_lock lock(lock_);
  for (;;) {
    if (jobs_.empty() && !stopping_) {
      lock.unlock();
      for (int i = 0; i < kLooks && n_open_ == 0; ++i) pause();
      lock.lock();
    }
    work_there_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job* job = jobs_.front();
    ++job->helpers;
    lock.unlock();
    take_part(*job);
    lock.lock();
    close(*job);
    if (--job->helpers == 0) tiles_done_.notify_all();
  }
}

}  // namespace omni
