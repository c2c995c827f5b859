// What the parts of bench_gpu share: the checkpoint, the device, how much is measured, clocks and
// the rates of the machine that times are set against.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "interface/family.h"

namespace omni::bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> of) {
  std::sort(of.begin(), of.end());
  return of.at(of.size() / 2);
}

// Twice unmeasured: a device records what it runs the second time.
template <class Body>
double median_seconds(int n, const Body& body) {
  body(), body();
  std::vector<double> times;
  for (int i = 0; i < n; ++i) {
    const double begin = seconds();
    body();
    times.push_back(seconds() - begin);
  }
  return median(std::move(times));
}

// How much is measured: what a GPU does in some seconds a part, or (--small) what an emulation of
// one does.
struct Sizes {
  int repeats = 5;
  size_t copy_bytes = size_t{512} << 20;
  int64_t matrix = 8192;
  std::vector<int64_t> prompts{16, 128, 512, 2048, 4096};
  struct Decode {
    int n_sequences;
    int64_t behind;
  };
  std::vector<Decode> decodes{{1, 512}, {8, 512}, {64, 512}, {1, 4096}, {1, 16384}};
  int steps = 64;
  std::vector<PictureSize> pictures{{448, 448}, {728, 1288}};  // height, width
  int codes = 100;
  int64_t context = 7000;        // tokens behind a question
  PictureSize video{720, 1280};  // of the conversation
  int answer_tokens = 32;
  double speech_seconds = 6;  // of an answer that are listened to
  std::vector<int> streams{16, 64};
  std::vector<int> transcribed{16, 100};
  PictureSize stream_video{448, 448};
  double media_seconds = 8;  // of each stream

  static Sizes small();
};

struct Rates {
  double copy = 0;     // bytes a second, read and written ones counted, inside the device
  double product = 0;  // operations a second of a large bfloat16 product
};

class Bench {
 public:
  // device: as EngineOptions has it. Throws Error.
  Bench(std::filesystem::path folder, const std::string& device, Sizes sizes);

  const std::filesystem::path& folder() const { return folder_; }
  const std::string& device_name() const { return device_name_; }
  const Device* device() const { return device_; }
  const Sizes& sizes() const { return sizes_; }
  ThreadPool& pool() { return pool_; }
  Precision precision() const { return precision_; }

  const Rates& rates();            // measured when first asked for
  const Family& family();          // loaded when first asked for
  void unload() { family_ = {}; }  // for those who open an engine

 private:
  std::filesystem::path folder_;
  std::string device_name_;
  const Device* device_;
  Precision precision_;
  Sizes sizes_;
  ThreadPool pool_;
  std::optional<Rates> rates_;
  std::optional<Family> family_;
};

// An arena for one computation, and what waits for its device.
struct Computation {
  explicit Computation(Bench& bench) : arena(bench.device()), cx{bench.pool(), arena} {}
  void wait() {
    if (arena.device()) arena.queue().wait();
  }
  Arena arena;
  ops::Context cx;
};

// What one forward of the text model has to read and to compute, whatever it is made of.
struct TextWork {
  double bytes = 0;   // of weights: layers and what makes logits
  double values = 0;  // of matrices; 0 where the checkpoint was published quantized
  double floor_of_step(const Rates& r) const { return bytes / r.copy; }
  double floor_of_prompt(const Rates& r, double n) const {
    return std::max(bytes / r.copy, 2 * values * n / r.product);
  }
};
TextWork text_work(const std::filesystem::path& folder, Precision precision);

// The parts. Each prints lines of its own and throws Error, unsupported where the checkpoint has
// nothing that it measures.
void measure_floors(Bench& bench);
void measure_prefill(Bench& bench);
void measure_decode(Bench& bench);
void measure_vision(Bench& bench);
void measure_audio(Bench& bench);
void measure_speech(Bench& bench);
void measure_whisper(Bench& bench);
void measure_conversation(Bench& bench);  // through the public API
void measure_streams(Bench& bench);       // likewise, many at a time

}  // namespace omni::bench
