// bench_streams FOLDER [answer tokens] [streams …]: how fast many streams write at once, on one
// scheduler and each on a scheduler of its own; where no number of them is given, also what a slide
// of the window costs at several lengths of the context.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <thread>

#include "bench/precision.h"
#include "core/cpu_level.h"
#include "decoding/sequence.h"
#include "models/registry.h"

using namespace omni;

namespace {

constexpr int kPrompt = 64;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

Rows rows_at(int64_t n, int64_t from, Lane lane) {
  Rows rows;
  rows.lane = lane;
  for (int64_t i = from; i < from + n; ++i) {
    const auto at = int32_t(i);
    rows.ids.push_back(100 + at % 1000);
    rows.positions.push_back({at, at, at});
  }
  return rows;
}

// Median of slides of 64 rows of a full context.
void bench_slide(Scheduler& scheduler, int64_t context) {
  constexpr int64_t kChunk = 64, kHead = 40;
  constexpr int kSlides = 41;
  Sequence s(scheduler);
  s.prefill(rows_at(kHead, 0, Lane::text));
  for (int64_t n = 0; n < context; n += kChunk) s.prefill(rows_at(kChunk, kHead + n, Lane::audio));
  std::vector<double> times, prefills;
  for (int i = 0; i < kSlides; ++i) {
    double begin = seconds();
    s.slide(kHead, kHead + kChunk, {Position{}, Position{}, {kChunk, kChunk, kChunk}});
    times.push_back(seconds() - begin);
    begin = seconds();
    s.prefill(rows_at(kChunk, kHead + context - kChunk, Lane::audio));
    prefills.push_back(seconds() - begin);
  }
  std::sort(times.begin(), times.end());
  std::sort(prefills.begin(), prefills.end());
  std::printf("slide of %lld rows of %6lld   %8.1f us   (the chunk behind it %.2f ms)\n",
              static_cast<long long>(kChunk), static_cast<long long>(context),
              1e6 * times[kSlides / 2], 1e3 * prefills[kSlides / 2]);
}

// Seconds that each stream took for its tokens.
std::vector<double> write(const std::vector<Scheduler*>& schedulers, int n_tokens) {
  std::vector<double> took(schedulers.size());
  std::vector<std::thread> threads;
  std::atomic<size_t> n_ready{0};
  for (size_t i = 0; i < schedulers.size(); ++i)
    threads.emplace_back([&, i] {
      Sequence s(*schedulers[i], {.is_stop = [](int32_t) { return false; }});
      Sampler sampler(i);
      const SamplingOptions how{.temperature = 1, .top_k = 40};
      s.prefill(rows_at(kPrompt, 0, Lane::text));
      s.cursor().next = kPrompt;
      ++n_ready;
      while (n_ready < schedulers.size()) std::this_thread::yield();
      const double begin = seconds();
      for (int k = 0; k < n_tokens; ++k) s.decode(s.choose(sampler, how, nullptr, false).id);
      took[i] = seconds() - begin;
    });
  for (std::thread& t : threads) t.join();
  return took;
}

void report(const char* what, const std::vector<double>& took, int n_tokens, double cpu) {
  const auto [fastest, slowest] = std::minmax_element(took.begin(), took.end());
  const double n = double(took.size()) * n_tokens;
  std::printf(
      "%2zu streams, %-16s %9.0f tokens/s   %6.1f us of processor a token   slowest %+.0f %%\n",
      took.size(), what, n / *slowest, 1e6 * cpu / n, 100 * (*slowest / *fastest - 1));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2)
    return std::fprintf(stderr, "usage: bench_streams FOLDER [answer tokens] [streams …]\n"), 2;
  const int threads = std::getenv("OMNI_THREADS") ? std::atoi(std::getenv("OMNI_THREADS")) : 0,
            n_tokens = argc > 2 ? std::atoi(argv[2]) : 128;
  ThreadPool pool(threads);
  const auto precision = asked_precision(cpu_has_bf16() ? Precision::bfloat16 : Precision::float32);
  const Family family = load_family({argv[1], precision, nullptr, {&pool, nullptr}}, {});
  std::vector<size_t> streams;
  for (int i = 3; i < argc; ++i) streams.push_back(size_t(std::max(1, std::atoi(argv[i]))));
  if (streams.empty()) {
    Scheduler scheduler(*family.text, pool);
    for (const int64_t context : {1024, 4096, 16384}) bench_slide(scheduler, context);
    streams = {1, 4, 16};
  }
  for (const size_t n : streams)
    for (const bool shared : {true, false}) {
      std::vector<std::unique_ptr<Scheduler>> own;
      std::vector<Scheduler*> of;
      for (size_t i = 0; i < n; ++i) {
        if (i == 0 || !shared) own.push_back(std::make_unique<Scheduler>(*family.text, pool));
        of.push_back(own.back().get());
      }
      const double begin = cpu_seconds();
      const std::vector<double> took = write(of, n_tokens);
      report(shared ? "one scheduler" : "a scheduler each", took, n_tokens, cpu_seconds() - begin);
    }
  return 0;
} catch (const Error& e) {
  std::fprintf(stderr, "bench_streams: %s\n", e.what());
  return 1;
}
