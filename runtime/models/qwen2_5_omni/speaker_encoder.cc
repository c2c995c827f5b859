// On the host, once an utterance. (modeling_qwen2_5_omni.py, ECAPA_TimeDelayNet)
#include "qwen2_5_omni/speaker_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace omni::qwen2_5_omni {

namespace {

Conv1d conv(const Weights& w, int64_t c_in, int64_t c_out, int kernel = 1, int dilation = 1) {
  return {w,
          c_in,
          c_out,
          {.kernel = kernel, .dilation = dilation, .padding = ops::Padding::reflect},
          Bias::each};
}

Tensor relu(Tensor x) {
  for (int64_t i = 0; i < x.numel(); ++i) x.f32()[i] = std::max(0.f, x.f32()[i]);
  return x;
}

// Columns [begin, begin + width) of x.
Tensor columns(ops::Context& cx, const Tensor& x, int64_t begin, int64_t width) {
  Tensor y = cx.arena.f32({x.dim(0), width});  // [n, width]
  for (int64_t i = 0; i < x.dim(0); ++i)
    std::memcpy(y.f32() + i * width, x.f32() + i * x.dim(1) + begin, size_t(width) * 4);
  return y;
}

// Columns [begin, begin + width of x) of y become x.
void put_columns(Tensor& y, int64_t begin, const Tensor& x) {
  for (int64_t i = 0; i < x.dim(0); ++i)
    std::memcpy(y.f32() + i * y.dim(1) + begin, x.f32() + i * x.dim(1), size_t(x.dim(1)) * 4);
}

// Mean and standard deviation of each column of x[n, c], rows weighted by weight[n, c] (or
// equally). mean, deviation: [c]
void statistics(const Tensor& x, const float* weight, float* mean, float* deviation) {
  const int64_t n = x.dim(0), c = x.dim(1);
  std::vector<double> sum(static_cast<size_t>(c)), squares(static_cast<size_t>(c));
  const auto w = [&](int64_t i, int64_t k) {
    return weight ? double(weight[i * c + k]) : 1.0 / double(n);
  };
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < c; ++k) sum[size_t(k)] += w(i, k) * double(x.f32()[i * c + k]);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < c; ++k) {
      const double d = double(x.f32()[i * c + k]) - sum[size_t(k)];
      squares[size_t(k)] += w(i, k) * d * d;
    }
  for (int64_t k = 0; k < c; ++k) {
    mean[k] = float(sum[size_t(k)]);
    deviation[k] = float(std::sqrt(std::max(squares[size_t(k)], 1e-12)));
  }
}

}  // namespace

SpeakerEncoder::SpeakerEncoder(const Weights& w, const DitConfig& c) : config_(c) {
  const auto& ch = c.enc_channels;
  const size_t n = ch.size();
  const Weights blocks = w.scope("blocks");
  first_ = conv(blocks.scope(0).scope("conv"), c.mel_dim, ch[0], c.enc_kernel_sizes[0],
                c.enc_dilations[0]);
  for (size_t i = 1; i + 1 < n; ++i) {
    const Weights b = blocks.scope(int64_t(i));
    SeRes2NetBlock block{conv(b.scope("tdnn1.conv"), ch[i - 1], ch[i]),
                         conv(b.scope("tdnn2.conv"), ch[i], ch[i]),
                         conv(b.scope("se_block.conv1"), ch[i], c.enc_se_channels),
                         conv(b.scope("se_block.conv2"), c.enc_se_channels, ch[i]),
                         {}};
    for (int k = 0; k + 1 < c.enc_res2net_scale; ++k)
      block.res2net.push_back(conv(b.scope("res2net_block.blocks").scope(k).scope("conv"),
                                   ch[i] / c.enc_res2net_scale, ch[i] / c.enc_res2net_scale,
                                   c.enc_kernel_sizes[i], c.enc_dilations[i]));
    blocks_.push_back(std::move(block));
  }
  mfa_ = conv(w.scope("mfa.conv"), ch[n - 1], ch[n - 1], c.enc_kernel_sizes[n - 1],
              c.enc_dilations[n - 1]);
  asp_tdnn_ = conv(w.scope("asp.tdnn.conv"), 3 * int64_t{ch[n - 1]}, c.enc_attention_channels);
  asp_conv_ = conv(w.scope("asp.conv"), c.enc_attention_channels, ch[n - 1]);
  fc_ = conv(w.scope("fc"), 2 * int64_t{ch[n - 1]}, c.enc_dim);
}

Tensor SpeakerEncoder::forward(ops::Context& cx, const Tensor& mel) const {
  Arena::Scope scope(cx.arena);
  const int64_t n = mel.dim(0), wide = config_.enc_channels.back();
  Tensor x = relu(first_(cx, mel));      // [n, channels of a block]
  Tensor all = cx.arena.f32({n, wide});  // [n, wide], the blocks' results side by side
  int64_t filled = 0;
  for (const SeRes2NetBlock& b : blocks_) {
    Tensor h = relu(b.tdnn1(cx, x));  // [n, channels]
    const int64_t part = h.dim(1) / config_.enc_res2net_scale;
    Tensor parts = cx.arena.f32(h.shape());   // [n, channels]
    Tensor before = columns(cx, h, 0, part);  // [n, part]
    put_columns(parts, 0, before);
    for (size_t k = 0; k < b.res2net.size(); ++k) {
      Tensor in = columns(cx, h, int64_t(k + 1) * part, part);  // [n, part]
      if (k > 0) ops::add_(cx, in, before);
      before = relu(b.res2net[k](cx, in));
      put_columns(parts, int64_t(k + 1) * part, before);
    }
    h = relu(b.tdnn2(cx, parts));
    // [1, channels]
    Tensor mean = cx.arena.f32({1, h.dim(1)}), unused = cx.arena.f32({1, h.dim(1)});
    statistics(h, nullptr, mean.f32(), unused.f32());
    Tensor gate = b.se_conv2(cx, relu(b.se_conv1(cx, mean)));  // [1, channels]
    for (int64_t k = 0; k < gate.numel(); ++k)
      gate.f32()[k] = 1.f / (1.f + std::exp(-gate.f32()[k]));
    Tensor y = cx.arena.f32(x.shape());  // [n, channels]
    std::memcpy(y.raw(), x.raw(), x.nbytes());
    ops::add_scaled_(cx, y, h, gate.f32());
    x = y;
    put_columns(all, filled, x);
    filled += x.dim(1);
  }
  const Tensor h = relu(mfa_(cx, all));          // [n, wide]
  Tensor context = cx.arena.f32({n, 3 * wide});  // [n, 3 · wide]
  // [n, wide], all rows the same
  Tensor mean = cx.arena.f32({n, wide}), deviation = cx.arena.f32({n, wide});
  statistics(h, nullptr, mean.f32(), deviation.f32());
  for (int64_t i = 1; i < n; ++i) {
    std::memcpy(mean.f32() + i * wide, mean.f32(), size_t(wide) * 4);
    std::memcpy(deviation.f32() + i * wide, deviation.f32(), size_t(wide) * 4);
  }
  put_columns(context, 0, h);
  put_columns(context, wide, mean);
  put_columns(context, 2 * wide, deviation);
  Tensor a = relu(asp_tdnn_(cx, context));  // [n, enc_attention_channels]
  for (int64_t i = 0; i < a.numel(); ++i) a.f32()[i] = std::tanh(a.f32()[i]);
  a = asp_conv_(cx, a);                 // [n, wide]
  for (int64_t k = 0; k < wide; ++k) {  // softmax over time
    float highest = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) highest = std::max(highest, a.f32()[i * wide + k]);
    for (int64_t i = 0; i < n; ++i)
      sum += double(a.f32()[i * wide + k] = std::exp(a.f32()[i * wide + k] - highest));
    for (int64_t i = 0; i < n; ++i) a.f32()[i * wide + k] = float(a.f32()[i * wide + k] / sum);
  }
  Tensor pooled = cx.arena.f32({1, 2 * wide});  // [1, 2 · wide]
  statistics(h, a.f32(), pooled.f32(), pooled.f32() + wide);
  const Tensor y = fc_(cx, pooled);                           // [1, enc_dim]
  Tensor out = Tensor::zeros(DType::f32, {config_.enc_dim});  // [enc_dim]
  std::memcpy(out.raw(), y.raw(), y.nbytes());
  return out;
}

}  // namespace omni::qwen2_5_omni
