#include "vad/silero_vad.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/safetensors.h"
#include "vad/silero_vad_weights.h"

namespace omni {

namespace {

constexpr int kFft = 256, kHop = 128, kPad = 64;  // samples; kPad reflected behind the window
constexpr int kBins = kFft / 2 + 1;
constexpr int kFrames = (SileroVad::kContext + SileroVad::kWindow + kPad - kFft) / kHop + 1;

void relu_(Tensor& x) {
  for (float& v : std::span(x.f32(), size_t(x.numel()))) v = std::max(v, 0.f);
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// torch.nn.LSTMCell behind its products. gates: [1, 4 · kHidden]
void lstm_cell(const float* gates, SileroVad::State& state) {
  constexpr int n = SileroVad::kHidden;
  for (int i = 0; i < n; ++i) {
    const float in = sigmoid(gates[i]), forget = sigmoid(gates[n + i]),
                cell = std::tanh(gates[2 * n + i]), out = sigmoid(gates[3 * n + i]);
    state.c[size_t(i)] = forget * state.c[size_t(i)] + in * cell;
    state.h[size_t(i)] = out * std::tanh(state.c[size_t(i)]);
  }
}

// weight_ih ‖ weight_hh and bias_ih + bias_hh: one product of x ‖ h.
Linear gates_of(const Weights& w) {
  constexpr int n = SileroVad::kHidden;
  const Tensor ih = w.get_f32("weight_ih", {4 * n, n}), hh = w.get_f32("weight_hh", {4 * n, n}),
               bias_hh = w.get_f32("bias_hh", {4 * n});
  Tensor weight = Tensor::zeros(DType::f32, {4 * n, 2 * n});
  for (int64_t row = 0; row < 4 * n; ++row) {
    std::memcpy(weight.f32() + row * 2 * n, ih.f32() + row * n, n * sizeof(float));
    std::memcpy(weight.f32() + row * 2 * n + n, hh.f32() + row * n, n * sizeof(float));
  }
  Tensor bias = w.get_f32("bias_ih", {4 * n});
  for (int64_t i = 0; i < 4 * n; ++i) bias.f32()[i] += bias_hh.f32()[i];
  return {weight, bias, w};
}

}  // namespace

std::shared_ptr<const SileroVad> SileroVad::shared() {
  static const auto vad = std::make_shared<const SileroVad>(
      Weights::of(Safetensors::of(silero_vad_weights(), "silero-vad")));
  return vad;
}

SileroVad::SileroVad(const Weights& w)
    : stft_conv_(w, {{"stft_conv", 2 * kBins}}, kFft, Bias::none),
      conv1_(w.scope("conv1"), kBins, 128, {.kernel = 3}, Bias::each),
      conv2_(w.scope("conv2"), 128, 64, {.kernel = 3, .stride = 2}, Bias::each),
      conv3_(w.scope("conv3"), 64, 64, {.kernel = 3, .stride = 2}, Bias::each),
      conv4_(w.scope("conv4"), 64, kHidden, {.kernel = 3}, Bias::each),
      lstm_cell_(gates_of(w.scope("lstm_cell"))),
      final_conv_(w, {{"final_conv", 1}}, kHidden, Bias::each) {}

// The magnitudes of the frames of a window behind its context: [kFrames, kBins]
Tensor SileroVad::features(ops::Context& cx, std::span<const float, kWindow> window,
                           const State& state) const {
  constexpr int n = kContext + kWindow;
  std::array<float, n + kPad> samples;
  std::copy(state.context.begin(), state.context.end(), samples.begin());
  std::copy(window.begin(), window.end(), samples.begin() + kContext);
  for (int i = 0; i < kPad; ++i) samples[size_t(n + i)] = samples[size_t(n - 2 - i)];
  Tensor frames = cx.arena.f32({kFrames, kFft});
  for (int f = 0; f < kFrames; ++f)
    std::copy_n(samples.begin() + f * kHop, kFft, frames.f32() + f * kFft);
  const Tensor complex = stft_conv_(cx, frames);  // [kFrames, 2 · kBins]
  Tensor magnitudes = cx.arena.f32({kFrames, kBins});
  for (int f = 0; f < kFrames; ++f)
    for (int k = 0; k < kBins; ++k) {
      const float* row = complex.f32() + f * 2 * kBins;
      const float re = row[k], im = row[kBins + k];
      magnitudes.f32()[f * kBins + k] = std::sqrt(re * re + im * im);
    }
  return magnitudes;
}

float SileroVad::operator()(ops::Context& cx, std::span<const float, kWindow> window,
                            State& state) const {
  Arena::Scope scope(cx.arena);
  Tensor x = features(cx, window, state);  // [4, 129]
  for (const Conv1d* conv : {&conv1_, &conv2_, &conv3_, &conv4_}) {
    x = (*conv)(cx, x);  // [4, 128] → [2, 64] → [1, 64] → [1, 128]
    relu_(x);
  }
  Tensor xh = cx.arena.f32({1, 2 * kHidden});
  std::copy_n(x.f32(), kHidden, xh.f32());
  std::copy(state.h.begin(), state.h.end(), xh.f32() + kHidden);
  lstm_cell(lstm_cell_(cx, xh).f32(), state);
  std::copy(window.end() - kContext, window.end(), state.context.begin());
  Tensor h = cx.arena.f32({1, kHidden});
  std::copy(state.h.begin(), state.h.end(), h.f32());
  relu_(h);
  return sigmoid(final_conv_(cx, h).f32()[0]);
}

}  // namespace omni
