// bench_speech FOLDER                       the stages of the speaking half of a checkpoint, one
// after the other: load, prompt, Talker, flow, vocoder; memory bench_speech FOLDER --say FILE OUT
// says each line of FILE, greedily, into OUT/<line number>.wav (first sound and real-time factor
// printed) tools/bench makes the folders.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "bench/precision.h"
#include "core/cpu_level.h"
#include "decoding/sampler.h"
#include "interface/lone_sequence.h"
#include "models/registry.h"
#include "omni/engine.h"

using namespace omni;

namespace {

namespace fs = std::filesystem;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double peak_mb() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return double(u.ru_maxrss) / 1024;
}

void write_wav(const fs::path& path, const std::vector<float>& x, uint32_t rate) {
  std::ofstream f(path, std::ios::binary);
  const auto u32 = [&](uint32_t v) { f.write(reinterpret_cast<const char*>(&v), 4); };
  const auto u16 = [&](uint16_t v) { f.write(reinterpret_cast<const char*>(&v), 2); };
  const auto bytes = uint32_t(x.size() * 2);
  f << "RIFF", u32(36 + bytes), f << "WAVEfmt ", u32(16), u16(1), u16(1), u32(rate), u32(rate * 2),
      u16(2), u16(16), f << "data", u32(bytes);
  for (const float v : x) u16(uint16_t(int16_t(std::lrint(std::clamp(v, -1.f, 1.f) * 32767))));
}

// Through the public API.
int say(const fs::path& folder, const fs::path& file, const fs::path& out) {
  fs::create_directories(out);
  EngineOptions options;
  options.model_path = folder.string();
  const auto engine = Engine::open(options);
  SessionOptions session_options;
  session_options.settings.wants_speech = true;
  session_options.settings.speech.temperature = 0;
  session_options.system_prompt = engine->defaults().system_prompt.value_or("");
  const auto session = engine->make_session(session_options);
  std::ifstream lines(file);
  std::string line;
  std::vector<double> first;
  double sound = 0, work = 0;
  for (int i = 0; std::getline(lines, line); ++i) {
    const double begin = seconds();
    std::shared_ptr<Speech> speech;
    TurnId turn = 0;
    ask_and_wait(*session, {.text = "Say it.", .reply = line}, [&](const Event& event) {
      turn = event.turn;
      if (const auto* utterance = std::get_if<Utterance>(&event.what)) speech = utterance->speech;
    });
    std::vector<float> wave;
    double heard = 0;
    for (;;) {
      const std::vector<float> piece = speech->read(4800);
      if (piece.empty()) break;
      if (wave.empty()) heard = seconds() - begin;
      wave.insert(wave.end(), piece.begin(), piece.end());
    }
    session->put(SpeechEnded{turn, SpeechEnd::finished, 0, 0});
    if (!wave.empty()) first.push_back(heard);
    work += seconds() - begin;
    sound += double(wave.size()) / speech->sample_rate();
    write_wav(out / (std::to_string(i) + ".wav"), wave, uint32_t(speech->sample_rate()));
  }
  std::sort(first.begin(), first.end());
  if (first.empty()) return std::printf("nothing was said\n"), 1;
  std::printf(
      "%zu sentences, %.1f s of speech, real-time factor %.3f, first sound p50 %.0f ms p95 %.0f "
      "ms, peak memory %.0f MB\n",
      first.size(), sound, work / sound, 1000 * first[first.size() / 2],
      1000 * first[first.size() * 95 / 100], peak_mb());
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 5 && std::string(argv[2]) == "--say") return say(argv[1], argv[3], argv[4]);
  if (argc != 2) return std::fprintf(stderr, "usage: bench_speech FOLDER [--say FILE OUT]\n"), 2;
  const fs::path folder = argv[1];
  const ModelOptions options{
      folder, asked_precision(cpu_has_bf16() ? Precision::bfloat16 : Precision::float32)};
  double file_mb = 0;
  for (const auto& f : fs::directory_iterator(folder))
    if (f.path().extension() == ".safetensors") file_mb += double(f.file_size()) / 1e6;
  double begin = seconds();
  const auto lap = [&](const char* what, double of_sound = 0) {
    const double t = seconds() - begin;
    std::printf("%-34s %8.2f s", what, t);
    if (of_sound > 0) std::printf("   %.2f × real time", t / of_sound);
    std::printf("   peak memory %.0f MB\n", peak_mb());
    std::fflush(stdout);
    begin = seconds();
  };
  std::printf("%.0f MB of files\n", file_mb);
  const Family family = load_family(options, {});
  const TextModel& text = *family.text;
  lap("load the Thinker");
  const auto voice = family.load_voice(options, {});
  lap("load Talker and Token2Wav");
  ThreadPool pool;
  Arena arena;
  ops::Context cx{pool, arena};

  // 64 tokens of prompt, 16 of reply, two seconds of codes; whatever random weights make of them.
  constexpr int kPrompt = 64, kReply = 16;
  std::mt19937 random(1);
  VoicePrompt prompt;
  std::vector<KeptRows> reply;
  LoneSequence sequence(text);
  const auto rows = [&](int n, std::vector<KeptRows>& out) {
    Arena::Scope scope(arena);
    std::vector<int32_t> ids;
    std::vector<Position> positions;
    for (int i = 0; i < n; ++i) {
      const auto at = int32_t(sequence.state.length()) + i;
      ids.push_back(int32_t(random() % 500));
      positions.push_back({at, at, at});
    }
    const Tensor x = text.embed(cx, ids), y = sequence.forward(text, cx, x, positions);
    Tensor sums = Tensor::zeros(DType::f32, y.shape());
    for (int64_t i = 0; i < y.numel(); ++i) sums.f32()[i] = y.f32()[i] + x.f32()[i];
    out.push_back({sums});
    return positions;
  };
  prompt.positions = rows(kPrompt, prompt.rows);
  lap("Thinker: 64 tokens of prompt");
  for (int i = 0; i < kReply; ++i) rows(1, reply);
  lap("Thinker: 16 tokens of reply");
  const auto talk = voice->new_codes(std::move(prompt), voice->default_speaker());
  Sampler sampler(1);
  const SamplingOptions sampling{.temperature = 1};
  const PickCode pick = [&](ops::Context& on, const Tensor& logits,
                            std::span<const int32_t> history, std::span<const uint32_t> allowed) {
    return sampler.choose(on, logits, history, sampling, allowed);
  };
  const double rate = voice->sample_rate(), code_seconds = voice->samples_per_code() / rate;
  std::vector<int32_t> codes;
  for (int k = 0; k < int(2 / code_seconds); ++k) {
    const auto code = talk->next(cx, k < kReply ? reply[size_t(k)] : KeptRows{}, pick);
    if (!code) break;
    codes.push_back(*code);
  }
  lap("Talker", double(codes.size()) * code_seconds);
  const FrameNoise noise = [](int64_t frame, std::span<float> row) {
    std::mt19937 r(static_cast<uint32_t>(frame));
    std::normal_distribution<float> normal;
    for (float& v : row) v = normal(r);
  };
  const double sound = double(codes.size()) * code_seconds;
  const Tensor mel = voice->mel(cx, codes, voice->default_speaker(), noise, {});
  lap("flow: 10 points, guidance", sound);
  voice->mel(cx, codes, voice->default_speaker(), noise, {4, 0});
  lap("flow: 4 points, none", sound);
  voice->wave(cx, mel);
  lap("vocoder", sound);
  std::printf("peak memory is the weights' files + %.0f MB\n", peak_mb() - file_mb / 1.048576);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_speech: %s\n", e.what());
  return 1;
}
