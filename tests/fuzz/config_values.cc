// Numbers of checkpoints' configurations replaced by others, and each folder used: opened, shown
// pictures and sound, asked, or made to speak or transcribe. It answers, or there is an
// omni::Error; anything else ends the process, and the change is the last line of the output.
//   config_values EXECUTIONS SEED
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "decoding/sampler.h"
#include "models/checkpoint_copy.h"
#include "omni/audio.h"
#include "omni/checkpoint.h"
#include "omni/engine.h"
#include "omni/session.h"
#include "omni/transcriber.h"
#include "omni/video.h"
#include "qwen2_5_omni/config.h"
#include "qwen2_5_omni/voice.h"

namespace omni {
namespace {

using nlohmann::json;

constexpr unsigned kMostSeconds = 120;  // of one use, however slow the machine
// What a checkpoint's `omni` object may have and the fixtures' have not.
constexpr const char* kDefaults =
    R"({"context-duration": 2.0, "normaliser-window": 2.0, "max-tokens": 4})";

std::vector<float> tone(size_t n) {
  std::vector<float> samples(n);
  for (size_t i = 0; i < n; ++i) samples[i] = 0.3f * std::sin(0.05f * float(i));
  return samples;
}

void answer(const Engine& engine, bool hears) {
  const CheckpointDefaults& defaults = engine.defaults();
  SessionOptions options;
  options.system_prompt = "You watch.";
  options.context_duration = Nanoseconds(defaults.context_duration.value_or(0) * double(kSecond));
  options.settings.has_video = true, options.settings.has_audio = hears;
  const auto session = engine.make_session(options);
  const auto video = engine.make_video_tokenizer({});
  std::vector<uint8_t> rgb(64 * 48 * 3);
  for (size_t i = 0; i < rgb.size(); ++i) rgb[i] = uint8_t(i * 7);
  for (int i = 0; i < 4; ++i)
    if (auto s = video->push({PixelFormat::rgb,
                              64,
                              48,
                              {rgb.data(), nullptr, nullptr},
                              {192, 0, 0},
                              ColourMatrix::bt601,
                              false,
                              i * kSecond / 2}))
      session->put(std::move(*s));
  session->put(TrackEnded{Track::video});
  if (hears) {
    const auto audio = engine.make_audio_tokenizer({});
    audio->start(0);
    for (auto& s : audio->push(tone(size_t(2 * audio->sample_rate())))) session->put(std::move(s));
    for (auto& s : audio->finish()) session->put(std::move(s));
    session->put(TrackEnded{Track::audio});
  }
  const SamplingOptions sampling{.max_tokens = std::min(4, defaults.max_tokens.value_or(4))};
  ask_and_wait(*session, {"What?", sampling});
}

void transcribe(const Engine& engine) {
  for (const auto policy : {TranscriptionPolicy::align_att, TranscriptionPolicy::whole}) {
    const auto transcriber = engine.make_transcriber({.policy = policy, .voice_gate = false});
    transcriber->start(0);
    transcriber->push(tone(size_t(2 * transcriber->sample_rate())));
    transcriber->finish();
  }
}

void speak(const std::filesystem::path& folder) {
  const ModelOptions options{folder, Precision::float32};
  const qwen2_5_omni::TalkerVoice voice(options, Weights::open(folder),
                                        qwen2_5_omni::SpeechConfig::read(folder), {});
  ThreadPool pool(1);
  Arena arena;
  ops::Context cx{pool, arena};
  constexpr int kWidth = 40;  // of the fixture's rows
  Tensor rows = Tensor::zeros(DType::f32, {3, kWidth});
  std::fill_n(rows.f32(), rows.numel(), 0.1f);
  VoicePrompt prompt{{{rows}}, {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}}};
  const auto codes = voice.new_codes(std::move(prompt), voice.default_speaker());
  Sampler sampler(0);
  const PickCode pick = [&](ops::Context& on, const Tensor& logits,
                            std::span<const int32_t> history, std::span<const uint32_t> allowed) {
    return sampler.choose(on, logits, history, {.repetition_penalty = 1.05}, allowed);
  };
  const auto wave = voice.new_wave(
      cx, voice.default_speaker(),
      [](int64_t, std::span<float> frame) { std::fill(frame.begin(), frame.end(), 0.1f); },
      {.points = 2});
  for (int k = 0; k < 8; ++k)
    if (const auto code = codes->next(cx, k < 3 ? KeptRows{rows.rows(0, 1)} : KeptRows{}, pick))
      wave->push(cx, {&*code, 1});
  wave->finish(cx);
}

void use(const std::filesystem::path& folder, bool voice) {
  if (voice) return speak(folder);
  const auto engine = Engine::open({.model_path = folder.string(), .threads = 1});
  engine->transcribes() ? transcribe(*engine)
                        : answer(*engine, read_abilities(folder.string()).audio);
}

void numbers_of(const json& j, const json::json_pointer& at, std::vector<json::json_pointer>& out) {
  if (j.is_number()) out.push_back(at);
  if (j.is_object())
    for (const auto& [key, value] : j.items()) numbers_of(value, at / key, out);
  if (j.is_array())
    for (size_t i = 0; i < j.size(); ++i) numbers_of(j[i], at / i, out);
}

class Changes {
 public:
  explicit Changes(uint64_t seed) : random_(seed) {}

  // Replaces one or two numbers of one file, and says which.
  std::string apply(CheckpointCopy& copy, const std::string& file) {
    json j = copy.original(file);
    if (j.contains("omni")) j["omni"].update(json::parse(kDefaults));
    std::vector<json::json_pointer> places;
    numbers_of(j, {}, places);
    std::string said = file;
    for (size_t n = places.empty() ? 0 : 1 + below(2); n--;) {
      const auto& place = places[below(places.size())];
      j[place] = another(j[place]);
      said += " " + place.to_string() + " = " + j[place].dump();
    }
    copy.write(file, j.dump());
    return said;
  }
  size_t below(size_t n) { return random_() % n; }

 private:
  json another(const json& old) {
    static const json kValues = json::parse(
        "[0, 1, -1, 2, 3, 5, 7, 8, 16, 17, 255, 256, 1024, 65535, 65536, 1000003, 2147483647, "
        "-2147483648, 2147483648, 4294967295, 4294967296, 9223372036854775807, "
        "-9223372036854775808, 18446744073709551615, 0.5, 1e-6, -0.5, 1e-300, 1e9, 1e300, -1e300]");
    switch (below(4)) {
      case 0:
        return old.is_number_integer() ? json(old.get<int64_t>() + (below(2) ? 1 : -1))
                                       : json(old.get<double>() * 1.5);
      case 1:
        return old.is_number_integer() ? json(old.get<int64_t>() * 2) : json(-old.get<double>());
      default:
        return kValues[below(kValues.size())];
    }
  }

  std::mt19937_64 random_;
};

struct Fixture {
  const char* folder;
  bool voice;
  std::vector<const char*> files;
};

int run(long n, uint64_t seed) {
  const Fixture fixtures[] = {
      {"qwen2_5_omni/c", false, {"config.json", "generation_config.json", "processor_config.json"}},
      {"qwen2_5_omni/b", false, {"config.json"}},
      {"qwen2_5_vl/a", false, {"config.json", "processor_config.json"}},
      {"qwen2_vl/b",
       false,
       {"config.json", "generation_config.json", "preprocessor_config.json",
        "video_preprocessor_config.json"}},
      {"qwen3_vl/a", false, {"config.json", "processor_config.json"}},
      {"qwen3_vl/b",
       false,
       {"config.json", "preprocessor_config.json", "video_preprocessor_config.json"}},
      {"qwen3_vl_moe/a", false, {"config.json"}},
      {"qwen3_omni/b", false, {"config.json"}},
      {"quantized/awq", false, {"config.json"}},
      {"quantized/w4a16", false, {"config.json"}},
      {"whisper", false, {"config.json", "generation_config.json", "preprocessor_config.json"}},
      {"qwen2_5_omni/speech", true, {"config.json"}}};
  Changes changes(seed);
  long answered = 0;
  for (long i = 0; i < n; ++i) {
    const Fixture& f = fixtures[changes.below(std::size(fixtures))];
    CheckpointCopy copy(std::string(OMNI_SOURCE_DIR "/tests/fixtures/") + f.folder + "/checkpoint",
                        "config_values");
    const std::string change = changes.apply(copy, f.files[changes.below(f.files.size())]);
    std::printf("%s: %s\n", f.folder, change.c_str());
    std::fflush(stdout);
    ::alarm(kMostSeconds);
    try {
      use(copy.folder(), f.voice);
      ++answered;
    } catch (const Error& e) {
      std::printf("  %s\n", e.what());
    }
    ::alarm(0);
  }
  std::printf("%ld executions with seed %lu, %ld answered\n", n, static_cast<unsigned long>(seed),
              answered);
  return 0;
}

}  // namespace
}  // namespace omni

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return omni::run(std::strtol(argv[1], nullptr, 10), std::strtoull(argv[2], nullptr, 10));
}
