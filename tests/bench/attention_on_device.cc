#include "bench/attention_on_device.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ops/paged_attention.h"

namespace omni {

namespace {

constexpr double kNoCacheHolds = 160e6;  // bytes
constexpr int kRuns = 9;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

// Of the device, and given back with it.
class Room {
 public:
  Room(const Device* device, size_t bytes)
      : device_(device), data_(device->allocate(bytes, "timings")) {}
  ~Room() { device_->release(data_); }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  char* data() const { return static_cast<char*>(data_); }

 private:
  const Device* device_;
  void* data_;
};

class Bench {
 public:
  explicit Bench(const Device* device) : arena_(device) {}
  ops::Context& cx() { return cx_; }
  const Device* device() const { return arena_.device(); }

  // Seconds that the work takes, asked for once a run or, where it asks for nothing that cannot be
  // recorded, run as a graph.
  double time(const std::function<void()>& work, bool recorded) {
    auto& queue = arena_.queue();
    work(), queue.wait();  // the arena grows, kernels are loaded
    std::unique_ptr<Device::Recording> recording;
    if (recorded) recording = queue.record(work);
    std::vector<double> times;
    for (int i = 0; i < kRuns; ++i) {
      const double begin = seconds();
      recording ? queue.run(*recording) : work();
      queue.wait();
      if (i) times.push_back(seconds() - begin);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }
  std::vector<float> read(const Tensor& y) {
    arena_.queue().wait();
    const Tensor host = to_f32(to_device(y, nullptr));
    return {host.f32(), host.f32() + host.numel()};
  }
  double error(const Tensor& rounded, const Tensor& exact) {
    const auto a = read(exact), b = read(rounded);
    double worst = 0, scale = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      if (!std::isfinite(b[i])) return NAN;
      worst = std::max(worst, std::abs(double(a[i]) - b[i]));
      scale = std::max(scale, std::abs(double(a[i])));
    }
    return worst / scale;
  }

 private:
  ThreadPool pool_{1};
  Arena arena_;
  ops::Context cx_{pool_, arena_};
};

struct HeadShape {
  int n_heads, n_kv_heads, head_dim;
};

// Sequences of equal length in bfloat16 pages.
class Pages {
 public:
  Pages(Bench& bench, const HeadShape& s, int n_past, int n_new, int n_sequences)
      : bench_(bench),
        layout_{DType::bf16, 1, s.n_kv_heads, s.head_dim},
        n_heads_(s.n_heads),
        batch_(1) {
    const int64_t n_rows = n_past + n_new,
                  n_pages = (n_rows + ops::kPageRows - 1) / ops::kPageRows * n_sequences;
    bytes_ = double(n_rows * n_sequences) * double(2 * layout_.row()) * 2;
    layout_.n_layers = std::clamp(int(kNoCacheHolds / bytes_), 1, 48);
    const size_t page_bytes = layout_.page_bytes();
    room_ = std::make_unique<Room>(bench.device(), size_t(n_pages) * page_bytes);
    const auto values = random_floats(page_bytes / 2, 1);
    std::vector<BFloat16> page(values.size());
    std::transform(values.begin(), values.end(), page.begin(), to_bfloat16);
    std::vector<void*> table;
    const std::vector<uint8_t> lane_of(size_t(n_new), 0);
    for (int64_t i = 0; i < n_pages; ++i) {
      table.push_back(room_->data() + size_t(i) * page_bytes);
      bench.device()->write(table.back(), page.data(), page_bytes);
      if (int64_t(table.size()) < n_pages / n_sequences) continue;
      const ops::PagedBatch::Lane lane{table, 0, n_past};
      batch_.add({&lane, 1}, lane_of);
      table.clear();
    }
    batch_.upload(bench.cx());
    const auto q = random_floats(size_t(batch_.n_tokens()) * size_t(n_heads_ * s.head_dim), 2);
    q_ = to_device(Tensor::view(const_cast<float*>(q.data()), DType::f32,
                                {batch_.n_tokens(), int64_t{n_heads_} * s.head_dim}),
                   bench.device());
    for (int i = 0; i < n_new; ++i) seen_ += double(n_past + i + 1) * n_sequences;
  }
  double bytes() const { return bytes_; }  // of a layer's keys and values
  double flops() const { return 4 * seen_ * n_heads_ * layout_.head_dim; }
  Tensor run(int layer, DType out) {
    const ops::Heads q{static_cast<float*>(q_.raw()), q_.dim(1), n_heads_, layout_.head_dim};
    return ops::paged_attention(bench_.cx(), {&q, 1}, batch_, layout_, layer, out);
  }
  // Of a layer.
  double time(DType out) {
    return bench_.time(
               [&] {
                 Arena::Scope scope(bench_.cx().arena);
                 for (int layer = 0; layer < layout_.n_layers; ++layer) run(layer, out);
               },
               true) /
           layout_.n_layers;
  }
  double error() {
    Arena::Scope scope(bench_.cx().arena);
    const Tensor exact = run(0, DType::f32), rounded = run(0, DType::bf16);
    return bench_.error(rounded, exact);
  }

 private:
  Bench& bench_;
  ops::KvLayout layout_;
  int n_heads_;
  ops::PagedBatch batch_;
  std::unique_ptr<Room> room_;
  Tensor q_;
  double bytes_ = 0, seen_ = 0;
};

void bench_prompts(Bench& bench) {
  std::printf("prompts over pages, 16/2 heads of 128 %13s %9s %9s\n", "µs", "TFLOP/s", "error");
  for (const auto& [n_past, n_new] :
       {std::pair{0, 512}, {0, 2048}, {0, 4096}, {7000, 1440}, {7000, 128}, {7000, 16}}) {
    Pages pages(bench, {16, 2, 128}, n_past, n_new, 1);
    const double t = pages.time(DType::bf16);
    std::printf("  %5d behind %5d %33.1f %9.1f %9.1e\n", n_new, n_past, 1e6 * t,
                pages.flops() / t / 1e12, pages.error());
    std::fflush(stdout);
  }
}

void bench_steps(Bench& bench) {
  std::printf("steps over pages, 16/2 heads of 128 %6s %9s %9s %9s %9s\n", "µs", "GB/s", "µs, f32",
              "GB/s", "error");
  for (const int n_sequences : {1, 8, 64})
    for (const int rows : {512, 4096, 16384}) {
      Pages pages(bench, {16, 2, 128}, rows - 1, 1, n_sequences);
      const double rounded = pages.time(DType::bf16), exact = pages.time(DType::f32);
      std::printf("  %3d sequences of %5d %20.1f %9.0f %9.1f %9.0f %9.1e\n", n_sequences, rows,
                  1e6 * rounded, pages.bytes() / rounded / 1e9, 1e6 * exact,
                  pages.bytes() / exact / 1e9, pages.error());
      std::fflush(stdout);
    }
}

struct RangeWork {
  const char* name;
  HeadShape heads;
  int n_ranges, queries;
};

void bench_ranges(Bench& bench) {
  std::printf("ranges %37s %9s %9s %9s %9s\n", "µs", "TFLOP/s", "GB/s", "µs, f32", "error");
  for (const RangeWork& w : {RangeWork{"a picture of 1024, 16 of 80", {16, 16, 80}, 1, 1024},
                             {"a picture of 4784, 16 of 80", {16, 16, 80}, 1, 4784},
                             {"16 windows of 64, 16 of 80", {16, 16, 80}, 16, 64},
                             {"75 windows of 64, 16 of 80", {16, 16, 80}, 75, 64},
                             {"2 windows of 100, 20 of 64", {20, 20, 64}, 2, 100},
                             {"32 windows of 100, 20 of 64", {20, 20, 64}, 32, 100}}) {
    const int64_t n = int64_t{w.n_ranges} * w.queries, hidden = w.heads.n_heads * w.heads.head_dim;
    const double bytes = double(n) * double(hidden) * (3 * 4 + 2),
                 flops = 4. * double(n) * w.queries * double(hidden);
    const int n_layers = std::clamp(int(kNoCacheHolds / bytes), 1, 32);
    const auto values = random_floats(size_t(n * 3 * hidden), 3);
    std::vector<Tensor> rows;
    for (int i = 0; i < n_layers; ++i)
      rows.push_back(
          to_device(Tensor::view(const_cast<float*>(values.data()), DType::f32, {n, 3 * hidden}),
                    bench.device()));
    std::vector<int64_t> spans;
    for (int i = 0; i <= w.n_ranges; ++i) spans.push_back(int64_t{i} * w.queries);
    const auto run = [&](Tensor& x, DType out) {
      const auto part = [&](int64_t i) {
        return ops::Heads{static_cast<float*>(x.raw()) + i * hidden, 3 * hidden, w.heads.n_heads,
                          w.heads.head_dim};
      };
      return ops::attention(bench.cx(), part(0), part(1), part(2), std::span<const int64_t>(spans),
                            out);
    };
    const auto time = [&](DType out) {
      return bench.time(
                 [&] {
                   Arena::Scope scope(bench.cx().arena);
                   for (Tensor& x : rows) run(x, out);
                 },
                 false) /
             n_layers;
    };
    const double rounded = time(DType::bf16), exact = time(DType::f32);
    Arena::Scope scope(bench.cx().arena);
    const Tensor a = run(rows[0], DType::f32), b = run(rows[0], DType::bf16);
    std::printf("  %-28s %13.1f %9.1f %9.0f %9.1f %9.1e\n", w.name, 1e6 * rounded,
                flops / rounded / 1e12, bytes / rounded / 1e9, 1e6 * exact, bench.error(b, a));
    std::fflush(stdout);
  }
}

}  // namespace

void bench_attention_on(const Device* device) {
  Bench bench(device);
  std::printf("%s; a layer, bfloat16 results\n", device->name().c_str());
  bench_prompts(bench);
  bench_steps(bench);
  bench_ranges(bench);
}

}  // namespace omni
