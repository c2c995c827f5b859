// bench_transcribe FOLDER [--policy align-att|local-agreement|whole] [--step SECONDS] [--language
// L] [--threads N] [--words] WAV… Transcribes recordings (16-bit WAV, any rate that divides or is
// divided by 16 kHz evenly enough for a test) as a live stream would come, and prints text,
// real-time factor, the longest look, how long after they were spoken words left (sound time only,
// computing not counted), and memory.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "bench/precision.h"
#include "omni/engine.h"

using namespace omni;

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<float> read_wav(const char* path) {
  std::ifstream f(path, std::ios::binary);
  const std::string b((std::istreambuf_iterator<char>(f)), {});
  uint16_t channels = 1, bits = 16;
  uint32_t rate = 16000;
  size_t at = 12;
  std::vector<float> mono;
  while (at + 8 <= b.size()) {
    uint32_t size = 0;
    std::memcpy(&size, b.data() + at + 4, 4);
    if (b.compare(at, 4, "fmt ") == 0)
      std::memcpy(&channels, b.data() + at + 10, 2), std::memcpy(&rate, b.data() + at + 12, 4),
          std::memcpy(&bits, b.data() + at + 22, 2);
    if (b.compare(at, 4, "data") == 0) {
      const size_t n = std::min<size_t>(size, b.size() - at - 8) / 2 / channels;
      for (size_t i = 0; i < n; ++i) {
        float sum = 0;
        for (size_t c = 0; c < channels; ++c) {
          int16_t v = 0;
          std::memcpy(&v, b.data() + at + 8 + (i * channels + c) * 2, 2);
          sum += float(v) / 32768.f;
        }
        mono.push_back(sum / float(channels));
      }
    }
    at += 8 + size + (size & 1);
  }
  if (bits != 16 || mono.empty())
    throw Error(ErrorCode::corrupt_file, std::string(path) + " is no 16-bit WAV");
  if (rate != 16000) {
    std::vector<float> out(size_t(double(mono.size()) * 16000 / rate));
    for (size_t i = 0; i < out.size(); ++i) {
      const double x = double(i) * rate / 16000;
      const size_t k = std::min(mono.size() - 2, size_t(x));
      out[i] = float(mono[k] + (mono[k + 1] - mono[k]) * (x - double(k)));
    }
    return out;
  }
  return mono;
}

double peak_mb() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return double(u.ru_maxrss) / 1024;
}

}  // namespace

int main(int argc, char** argv) try {
  EngineOptions options;
  options.precision = asked_precision(Precision::automatic);
  TranscriptionOptions t;
  bool words = false;
  std::vector<const char*> files;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--policy") {
      const std::string p = argv[++i];
      t.policy = p == "whole"             ? TranscriptionPolicy::whole
                 : p == "local-agreement" ? TranscriptionPolicy::local_agreement
                                          : TranscriptionPolicy::align_att;
    } else if (a == "--step")
      t.step = Nanoseconds(std::atof(argv[++i]) * double(kSecond));
    else if (a == "--language")
      t.language = argv[++i];
    else if (a == "--threads")
      options.threads = std::atoi(argv[++i]);
    else if (a == "--no-gate")
      t.voice_gate = false;
    else if (a == "--words")
      words = true;
    else if (options.model_path.empty())
      options.model_path = a;
    else
      files.push_back(argv[i]);
  }
  if (options.model_path.empty() || files.empty())
    return std::fprintf(stderr,
                        "usage: bench_transcribe FOLDER [--policy P] [--step S] [--language L] "
                        "[--threads N] [--no-gate] [--words] WAV…\n"),
           2;
  const auto engine = Engine::open(options);
  for (const char* file : files) {
    const std::vector<float> x = read_wav(file);
    const auto transcriber = engine->make_transcriber(t);
    transcriber->start(0);
    std::vector<Word> all;
    std::vector<double> delays;
    double longest = 0;
    const double begin = seconds();
    const auto take = [&](std::vector<Word> fresh, double heard) {
      for (Word& w : fresh) {
        delays.push_back(heard - double(w.start + w.duration) / double(kSecond));
        all.push_back(std::move(w));
      }
    };
    for (size_t at = 0; at < x.size(); at += 1600) {
      const size_t n = std::min<size_t>(1600, x.size() - at);
      const double look = seconds();
      take(transcriber->push({x.data() + at, n}), double(at + n) / 16000);
      longest = std::max(longest, seconds() - look);
    }
    const double look = seconds();
    take(transcriber->finish(), double(x.size()) / 16000);
    longest = std::max(longest, seconds() - look);
    const double spent = seconds() - begin, length = double(x.size()) / 16000;
    const TranscriptionStats s = transcriber->stats();
    std::printf("== %s\n", file);
    for (const Word& w : all) {
      if (words)
        std::printf("%7.2f %5.2f %.2f %s\n", double(w.start) / double(kSecond),
                    double(w.duration) / double(kSecond), w.probability, w.text.c_str());
      else
        std::printf("%s ", w.text.c_str());
    }
    std::sort(delays.begin(), delays.end());
    std::printf(
        "\n   [%s] %.1f s of sound, real-time factor %.3f (encoder %.2f s, decoder %.2f s, %lld "
        "tokens), %lld looks, %lld gated, %lld rejected, longest look %.0f ms, delay p50 %.2f p95 "
        "%.2f s, peak %.0f MB\n",
        transcriber->language().c_str(), length, spent / length, s.encoder_seconds,
        s.decoder_seconds, static_cast<long long>(s.tokens), static_cast<long long>(s.looks),
        static_cast<long long>(s.gated), static_cast<long long>(s.rejected), 1000 * longest,
        delays.empty() ? 0 : delays[delays.size() / 2],
        delays.empty() ? 0 : delays[delays.size() * 95 / 100], peak_mb());
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_transcribe: %s\n", e.what());
  return 1;
}
