// Talker, flow and vocoder.
#include <cstdio>
#include <random>

#include "bench/gpu/bench.h"
#include "decoding/sampler.h"
#include "models/registry.h"

namespace omni::bench {

namespace {

constexpr int kPromptRows = 64, kReplyRows = 16;

// [n, width] where the voice is
Tensor random_rows(const Voice& voice, int64_t n) {
  Tensor rows = Tensor::zeros(DType::f32, {n, voice.row_width()});
  std::mt19937 random(1);
  for (int64_t i = 0; i < rows.numel(); ++i) rows.f32()[i] = float(random() % 1000) / 1000 - .5f;
  return to_device(rows, voice.device());
}

VoicePrompt some_prompt(const Voice& voice) {
  VoicePrompt prompt{{{random_rows(voice, kPromptRows)}}, {}};
  for (int32_t i = 0; i < kPromptRows; ++i) prompt.positions.push_back({i, i, i});
  return prompt;
}

// Seconds of every code, the first with the prompt; fewer than asked for where the Talker ends.
std::vector<double> measure_codes(Bench& bench, const Voice& voice) {
  Computation c(bench);
  const Tensor reply = random_rows(voice, kReplyRows);
  const auto stream = voice.new_codes(some_prompt(voice), voice.default_speaker());
  Sampler sampler(1);
  const SamplingOptions published{
      .temperature = .9, .top_p = .8, .top_k = 40, .repetition_penalty = 1.05};
  const PickCode pick = [&](ops::Context& cx, const Tensor& logits,
                            std::span<const int32_t> history, std::span<const uint32_t> allowed) {
    return sampler.choose(cx, logits, history, published, allowed);
  };
  std::vector<double> times;
  for (int k = 0; k < bench.sizes().codes; ++k) {
    const KeptRows row = k < kReplyRows ? KeptRows{reply.rows(k, k + 1)} : KeptRows{};
    const double begin = seconds();
    const bool ended = !stream->next(c.cx, row, pick);
    times.push_back(seconds() - begin);
    if (ended) break;
  }
  return times;
}

FrameNoise gaussian() {
  return [](int64_t frame, std::span<float> row) {
    std::mt19937 random(uint32_t(frame) + 1);
    std::normal_distribution<float> normal;
    for (float& x : row) x = normal(random);
  };
}

void measure_wave(Bench& bench, const Voice& voice, const FlowSettings& settings) {
  Computation c(bench);
  std::mt19937 random(1);
  const double rate = voice.sample_rate();
  for (const bool warm : {false, true}) {
    const auto stream = voice.new_wave(c.cx, voice.default_speaker(), gaussian(), settings);
    const double begin = seconds();
    double first = 0;
    int codes_before = 0;
    size_t n_samples = 0;
    const auto add = [&](const std::vector<float>& samples, int n_codes) {
      if (n_samples == 0 && !samples.empty()) first = seconds() - begin, codes_before = n_codes;
      n_samples += samples.size();
    };
    for (int k = 0; k < bench.sizes().codes; k += 2) {
      const int32_t two[] = {int32_t(random() % 1000), int32_t(random() % 1000)};
      add(stream->push(c.cx, two), k + 2);
    }
    add(stream->finish(c.cx), bench.sizes().codes);
    const double all = seconds() - begin, sound = double(n_samples) / rate;
    if (warm)
      std::printf(
          "flow %d points, guidance %.1f, and vocoder: %.3f × real time; first piece after %d "
          "codes, %.1f ms\n",
          settings.points, double(settings.guidance), all / sound, codes_before, 1e3 * first);
    std::fflush(stdout);
  }
}

}  // namespace

void measure_speech(Bench& bench) {
  const Family& family = bench.family();
  if (!family.load_voice || !std::filesystem::exists(bench.folder() / "spk_dict.pt"))
    throw Error(ErrorCode::unsupported, "the checkpoint has no voice");
  const double begin = seconds();
  const auto voice = family.load_voice(
      {bench.folder(), bench.precision(), bench.device(), {&bench.pool(), nullptr}}, {});
  std::printf("%-34s %9.2f s\n", "voice loaded in", seconds() - begin);
  measure_codes(bench, *voice);
  const std::vector<double> codes = measure_codes(bench, *voice);
  const double code = median(codes),
               sound = double(voice->samples_per_code()) / voice->sample_rate();
  std::printf("talker: first code %.2f ms, then %.3f ms each (%.3f × real time), %zu codes\n",
              1e3 * codes.front(), 1e3 * code, code / sound, codes.size());
  measure_wave(bench, *voice, {10, .5f});
  measure_wave(bench, *voice, {4, 0});
}

}  // namespace omni::bench
