// bench_decode FOLDER [prompt tokens] [answer tokens]: load time, memory, prefill and decode speed
// of a checkpoint's text model, and its towers; with 0 prompt tokens load time and memory alone.
// OMNI_CACHE names a folder for quantized weights; without it none are kept. tools/bench makes the
// checkpoint and prints a peer beside it.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "bench/precision.h"
#include "core/cpu_level.h"
#include "decoding/token_mask.h"
#include "grammar/json_schema.h"
#include "interface/lone_sequence.h"
#include "io/quantize_cache.h"
#include "models/registry.h"
#include "omni/checkpoint.h"
#include "session/answer_schema.h"

using namespace omni;

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Body>
double median_seconds(int repeats, const Body& body) {
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const double begin = seconds();
    body();
    times.push_back(seconds() - begin);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// Highest resident memory so far, in MB.
double peak_mb() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return double(u.ru_maxrss) * 1024 / 1e6;
}

// What omni-info says that the weights need on the host.
double told_mb(const std::filesystem::path& folder, Precision precision) {
  const CheckpointInfo info = read_checkpoint(folder.string());
  for (const auto& need : info.needs)
    if (need.precision == precision || need.precision == Precision::automatic)
      return double(need.bytes - need.in_file) / 1e6;
  return 0;
}

// A still picture, or a pair of frames, of one colour.
double encode_seconds(const VisionEncoder& vision, ops::Context& cx, PictureSize source,
                      PixelLimits limits) {
  const ImagePlan plan = vision.plan(source, limits);
  return median_seconds(1, [&] {
    Arena::Scope scope(cx.arena);
    Tensor patches = cx.arena.f32({int64_t{plan.grid_h} * plan.grid_w, plan.patch_size});
    std::fill_n(patches.f32(), patches.numel(), 0.1f);
    vision.encode(cx, patches, plan);
  });
}

void time_vision(const VisionEncoder& vision, ops::Context& cx) {
  constexpr PictureSize kPicture{448, 448}, kFrame{720, 1280};
  constexpr int64_t kPixels = 448 * 448;
  const double picture = encode_seconds(vision, cx, kPicture, {kPixels, kPixels});
  std::printf("vision  448x448 %8.3f s\n", picture);
  const VisionSpec& spec = vision.spec();
  if (spec.video.max == 0) return;
  const double rate = spec.frame_rate.value_or(Rational{2, 1}).value();
  const int pairs = std::max(1, int(2 * rate / spec.temporal_patch));
  const ImagePlan plan = vision.plan(kFrame, spec.video);
  double video = 0;
  for (int i = 0; i < pairs; ++i) video += encode_seconds(vision, cx, kFrame, spec.video);
  std::printf("video   2 s     %8.3f s    of 1280x720 at %g fps: %d times %d tokens\n", video, rate,
              pairs, plan.tokens_h * plan.tokens_w);
}

// What json-schema=boxes adds to a step of so many seconds: random answers of 200 tokens, the first
// of which meets every state for the first time.
void time_masks(const Prompter& prompter, double step) {
  const BpeTokenizer& t = prompter.tokenizer();
  auto table = std::make_shared<TokenTable>(t.n_tokens(), [&](int32_t id) {
    return t.is_special(id) ? std::string() : t.token_bytes(id);
  });
  TokenMask mask(grammar_of_json_schema(answer_schema("boxes", prompter.coordinates())), table, {});
  std::mt19937 random(1);
  std::vector<float> logits(static_cast<size_t>(t.n_tokens()));
  for (int answer = 0; answer < 3; ++answer) {
    mask.begin(200);
    std::vector<double> costs;
    while (costs.size() < 190 && !mask.is_finished()) {
      for (float& x : logits) x = float(random() % 1000);
      const double start = seconds();
      mask.apply(logits);
      costs.push_back(seconds() - start);
      const auto id = int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
      mask.accept(id, t.token_bytes(id));
    }
    double sum = 0;
    for (const double c : costs) sum += c;
    std::sort(costs.begin(), costs.end());
    std::printf(
        "mask %d  %6d   %8.3f ms a token, median %.3f, most %.1f  (%.1f %% of a decode step)\n",
        answer, t.n_tokens(), 1e3 * sum / double(costs.size()), 1e3 * costs[costs.size() / 2],
        1e3 * costs.back(), 100 * sum / double(costs.size()) / step);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2)
    return std::fprintf(stderr, "usage: bench_decode FOLDER [prompt tokens] [answer tokens]\n"), 2;
  const std::filesystem::path folder = argv[1];
  const int n_prompt = argc > 2 ? std::atoi(argv[2]) : 128,
            n_answer = argc > 3 ? std::atoi(argv[3]) : 32;
  const int threads = std::getenv("OMNI_THREADS") ? std::atoi(std::getenv("OMNI_THREADS")) : 0;
  double file_mb = 0;
  for (const auto& f : std::filesystem::directory_iterator(folder))
    if (f.path().extension() == ".safetensors") file_mb += double(f.file_size()) / 1e6;

  const double begin = seconds();
  const auto precision = asked_precision(cpu_has_bf16() ? Precision::bfloat16 : Precision::float32);
  ThreadPool pool(threads);
  std::shared_ptr<QuantizeCache> cache;
  if (const char* kept = std::getenv("OMNI_CACHE")) cache = std::make_shared<QuantizeCache>(kept);
  const Family family = load_family({folder, precision, nullptr, {&pool, cache}}, {});
  const TextModel& text = *family.text;
  const double loaded = seconds() - begin;
  std::printf("load            %8.1f s    %.0f MB of files, peak memory %.0f MB", loaded, file_mb,
              peak_mb());
  if (cache) std::printf("; %d matrices quantized, %d found", cache->n_made(), cache->n_found());
  std::printf("\n");
  if (n_prompt == 0) return 0;

  Arena arena;
  ops::Context cx{pool, arena};
  LoneSequence sequence(text);
  std::vector<int32_t> ids(static_cast<size_t>(n_prompt));
  std::vector<Position> positions(ids.size());
  for (int i = 0; i < n_prompt; ++i)
    ids[size_t(i)] = 100 + i % 1000, positions[size_t(i)] = {i, i, i};
  const double prefill = median_seconds(3, [&] {
    Arena::Scope scope(arena);
    sequence.state.truncate(0);
    sequence.forward(text, cx, text.embed(cx, ids), positions);
  });
  std::printf("prefill %5d   %8.1f tokens/s\n", n_prompt, n_prompt / prefill);
  std::vector<double> steps;
  for (int i = 0; i < n_answer; ++i) {
    const int32_t id = 200 + i, at = n_prompt + i;
    const Position p{at, at, at};
    const double t = seconds();
    Arena::Scope scope(arena);
    text.logits(cx, sequence.forward(text, cx, text.embed(cx, {&id, 1}), {&p, 1}));
    steps.push_back(seconds() - t);
  }
  std::sort(steps.begin(), steps.end());
  std::printf("decode  %5d   %8.2f tokens/s  (median step %.2f ms)\n", n_answer,
              1 / steps[steps.size() / 2], 1e3 * steps[steps.size() / 2]);

  if (family.prompter->coordinates() != Coordinates::thousandths_markup)
    time_masks(*family.prompter, steps[steps.size() / 2]);
  if (family.vision) time_vision(*family.vision, cx);
  if (family.audio) {
    const double audio = median_seconds(3, [&] {
      Arena::Scope scope(arena);
      const AudioSpec& spec = family.audio->spec();
      Tensor mel = arena.f32({spec.unit_frames, spec.n_mels});
      std::fill_n(mel.f32(), mel.numel(), 0.1f);
      family.audio->encode(cx, mel);
    });
    std::printf("audio   %.0f s     %8.3f s\n", family.audio->spec().unit_frames / 100.0, audio);
  }
  const double peak = peak_mb();
  std::printf(
      "peak memory     %8.0f MB   (%.3f of the files, %.3f of what omni-info says of the "
      "weights)\n",
      peak, peak / file_mb, peak / told_mb(folder, precision));
  return 0;
} catch (const Error& e) {
  std::fprintf(stderr, "bench_decode: %s\n", e.what());
  return 1;
}
