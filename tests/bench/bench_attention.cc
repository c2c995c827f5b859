// bench_attention: causal attention of one layer over keys and values in pages (float32, bfloat16),
// by turns. OMNI_THREADS (1), OMNI_CPU_ISA. What a prompt's piece and a step of one and of four
// sequences cost; a step reads memory that no cache holds, as a model's many layers do. With the
// name of a device (cuda, cuda:N): what it takes there.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bench/attention_on_device.h"
#include "core/cpu_level.h"
#include "engine/devices.h"
#include "ops/paged_attention.h"

using namespace omni;

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Heads {
  const char* name;
  int n_heads, n_kv_heads, head_dim;
};
struct Work {
  int n_past, n_new, n_sequences;
};

// The same work in pages of a format, in as many layers as fill 64 MB.
class Paged {
 public:
  Paged(ops::Context& cx, DType dtype, const Heads& s, const Work& w)
      : cx_(cx), layout_{dtype, 1, s.n_kv_heads, s.head_dim}, n_heads_(s.n_heads), batch_(1) {
    const int64_t n_pages = (w.n_past + w.n_new + ops::kPageRows - 1) / ops::kPageRows;
    const auto bytes = double(n_pages * w.n_sequences) * double(layout_.page_bytes());
    layout_.n_layers = std::clamp(int(64e6 / bytes), 1, 48);
    std::vector<std::vector<void*>> tables(size_t(w.n_sequences));
    for (auto& table : tables)
      for (int64_t i = 0; i < n_pages; ++i) {
        pages_.push_back(Tensor::zeros(dtype, {int64_t(layout_.page_bytes() / size_of(dtype))}));
        auto* half = static_cast<uint16_t*>(pages_.back().raw());
        for (size_t b = 0; b < layout_.page_bytes() / 2; ++b)
          half[b] = uint16_t(0x3c00 | (b * 0x9e3779b9 >> 13 & 0x82ff));
        table.push_back(pages_.back().raw());
      }
    const std::vector<uint8_t> lane_of(size_t(w.n_new), 0);
    for (const auto& table : tables) {
      const ops::PagedBatch::Lane lane{table, 0, w.n_past};
      batch_.add({&lane, 1}, lane_of);
    }
    batch_.upload(cx);
    q_ = Tensor::zeros(DType::f32, {batch_.n_tokens(), int64_t{s.n_heads} * s.head_dim});
    std::fill_n(q_.f32(), q_.numel(), 0.01f);
  }
  // seconds a layer
  double run() {
    Arena::Scope scope(cx_.arena);
    const ops::Heads q{q_.f32(), q_.dim(1), n_heads_, layout_.head_dim};
    const double begin = seconds();
    for (int layer = 0; layer < layout_.n_layers; ++layer)
      ops::paged_attention(cx_, {&q, 1}, batch_, layout_, layer);
    return (seconds() - begin) / layout_.n_layers;
  }

 private:
  ops::Context& cx_;
  ops::KvLayout layout_;
  int n_heads_;
  ops::PagedBatch batch_;
  std::vector<Tensor> pages_;
  Tensor q_;
};

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    if (const Device* device = open_device(argv[1])) bench_attention_on(device);
    return 0;
  }
  const char* threads = std::getenv("OMNI_THREADS");
  ThreadPool pool(threads ? std::atoi(threads) : 1);
  Arena arena;
  ops::Context cx{pool, arena};
  std::printf("%s, %d threads; µs a layer\n", name_of(cpu_level()), pool.n_threads());
  std::printf("%-22s %6s %5s %4s %10s %10s\n", "heads", "past", "new", "seqs", "float32",
              "bfloat16");
  for (const Heads& s : {Heads{"4/2 of 32", 4, 2, 32}, Heads{"14/2 of 64", 14, 2, 64},
                         Heads{"16/2 of 128", 16, 2, 128}, Heads{"8/8 of 64", 8, 8, 64}})
    for (const Work& w : {Work{100, 1, 1}, Work{1000, 1, 1}, Work{8000, 1, 1}, Work{1000, 1, 4},
                          Work{0, 128, 1}, Work{2000, 512, 1}}) {
      Paged f32(cx, DType::f32, s, w), bf16(cx, DType::bf16, s, w);
      std::vector<double> a, b;
      const double begin = seconds();
      while (a.size() < 5 || seconds() - begin < 0.5)
        a.push_back(f32.run()), b.push_back(bf16.run());
      std::printf("%-22s %6d %5d %4d %10.1f %10.1f\n", s.name, w.n_past, w.n_new, w.n_sequences,
                  1e6 * median(a), 1e6 * median(b));
    }
}
