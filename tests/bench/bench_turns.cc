// bench_turns SILENCE_MS MODEL FILE.wav…: when turns are found to be over, a line a file (16 kHz
// mono, 16 bits): seconds of its sound; MODEL of tools/fetch-model smart-turn, or empty. On stderr,
// what a second of sound and a question of the model cost. (tools/check/turn_ends.py)
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "omni/turn_detector.h"
#include "vad/speech.h"

using namespace omni;

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const auto model = *argv[2] ? open_turn_model(argv[2]) : nullptr;
  double sound = 0, computed = 0;
  for (int i = 3; i < argc; ++i) {
    const auto detector = make_turn_detector(std::atoi(argv[1]) * kSecond / 1000, model);
    detector->start(0);
    const std::vector<float> samples = samples_of(argv[i]);
    sound += double(samples.size()) / 16000;
    const auto begin = std::chrono::steady_clock::now();
    for (size_t at = 0; at < samples.size(); at += 160) {
      const size_t n = std::min<size_t>(160, samples.size() - at);
      for (const TurnMark& m : detector->push(std::span(samples).subspan(at, n)))
        if (std::holds_alternative<TurnEnded>(m.what))
          std::printf("%.4f ", double(at + m.at) / 16000);
    }
    computed += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::puts("");
  }
  std::fprintf(stderr, "%.0f s of sound, %.2f s of computing\n", sound, computed);
}
