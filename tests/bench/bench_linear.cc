// bench_linear [n_out n_in]: the products of the level in use (OMNI_CPU_ISA), each implementation
// and format: rows a call, operations a second, and weights read a second beside what this machine
// reads at all. One thread (OMNI_THREADS for more); as many matrices as no cache holds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "core/cpu_level.h"
#include "core/large_pages.h"
#include "cpu/packed_matrix.h"

using namespace omni;

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr double kBytes = 256e6;

// Bytes a second of a plain pass over memory.
double read_rate(ThreadPool& pool) {
  const auto n = int64_t(kBytes / 8);
  const Tensor memory = zeros_in_large_pages(DType::i64, {n});
  std::memset(const_cast<Tensor&>(memory).raw(), 0, size_t(n) * 8);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const double begin = seconds();
    std::atomic<int64_t> all{0};
    pool.parallel_for(64, 1e9, [&](int64_t tile) {
      int64_t sum = 0;
      const int64_t* from = memory.i64() + tile * n / 64;
      for (int64_t i = 0; i < n / 64; ++i) sum += from[i];
      all += sum;
    });
    if (all == 0) best = std::max(best, kBytes / (seconds() - begin));
  }
  return best;
}

Matrix random_matrix(WeightFormat format, int64_t n_out, int64_t n_in, int64_t group) {
  std::mt19937 g(1);
  Matrix w;
  w.format = format, w.n_out = n_out, w.n_in = n_in, w.group = group;
  if (!is_quantized(format)) {
    w.values = Tensor::zeros(format == WeightFormat::f32   ? DType::f32
                             : format == WeightFormat::f16 ? DType::f16
                                                           : DType::bf16,
                             {n_out, n_in});
    return w;
  }
  w.values = Tensor::zeros(format == WeightFormat::int8 ? DType::i8 : DType::u8,
                           {n_out, format == WeightFormat::int8 ? n_in : n_in / 2});
  for (size_t i = 0; i < w.values.nbytes(); ++i)
    static_cast<uint8_t*>(w.values.raw())[i] = uint8_t(g());
  w.scales = Tensor::zeros(DType::f32, {n_out, n_in / group});
  std::fill_n(w.scales.f32(), w.scales.numel(), 1.f / 64);
  return w;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t n_out = argc > 2 ? std::atoll(argv[1]) : 2048,
                n_in = argc > 2 ? std::atoll(argv[2]) : 2048;
  ThreadPool pool(std::getenv("OMNI_THREADS") ? std::atoi(std::getenv("OMNI_THREADS")) : 1);
  Arena arena;
  ops::Context cx{pool, arena};
  const double rate = read_rate(pool);
  std::printf("%s, %d thread(s), [n, %lld] x [%lld, %lld]; memory is read at %.1f GB/s\n",
              describe_cpu_level().c_str(), pool.n_threads(), static_cast<long long>(n_in),
              static_cast<long long>(n_out), static_cast<long long>(n_in), rate / 1e9);
  for (const ops::cpu::LinearImplementation& implementation : ops::cpu::linear_implementations())
    for (const auto& [format, group] : {std::pair{WeightFormat::f32, n_in},
                                        {WeightFormat::f16, n_in},
                                        {WeightFormat::bf16, n_in},
                                        {WeightFormat::int8, n_in},
                                        {WeightFormat::int4, int64_t{128}},
                                        {WeightFormat::int4, int64_t{64}},
                                        {WeightFormat::int4, int64_t{32}}}) {
      const auto precision = std::strcmp(implementation.name, "onednn_bf16") == 0
                                 ? ops::MatmulPrecision::bf16
                                 : ops::MatmulPrecision::f32;
      const Matrix w = random_matrix(format, n_out, n_in, group);
      if (std::strcmp(implementation.name, "portable") == 0 ||
          !implementation.accepts(w, precision))
        continue;
      const double bytes = double(w.values.nbytes()) + 2 * double(w.scales.numel());
      std::vector<std::shared_ptr<const ops::cpu::CpuMatrix>> weights;
      for (int i = 0; i < std::max(2, int(kBytes / bytes)); ++i)
        weights.push_back(implementation.pack({&w, 1}, precision));
      std::printf("%-18s %-9s group %4lld", implementation.name, name_of(format),
                  static_cast<long long>(group));
      for (const int64_t n : {1, 4, 16, 128, 512}) {
        const Tensor x = Tensor::zeros(DType::f32, {n, n_in});
        std::vector<double> times;
        double spent = 0;
        for (size_t i = 0; spent < 0.4 || times.size() < 3; ++i) {
          Arena::Scope scope(arena);
          const double begin = seconds();
          ops::linear(cx, x, *weights[i % weights.size()], Tensor());
          times.push_back(seconds() - begin);
          spent += times.back();
        }
        std::nth_element(times.begin(), times.begin() + std::ptrdiff_t(times.size() / 2),
                         times.end());
        const double time = times[times.size() / 2];
        std::printf(" | %lld: %5.0f GOP/s", static_cast<long long>(n),
                    2e-9 * double(n) * double(n_out * n_in) / time);
        if (n == 1) std::printf(" %5.1f GB/s (%.2f)", bytes / time / 1e9, bytes / time / rate);
      }
      std::printf("\n");
    }
  return 0;
}
