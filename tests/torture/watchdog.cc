#include "torture/watchdog.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace omni_test {

Watchdog::Watchdog(std::chrono::seconds limit, std::function<void()> describe)
    : limit_(limit), describe_(std::move(describe)), thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard guard(lock_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::beat() {
  {
    std::lock_guard guard(lock_);
    ++n_beats_;
  }
  changed_.notify_all();
}

void Watchdog::run() {
  std::unique_lock lock(lock_);
  while (!over_) {
    const uint64_t seen = n_beats_;
    if (changed_.wait_for(lock, limit_, [&] { return over_ || n_beats_ != seen; })) continue;
    std::fprintf(stderr, "no progress for %lld s\n", static_cast<long long>(limit_.count()));
    describe_();
    print_backtraces();
    std::abort();
  }
}

void print_backtraces() {
  std::fflush(stderr);
  const std::string process = std::to_string(getpid());
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execlp("gdb", "gdb", "--batch", "-nx", "-p", process.c_str(), "-ex", "thread apply all bt 30",
           nullptr);
    _exit(127);
  }
  int status = 0;
  if (child > 0) waitpid(child, &status, 0);
}

}  // namespace omni_test
