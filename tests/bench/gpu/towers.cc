// What turns pictures and sound into rows, and Whisper's two halves.
#include <cstdio>

#include "bench/gpu/bench.h"

namespace omni::bench {

namespace {

Tensor filled(Bench& bench, Shape shape) {
  Tensor x = Tensor::zeros(DType::f32, shape);
  for (int64_t i = 0; i < x.numel(); ++i) x.f32()[i] = float(i % 251) / 125 - 1;
  return to_device(x, bench.device());
}

}  // namespace

void measure_vision(Bench& bench) {
  const auto& vision = bench.family().vision;
  if (!vision) throw Error(ErrorCode::unsupported, "the checkpoint takes no pictures");
  Computation c(bench);
  for (const PictureSize size : bench.sizes().pictures) {
    const int64_t area = int64_t{size.width} * size.height;
    const ImagePlan plan = vision->plan(size, {area, area});
    const Tensor patches = filled(bench, {int64_t{plan.grid_h} * plan.grid_w, plan.patch_size});
    const double time = median_seconds(bench.sizes().repeats, [&] {
      Arena::Scope scope(c.arena);
      vision->encode(c.cx, patches, plan);
      c.wait();
    });
    std::printf("vision %d×%d: %9.2f ms   (%d tokens of %d patches)\n", size.width, size.height,
                1e3 * time, plan.tokens_h * plan.tokens_w, plan.grid_h * plan.grid_w);
    std::fflush(stdout);
  }
}

void measure_audio(Bench& bench) {
  const auto& audio = bench.family().audio;
  if (!audio) throw Error(ErrorCode::unsupported, "the checkpoint takes no sound");
  Computation c(bench);
  const Tensor mel = filled(bench, {audio->spec().unit_frames, audio->spec().n_mels});
  const double time = median_seconds(bench.sizes().repeats, [&] {
    Arena::Scope scope(c.arena);
    audio->encode(c.cx, mel);
    c.wait();
  });
  std::printf("audio %.1f s: %9.2f ms\n", audio->spec().unit_frames / 100.0, 1e3 * time);
}

void measure_whisper(Bench& bench) {
  const auto& whisper = bench.family().recogniser;
  if (!whisper) throw Error(ErrorCode::unsupported, "the checkpoint is no recogniser");
  Computation c(bench);
  const int64_t frames = int64_t{whisper->max_states()} * whisper->mel_frames_per_state();
  Tensor mel = Tensor::zeros(DType::f32, {frames, whisper->n_mels()});
  for (int64_t i = 0; i < mel.numel(); ++i) mel.f32()[i] = float(i % 251) / 125 - 1;
  EncodedAudio audio;
  const double encode = median_seconds(bench.sizes().repeats, [&] {
    Arena::Scope scope(c.arena);
    audio = whisper->encode(c.cx, mel);
    c.wait();
  });
  std::printf("whisper, window of %.1f s: %9.2f ms\n",
              whisper->max_states() * whisper->seconds_per_state(), 1e3 * encode);
  const auto sequence = whisper->new_sequence();
  std::vector<double> steps;
  const int n_steps = std::min(bench.sizes().steps, whisper->max_tokens() - 1);
  for (int i = 0; i < n_steps; ++i) {
    Arena::Scope scope(c.arena);
    const int32_t id = i == 0 ? whisper->tokens().start_of_transcript : 100 + i;
    const double begin = seconds();
    std::vector<float> room;
    ops::to_host(c.cx, whisper->decode(c.cx, {&id, 1}, audio, *sequence, nullptr), room);
    steps.push_back(seconds() - begin);
  }
  std::printf("whisper, step of the decoder: %9.3f ms   (logits on the host)\n",
              1e3 * median(steps));
}

}  // namespace omni::bench
