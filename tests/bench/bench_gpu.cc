// bench_gpu FOLDER [--device NAME] [--small] [floors|prefill|decode|vision|audio|speech|whisper|
// conversation|streams …]: times of a checkpoint's parts on a device, beside what the memory and
// the matrix units of that device allow, which is measured on the spot; then whole conversations
// and many streams through the public API. Without names: everything that the checkpoint has. A
// part that fails says so and the rest goes on. --small: as little as an emulation can do.
#include <cstdio>
#include <cstring>

#include "bench/gpu/bench.h"

using namespace omni;
using namespace omni::bench;

namespace {

struct Part {
  const char* name;
  void (*measure)(Bench&);
};
constexpr Part kParts[] = {{"floors", measure_floors},   {"prefill", measure_prefill},
                           {"decode", measure_decode},   {"vision", measure_vision},
                           {"audio", measure_audio},     {"speech", measure_speech},
                           {"whisper", measure_whisper}, {"conversation", measure_conversation},
                           {"streams", measure_streams}};

// False: it failed. What a checkpoint has not is no failure unless it was asked for.
bool run(const Part& part, Bench& bench, bool asked) {
  const double begin = seconds();
  try {
    part.measure(bench);
    std::printf("-- %s: %.1f s\n", part.name, seconds() - begin);
    std::fflush(stdout);
    return true;
  } catch (const Error& e) {
    if (!asked && e.code() == ErrorCode::unsupported) return true;
    std::printf("-- %s failed: %s\n", part.name, e.what());
  } catch (const std::exception& e) {
    std::printf("-- %s failed: %s\n", part.name, e.what());
  }
  std::fflush(stdout);
  return false;
}

int usage() {
  std::fprintf(stderr, "usage: bench_gpu FOLDER [--device NAME] [--small] [part …]; parts:");
  for (const Part& part : kParts) std::fprintf(stderr, " %s", part.name);
  std::fprintf(stderr, "\n");
  return 2;
}

const Part* part_named(const char* name) {
  for (const Part& part : kParts)
    if (std::strcmp(part.name, name) == 0) return &part;
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return usage();
  std::string device = "cuda";
  Sizes sizes;
  std::vector<Part> parts;
  for (int i = 2; i < argc; ++i) {
    if (std::strcmp(argv[i], "--small") == 0) {
      sizes = Sizes::small();
    } else if (std::strcmp(argv[i], "--device") == 0 && i + 1 < argc) {
      device = argv[++i];
    } else if (const Part* part = part_named(argv[i])) {
      parts.push_back(*part);
    } else {
      return usage();
    }
  }
  Bench bench(argv[1], device, sizes);
  std::printf("%s on %s\n", argv[1], bench.device() ? bench.device()->name().c_str() : "the CPU");
  const bool asked = !parts.empty();
  if (!asked) parts.assign(std::begin(kParts), std::end(kParts));
  bool all = true;
  for (const Part& part : parts) all &= run(part, bench, asked);
  return all ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_gpu: %s\n", e.what());
  return 1;
}
