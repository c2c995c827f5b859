// Mel frames → samples: transposed convolutions, behind each the mean of some residual blocks.
// (modeling_qwen2_5_omni.py, Qwen2_5OmniToken2WavBigVGANModel, AMPBlock)
#include "qwen2_5_omni/bigvgan.h"

#include <algorithm>
#include <cmath>

namespace omni::qwen2_5_omni {

namespace {

constexpr int64_t kLeastFrames = 64;

// A sinc of cutoff 1/4 in a Kaiser window, 12 taps; not in the checkpoint. (kaiser_sinc_filter1d)
Tensor kaiser_sinc_filter() {
  constexpr int n = 12;
  constexpr double cutoff = 0.25, half_width = 0.3;
  const double attenuation = 2.285 * (n / 2 - 1) * M_PI * 4 * half_width + 7.95,
               beta = 0.1102 * (attenuation - 8.7);
  std::array<double, n> f;
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    const double u = 2.0 * i / (n - 1) - 1,
                 window = std::cyl_bessel_i(0, beta * std::sqrt(std::max(0.0, 1 - u * u))) /
                          std::cyl_bessel_i(0, beta);
    const double x = 2 * cutoff * (i - n / 2 + 0.5) * M_PI;
    sum += f[size_t(i)] = 2 * cutoff * window * std::sin(x) / x;
  }
  Tensor out = Tensor::zeros(DType::f32, {n});  // [12]
  for (int i = 0; i < n; ++i) out.f32()[i] = float(f[size_t(i)] / sum);
  return out;
}

}  // namespace

BigVgan::Snake BigVgan::snake(const Weights& w, int64_t channels) {
  // stored as logarithms, [channels] each
  Snake s{w.get_f32("act.alpha", {channels}), w.get_f32("act.beta", {channels})};
  for (int64_t k = 0; k < channels; ++k) {
    s.alpha.f32()[k] = std::exp(s.alpha.f32()[k]);
    s.beta_reciprocal.f32()[k] = 1.f / (std::exp(s.beta_reciprocal.f32()[k]) + 1e-9f);
  }
  return {to_device(s.alpha, w.device()), to_device(s.beta_reciprocal, w.device())};
}

BigVgan::BigVgan(const Weights& w, const BigVganConfig& c)
    : device_(w.device()), config_(c), filter_(to_device(kaiser_sinc_filter(), w.device())) {
  int64_t channels = c.upsample_initial_channel;
  conv_pre_ = Conv1d(w.scope("conv_pre"), c.mel_dim, channels, {.kernel = 7}, Bias::each);
  for (size_t i = 0; i < c.upsample_rates.size(); ++i) {
    const Weights u = w.scope("ups").scope(int64_t(i)).scope(0);
    const int kernel = c.upsample_kernel_sizes[i];
    // [channels, channels / 2, kernel]
    const Tensor stored = u.get_f32("weight", {channels, channels / 2, kernel});
    // [kernel · channels / 2, channels]
    Tensor by_tap = Tensor::zeros(DType::f32, {kernel * (channels / 2), channels});
    for (int64_t in = 0; in < channels; ++in)
      for (int64_t out = 0; out < channels / 2; ++out)
        for (int64_t t = 0; t < kernel; ++t)
          by_tap.f32()[(t * (channels / 2) + out) * channels + in] =
              stored.f32()[(in * (channels / 2) + out) * kernel + t];
    channels /= 2;
    Upsampling up{pack(w, by_tap), u.load_f32("bias", {channels}), kernel, c.upsample_rates[i], {}};
    for (size_t k = 0; k < c.resblock_kernel_sizes.size(); ++k) {
      const Weights b = w.scope("resblocks").scope(int64_t(i * c.resblock_kernel_sizes.size() + k));
      AmpBlock block;
      const int size = c.resblock_kernel_sizes[k];
      for (size_t d = 0; d < c.resblock_dilation_sizes[k].size(); ++d) {
        const int dilation = c.resblock_dilation_sizes[k][d];
        block.convs1.push_back(Conv1d(b.scope("convs1").scope(int64_t(d)), channels, channels,
                                      {.kernel = size, .dilation = dilation}, Bias::each));
        block.convs2.push_back(Conv1d(b.scope("convs2").scope(int64_t(d)), channels, channels,
                                      {.kernel = size}, Bias::each));
      }
      for (size_t a = 0; a < 2 * block.convs1.size(); ++a)
        block.activations.push_back(snake(b.scope("activations").scope(int64_t(a)), channels));
      up.blocks.push_back(std::move(block));
    }
    ups_.push_back(std::move(up));
  }
  activation_post_ = snake(w.scope("activation_post"), channels);
  conv_post_ = Conv1d(w.scope("conv_post"), channels, 1, {.kernel = 7}, Bias::none);
}

int BigVgan::samples_per_frame() const {
  int n = 1;
  for (const int r : config_.upsample_rates) n *= r;
  return n;
}

int64_t BigVgan::receptive_frames() const {
  constexpr int64_t kActivation = 6;  // both filters
  int64_t reach = 3 + kActivation;    // conv_post, activation_post
  for (size_t i = config_.upsample_rates.size(); i-- > 0;) {
    int64_t widest = 0;
    for (size_t k = 0; k < config_.resblock_kernel_sizes.size(); ++k) {
      int64_t block = 0;
      for (const int dilation : config_.resblock_dilation_sizes[k])
        block += config_.resblock_kernel_sizes[k] / 2 * (dilation + 1) + 2 * kActivation;
      widest = std::max(widest, block);
    }
    reach = (reach + widest + config_.upsample_kernel_sizes[i]) / config_.upsample_rates[i] + 1;
  }
  return reach + 3;  // conv_pre
}

std::vector<float> BigVgan::forward(ops::Context& cx, const Tensor& mel) const {
  Arena::Scope scope(cx.arena);
  // Log amplitude → dB, from −115 to 0 dB onto ±1.
  constexpr float kLowest = -115;
  const float floor = std::exp(float(double(kLowest) / 20 * std::log(10.0)));
  Tensor loudness = Tensor::zeros(DType::f32, mel.shape());  // [frames, mel_dim]
  for (int64_t i = 0; i < mel.numel(); ++i) {
    const float db = 20 * std::log10(std::max(std::exp(mel.f32()[i]), floor)) - 20;
    loudness.f32()[i] = std::clamp(2 * ((db - kLowest) / -kLowest) - 1, -1.f, 1.f);
  }
  const Tensor inputs[] = {loudness};
  const Tensor x =  // [samples, 1]
      recorded_(cx, inputs, 0, [&](ops::Context& inner, std::span<const Tensor> in) {
        return Recorded::Tensors{samples(inner, in[0])};
      })[0];
  std::vector<float> room;
  const auto samples = ops::to_host(cx, x, room);
  std::vector<float> wave(samples.begin(), samples.end());
  for (float& v : wave) v = std::clamp(v, -1.f, 1.f);
  return wave;
}

int64_t BigVgan::preferred_frames(int64_t n) const {
  if (!device_) return n;
  int64_t preferred = kLeastFrames;
  while (preferred < n) preferred *= 2;
  return preferred;
}

Tensor BigVgan::samples(ops::Context& cx, const Tensor& loudness) const {
  const bool recurs = preferred_frames(loudness.dim(0)) == loudness.dim(0);
  Tensor x = conv_pre_(cx, loudness, recurs);  // [frames, channels]
  for (const Upsampling& u : ups_) x = amplitudes(cx, x, u, recurs);
  return conv_post_(cx, activate(cx, x, activation_post_), recurs);
}

// x [n, channels] → [n · stride, channels / 2]
Tensor BigVgan::amplitudes(ops::Context& cx, const Tensor& input, const Upsampling& u,
                           bool recurs) const {
  const Tensor x = ops::conv_transpose1d(cx, input, *u.weight, u.bias, u.kernel, u.stride,
                                         (u.kernel - u.stride) / 2);
  Tensor sum = cx.arena.f32(x.shape());  // as x
  for (const AmpBlock& b : u.blocks) {
    Arena::Scope inner(cx.arena);
    Tensor h = ops::clone(cx, x);  // as x
    for (size_t d = 0; d < b.convs1.size(); ++d) {
      Arena::Scope step(cx.arena);
      // as x
      const Tensor first = b.convs1[d](cx, activate(cx, h, b.activations[2 * d]), recurs);
      ops::add_(cx, h, b.convs2[d](cx, activate(cx, first, b.activations[2 * d + 1]), recurs));
    }
    if (&b == &u.blocks.front())
      ops::copy_(cx, sum, h);
    else
      ops::add_(cx, sum, h);
  }
  ops::div_(cx, sum, float(u.blocks.size()));
  return sum;
}

}  // namespace omni::qwen2_5_omni
