#include "bench/gpu/bench.h"

#include <cstdio>
#include <cstring>

#include "bench/precision.h"
#include "core/cpu_level.h"
#include "engine/devices.h"
#include "io/weights.h"
#include "models/registry.h"

namespace omni::bench {

namespace {

constexpr double kInt8 = 1.004, kInt4 = 0.5 + 2.5 / 64;  // bytes a value, scales and zeros counted

Precision default_precision(const std::filesystem::path& folder, const Device* device) {
  const bool multiplies = device || cpu_has_bf16();
  return multiplies && Weights::open(folder).stored_dtype() != DType::f32 ? Precision::bfloat16
                                                                          : Precision::float32;
}

// Nothing is timed on zeros, which some things are faster with.
Tensor noise(DType dtype, Shape shape) {
  Tensor x = Tensor::zeros(dtype, shape);
  uint32_t state = 1;
  for (int64_t i = 0; i < x.numel(); ++i) {
    state = state * 1664525u + 1013904223u;
    const float value = float(int32_t(state)) * 0x1p-31f;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (dtype == DType::bf16)
      static_cast<uint16_t*>(x.raw())[i] = uint16_t(bits >> 16);
    else
      static_cast<float*>(x.raw())[i] = value;
  }
  return x;
}

double copy_rate(Bench& bench) {
  const size_t bytes = bench.sizes().copy_bytes;
  const auto n = int64_t(bytes / sizeof(float));
  Computation c(bench);
  const Tensor from = to_device(noise(DType::f32, {n}), bench.device());
  Tensor to = Tensor::on(bench.device(), DType::f32, {n});
  constexpr int kCopies = 4;
  const double time = median_seconds(bench.sizes().repeats, [&] {
    for (int i = 0; i < kCopies; ++i)
      if (c.arena.device())
        c.arena.queue().copy(to.raw(), from.raw(), bytes);
      else
        std::memcpy(to.raw(), from.raw(), bytes);
    c.wait();
  });
  return kCopies * 2.0 * double(bytes) / time;
}

// Through the product that a forward of many rows uses.
double product_rate(Bench& bench) {
  const int64_t n = bench.sizes().matrix;
  const Matrix weight(noise(DType::bf16, {n, n}));
  const auto packed = ops::pack_linear({&weight, 1}, ops::MatmulPrecision::bf16, bench.device());
  const Tensor x = to_device(noise(ops::operand_of(*packed), {n, n}), bench.device());
  Computation c(bench);
  const double time = median_seconds(bench.sizes().repeats, [&] {
    Arena::Scope scope(c.arena);
    ops::linear(c.cx, x, *packed, {});
    c.wait();
  });
  return 2.0 * double(n) * double(n) * double(n) / time;
}

}  // namespace

Sizes Sizes::small() {
  Sizes s;
  s.repeats = 1;
  s.copy_bytes = 1 << 16;
  s.matrix = 64;
  s.prompts = {4, 16};
  s.decodes = {{1, 8}, {3, 8}};
  s.steps = 3;
  s.pictures = {{56, 56}};
  s.codes = 8;
  s.context = 16;
  s.video = {64, 64};
  s.answer_tokens = 3;
  s.speech_seconds = .2;
  s.streams = {2};
  s.transcribed = {2};
  s.stream_video = {56, 56};
  s.media_seconds = 2;
  return s;
}

Bench::Bench(std::filesystem::path folder, const std::string& device, Sizes sizes)
    : folder_(std::move(folder)),
      device_name_(device),
      device_(open_device(device)),
      precision_(asked_precision(default_precision(folder_, device_))),
      sizes_(std::move(sizes)) {}

const Rates& Bench::rates() {
  if (!rates_) rates_ = Rates{copy_rate(*this), product_rate(*this)};
  return *rates_;
}

const Family& Bench::family() {
  if (family_) return *family_;
  const double begin = seconds();
  family_ = load_family({folder_, precision_, device_, {&pool_, nullptr}}, {});
  std::printf("%-34s %9.2f s\n", "loaded in", seconds() - begin);
  return *family_;
}

TextWork text_work(const std::filesystem::path& folder, Precision precision) {
  const Weights weights = Weights::open(folder);
  const bool dense = weights.quantization().empty();
  struct Part {
    double bytes = 0, values = 0;
  } layers, head, embedding;
  weights.for_each([&](const std::string& name, const Tensor& t) {
    const auto says = [&](const char* what) { return name.find(what) != std::string::npos; };
    if (says("visual") || says("audio_tower") || says("talker") || says("token2wav")) return;
    Part& part = says("layers.") ? layers : says("embed_tokens") ? embedding : head;
    part.bytes += double(t.nbytes());
    part.values += t.rank() == 2 ? double(t.numel()) : 0;
  });
  if (head.values == 0) head = embedding;  // tied
  TextWork work{layers.bytes + head.bytes, dense ? layers.values + head.values : 0};
  if (!dense) return work;
  switch (precision) {
    case Precision::automatic:
    case Precision::float32:
      break;
    case Precision::bfloat16:
      work.bytes = 2 * work.values;
      break;
    case Precision::int8:
      work.bytes = kInt8 * work.values;
      break;
    case Precision::int4:
      work.bytes = kInt4 * layers.values + kInt8 * head.values;
      break;
  }
  return work;
}

void measure_floors(Bench& bench) {
  const Rates& r = bench.rates();
  std::printf("%-34s %9.2f TB/s   (bytes read + written)\n", "copy inside the device",
              r.copy / 1e12);
  std::printf("%-34s %9.1f TFLOP/s   (%lld³, bfloat16)\n", "product", r.product / 1e12,
              static_cast<long long>(bench.sizes().matrix));
}

}  // namespace omni::bench
