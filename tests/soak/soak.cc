// soak HOURS [--streams N] [--interval SECONDS] [--seed N]: live streams through the elements, for
// hours, while their feeds stall, jump, break off and come again, and engines are let go and loaded
// anew. Prints what the process holds and how late answers are for each interval; fails on an
// error, on a stream that falls silent, and on a figure that grows (slope.h). The first quarter is
// for warming up.
#include <dirent.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "soak/slope.h"
#include "soak/stream.h"
#include "torture/watchdog.h"

namespace omni_test {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  double hours = 0;
  int streams = 4, interval = 60;
  uint64_t seed = 1;
};

constexpr double kLongestSilence = 120;  // s; a tick of 200 ms brings media

// --- what the process holds

double rss_mib() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * double(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

double heap_mib() {
  const struct mallinfo2 info = mallinfo2();
  return double(info.uordblks + info.hblkhd) / (1 << 20);
}

int n_entries(const char* folder) {
  int n = 0;
  if (DIR* dir = opendir(folder)) {
    while (readdir(dir)) ++n;
    closedir(dir);
  }
  return n - 2;
}

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[size_t(p * double(values.size() - 1) + 0.5)];
}

// A figure: its samples of one interval, and the median of each interval.
struct Figure {
  const char *name, *unit;
  double allowed;  // growth an hour
  std::vector<double> samples, medians;

  double close() {
    medians.push_back(percentile(samples, 0.5));
    samples.clear();
    return medians.back();
  }
};

class Soak {
 public:
  explicit Soak(const Options& options)
      : options_(options),
        watchdog_(std::chrono::seconds(300),
                  [] { std::fprintf(stderr, "a tick that never ends\n"); }),
        random_(options.seed) {
    for (int i = 0; i < options.streams; ++i)
      streams_.push_back(std::make_unique<SoakStream>(i, options.seed));
  }

  bool run() {
    for (auto& s : streams_) s->start();
    print_head();
    const auto begin = Clock::now(),
               end = begin + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(options_.hours * 3600));
    auto interval_end = begin + std::chrono::seconds(options_.interval);
    for (auto next = begin; next < end; next += std::chrono::nanoseconds(kTick)) {
      std::this_thread::sleep_until(next);
      tick();
      if (Clock::now() < interval_end) continue;
      interval_end += std::chrono::seconds(options_.interval);
      print_interval(std::chrono::duration<double>(Clock::now() - begin).count() / 3600);
    }
    for (auto& s : streams_) s->stop();
    return judge();
  }

 private:
  void tick() {
    watchdog_.beat();
    for (auto& s : streams_) {
      s->tick();
      if (s->silence() > kLongestSilence) {
        std::printf("FAILED: %s has been silent for %.0f s\n", s->name(), s->silence());
        print_backtraces();
        ok_ = false;
        s->stop();
        s->start();
        s->tick();
      }
    }
    if (random_() % 3000 == 0) reload_all();
    rss_.samples.push_back(rss_mib());
    heap_.samples.push_back(heap_mib());
    fds_.samples.push_back(n_entries("/proc/self/fd"));
    threads_.samples.push_back(n_entries("/proc/self/task"));
  }

  // Nobody holds an engine any more: it is loaded anew.
  void reload_all() {
    ++n_reloads_;
    for (auto& s : streams_) s->stop();
    for (auto& s : streams_) s->start();
  }

  void print_head() {
    std::printf("%6s %9s %9s %5s %8s %9s %9s %8s %8s %7s\n", "hours", "RSS MiB", "heap MiB", "fds",
                "threads", "p50 s", "p95 s", "answers", "faults", "errors");
  }

  void print_interval(double hours) {
    std::vector<double> delays;
    uint64_t answers = 0, faults = 0, errors = 0;
    for (auto& s : streams_) {
      const auto of_stream = s->take_delays();
      delays.insert(delays.end(), of_stream.begin(), of_stream.end());
      answers += s->counts().answers;
      for (const auto& [what, n] : s->counts().faults) faults += n;
      errors += s->counts().errors;
    }
    const double p95 = percentile(delays, 0.95);
    delay_.samples = std::move(delays);
    hours_.push_back(hours);
    std::printf("%6.2f %9.2f %9.2f %5.0f %8.0f %9.2f %9.2f %8lu %8lu %7lu\n", hours, rss_.close(),
                heap_.close(), fds_.close(), threads_.close(), delay_.close(), p95,
                static_cast<unsigned long>(answers), static_cast<unsigned long>(faults),
                static_cast<unsigned long>(errors));
    std::fflush(stdout);
  }

  bool judge() {
    for (auto& s : streams_) {
      const auto& c = s->counts();
      std::printf("%s: %lu buffers in, %lu answers, %lu overdue or dropped, %lu warnings; faults:",
                  s->name(), static_cast<unsigned long>(c.buffers),
                  static_cast<unsigned long>(c.answers), static_cast<unsigned long>(c.overdue),
                  static_cast<unsigned long>(c.warnings));
      for (const auto& [what, n] : c.faults)
        std::printf(" %s %lu", what.c_str(), static_cast<unsigned long>(n));
      std::printf("\n");
      ok_ &= c.errors == 0;
    }
    std::printf("%d times all engines anew\n", n_reloads_);
    const size_t warm = hours_.size() / 4;
    const std::vector<double> hours(hours_.begin() + warm, hours_.end());
    for (Figure* f : {&rss_, &heap_, &fds_, &threads_, &delay_}) {
      const std::vector<double> values(f->medians.begin() + warm, f->medians.end());
      const Slope slope = fit_slope(hours, values);
      const bool grows = slope.grows(f->allowed);
      std::printf("%-8s %+9.3f %s an hour, standard error %.3f, allowed %.2f%s\n", f->name,
                  slope.per_hour, f->unit, slope.error, f->allowed, grows ? ": GROWS" : "");
      ok_ &= !grows;
    }
    std::printf(ok_ ? "passed\n" : "FAILED\n");
    return ok_;
  }

  const Options options_;
  Watchdog watchdog_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<SoakStream>> streams_;
  std::vector<double> hours_;
  Figure rss_{"RSS", "MiB", 0.5}, heap_{"heap", "MiB", 0.1}, fds_{"fds", "", 0.1},
      threads_{"threads", "", 0.1}, delay_{"delay", "s", 0.1};
  int n_reloads_ = 0;
  bool ok_ = true;
};

bool parse(int argc, char** argv, Options& o) {
  if (argc < 2) return false;
  o.hours = std::atof(argv[1]);
  for (int i = 2; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--streams"))
      o.streams = std::atoi(argv[i + 1]);
    else if (!std::strcmp(argv[i], "--interval"))
      o.interval = std::atoi(argv[i + 1]);
    else if (!std::strcmp(argv[i], "--seed"))
      o.seed = std::strtoull(argv[i + 1], nullptr, 10);
    else
      return false;
  }
  return argc % 2 == 0 && o.hours > 0 && o.streams > 0 && o.interval > 0;
}

}  // namespace
}  // namespace omni_test

int main(int argc, char** argv) {
  omni_test::Options options;
  if (!omni_test::parse(argc, argv, options)) {
    std::fprintf(stderr, "soak HOURS [--streams N] [--interval SECONDS] [--seed N]\n");
    return 2;
  }
  gst_init(nullptr, nullptr);
  g_log_set_always_fatal(GLogLevelFlags(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR));
  return omni_test::Soak(options).run() ? 0 : 1;
}
