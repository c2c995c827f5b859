// The velocity of the flow at one time, and its integral block after block.
// (modeling_qwen2_5_omni.py, Qwen2_5OmniToken2WavDiTModel, RungeKutta4ODESolver)
#include "qwen2_5_omni/dit.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace omni::qwen2_5_omni {

namespace {

constexpr int kTimeFrequencies = 256;
constexpr float kEps = 1e-6f;
constexpr float kSway = -1;           // bends the time grid towards its beginning
constexpr float kNoGuidance = 1e-5f;  // below it the branch without condition is not computed

// Rows of head 0 in the order 0, 2, 4 … 1, 3, 5 …: rotating halves then equals rotating the pairs
// that the checkpoint means.
Tensor pairs_to_halves(const Tensor& weight, int head_dim) {
  Tensor w = to_f32(weight);  // [inner, width] or [inner]
  const int64_t width = weight.rank() == 2 ? weight.dim(1) : 1;
  std::vector<float> first(w.f32(), w.f32() + head_dim * width);
  for (int i = 0; i < head_dim; ++i) {
    const int from = i < head_dim / 2 ? 2 * i : 2 * (i - head_dim / 2) + 1;
    std::copy_n(first.data() + from * width, width, w.f32() + i * width);
  }
  return w;
}

// All values of the parts, one part behind the other.
Tensor stack(std::initializer_list<Tensor> parts) {
  int64_t n = 0;
  for (const Tensor& p : parts) n += p.numel();
  Tensor all = Tensor::zeros(DType::f32, {n});  // [n]
  int64_t at = 0;
  for (const Tensor& p : parts) {
    std::memcpy(all.f32() + at, p.f32(), p.nbytes());
    at += p.numel();
  }
  return all;
}

// A copy of its own memory.
Tensor own(ops::Context& cx, const Tensor& x) {
  Tensor y = Tensor::on(x.device(), DType::f32, x.shape());  // as x
  ops::copy_(cx, y, x);
  return y;
}

// A linear layer whose outputs from those positions on, `n` each, are scales: they are used as 1 +
// scale, everywhere.
Linear with_scales(const Weights& w, int64_t n_out, int64_t n_in,
                   std::initializer_list<int64_t> scales, int64_t n) {
  Tensor bias = w.get_f32("linear.bias", {n_out});  // [n_out]
  for (const int64_t from : scales)
    for (int64_t k = from; k < from + n; ++k) bias.f32()[k] += 1;
  return Linear(w.get("linear.weight", {n_out, n_in}), bias, w);
}

}  // namespace

Dit::Dit(const Weights& w, const DitConfig& c, const LoadProgress& progress)
    : config_(c),
      time_mlp0_(w.scope("time_embed"), {{"time_mlp.0", c.hidden_size}}, kTimeFrequencies,
                 Bias::each),
      time_mlp2_(w.scope("time_embed"), {{"time_mlp.2", c.hidden_size}}, c.hidden_size, Bias::each),
      codec_embed_(w.get_f32("text_embed.codec_embed.weight", {c.num_embeds + 1, c.emb_dim})),
      spk_encoder_(w.scope("input_embed.spk_encoder").on(nullptr), c) {
  const int64_t hidden = c.hidden_size, inner = int64_t{c.num_attention_heads} * c.head_dim,
                rest = c.enc_dim + c.emb_dim + c.enc_emb_dim;
  // [hidden, mel_dim + rest]
  const Tensor proj = w.get_f32("input_embed.proj.weight", {hidden, c.mel_dim + rest});
  Tensor mel = Tensor::zeros(DType::f32, {hidden, c.mel_dim});  // [hidden, mel_dim]
  Tensor others = Tensor::zeros(DType::f32, {hidden, rest});    // [hidden, rest]
  for (int64_t o = 0; o < hidden; ++o) {
    std::memcpy(mel.f32() + o * c.mel_dim, proj.f32() + o * (c.mel_dim + rest),
                size_t(c.mel_dim) * 4);
    std::memcpy(others.f32() + o * rest, proj.f32() + o * (c.mel_dim + rest) + c.mel_dim,
                size_t(rest) * 4);
  }
  proj_mel_ = Linear(mel, Tensor(), w);
  proj_rest_ = Linear(others, w.get_f32("input_embed.proj.bias", {hidden}), w);
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    const Weights l = w.scope("transformer_blocks").scope(i), a = l.scope("attn");
    const auto part = [&](const char* name, bool rotated) {
      const Tensor t = a.get(std::string(name) + ".weight", {inner, hidden});  // [inner, hidden]
      return rotated ? pairs_to_halves(t, c.head_dim) : to_f32(t);
    };
    const auto bias = [&](const char* name, bool rotated) {
      const Tensor t = a.get(std::string(name) + ".bias", {inner});  // [inner]
      return rotated ? pairs_to_halves(t, c.head_dim) : to_f32(t);
    };
    layers_.push_back(
        {with_scales(l.scope("attn_norm"), 6 * hidden, hidden, {hidden, 4 * hidden}, hidden),
         Linear(stack({part("to_q", true), part("to_k", true), part("to_v", false)})
                    .reshape({3 * inner, hidden}),
                stack({bias("to_q", true), bias("to_k", true), bias("to_v", false)}), w),
         Linear(a.scope("to_out"), {{"0", hidden}}, inner, Bias::each),
         Linear(l.scope("ff.ff"), {{"0", hidden * c.ff_mult}}, hidden, Bias::each),
         Linear(l.scope("ff.ff"), {{"3", hidden}}, hidden * c.ff_mult, Bias::each),
         int(c.look_ahead_layers.count(i)), int(c.look_backward_layers.count(i))});
    for (const char* name : {"to_q.weight", "to_k.weight", "to_v.weight"}) a.release(name);
    progress(double(i + 1) / c.num_hidden_layers);
  }
  norm_out_ = with_scales(w.scope("norm_out"), 2 * hidden, hidden, {0}, hidden);
  proj_out_ = Linear(w, {{"proj_out", c.mel_dim}}, hidden, Bias::each);
}

Dit::Modulation Dit::modulation(ops::Context& cx, float time) const {
  Arena::Scope scope(cx.arena);
  constexpr int half = kTimeFrequencies / 2;
  std::vector<float> waves(kTimeFrequencies);
  for (int i = 0; i < half; ++i) {
    const float angle = 1000.f * time * std::exp(float(i) * -float(std::log(10000.0) / (half - 1)));
    waves[size_t(i)] = std::sin(angle);
    waves[size_t(half + i)] = std::cos(angle);
  }
  Tensor t = time_mlp0_(  // [1, hidden]
      cx, ops::from_host(cx, Tensor::view(waves.data(), DType::f32, {1, kTimeFrequencies})));
  ops::silu_(cx, t);
  t = time_mlp2_(cx, t);
  ops::silu_(cx, t);
  Modulation m;
  for (const Layer& l : layers_) m.layers.push_back(own(cx, l.modulation(cx, t)));
  m.last = own(cx, norm_out_(cx, t));
  return m;
}

Tensor Dit::speaker_embedding(ops::Context& cx, const Speaker& speaker, bool conditioned) const {
  Arena arena;
  ops::Context on_host{cx.pool, arena};
  const auto heard = [&](const Tensor& x) {
    return conditioned ? x : Tensor::zeros(DType::f32, x.shape());
  };
  return stack({spk_encoder_.forward(on_host, heard(speaker.ref_mel)), heard(speaker.cond)});
}

Tensor Dit::condition(ops::Context& cx, std::span<const int32_t> codes, const Tensor& speaker,
                      bool conditioned) const {
  const int64_t enc = config_.enc_dim, emb = config_.emb_dim;
  const std::vector<int32_t> none(conditioned ? 0 : codes.size(), 0);
  Arena arena;
  ops::Context on_host{cx.pool, arena};
  // [codes, emb_dim]
  const Tensor embedded = ops::embedding(on_host, conditioned ? codes : none, codec_embed_);
  // [frames, enc_dim + emb_dim + enc_emb_dim]
  Tensor rows = Tensor::zeros(
      DType::f32, {int64_t(codes.size()) * config_.repeats, enc + emb + config_.enc_emb_dim});
  for (int64_t i = 0; i < rows.dim(0); ++i) {
    float* r = rows.f32() + i * rows.dim(1);
    std::copy_n(speaker.f32(), enc, r);
    std::copy_n(embedded.f32() + i / config_.repeats * emb, emb, r + enc);
    std::copy_n(speaker.f32() + enc, config_.enc_emb_dim, r + enc + emb);
  }
  return proj_rest_(cx, ops::from_host(cx, rows));
}

RotaryTable Dit::rotary(ops::Context& cx, int64_t first, int64_t n) const {
  const int64_t half = config_.head_dim / 2;
  // [n, head_dim / 2] each
  RotaryTable t{Tensor::zeros(DType::f32, {n, half}), Tensor::zeros(DType::f32, {n, half})};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < half; ++k) {
      const float angle =
          float(first + i) *
          (1.f / std::pow(float(config_.rope_theta), float(2 * k) / float(config_.head_dim)));
      t.cos.f32()[i * half + k] = std::cos(angle);
      t.sin.f32()[i * half + k] = std::sin(angle);
    }
  return {ops::from_host(cx, t.cos), ops::from_host(cx, t.sin)};
}

Tensor Dit::velocity(ops::Context& cx, const Tensor& x, std::span<const int32_t> codes,
                     const Speaker& speaker, float time, bool conditioned) const {
  Arena::Scope scope(cx.arena);
  const Tensor v =  // [frames, mel_dim]
      velocity(cx, ops::from_host(cx, x),
               condition(cx, codes, speaker_embedding(cx, speaker, conditioned), conditioned),
               modulation(cx, time), rotary(cx, 0, x.dim(0)), {});
  std::vector<float> room;
  const auto values = ops::to_host(cx, v, room);
  Tensor out = Tensor::zeros(DType::f32, v.shape());  // [frames, mel_dim]
  std::copy(values.begin(), values.end(), out.f32());
  return out;
}

int Dit::n_looking_back() const {
  return int(std::count_if(layers_.begin(), layers_.end(),
                           [](const Layer& l) { return l.look_backward > 0; }));
}

int Dit::n_looking_ahead() const {
  return int(std::count_if(layers_.begin(), layers_.end(),
                           [](const Layer& l) { return l.look_ahead > 0; }));
}

Tensor Dit::velocity(ops::Context& cx, const Tensor& x, const Tensor& condition,
                     const Modulation& m, const RotaryTable& rotary,
                     const Neighbours& neighbours) const {
  const int64_t n = x.dim(0), hidden = config_.hidden_size,
                inner = int64_t{config_.num_attention_heads} * config_.head_dim,
                block = config_.block_size;
  const int64_t n_blocks = (n + block - 1) / block;
  Tensor out = cx.arena.f32(x.shape());  // [n, mel_dim]
  Arena::Scope scope(cx.arena);
  Tensor h = proj_mel_(cx, x);  // [n, hidden]
  ops::add_(cx, h, condition);
  const Device* device = cx.arena.device();
  const auto *cos = static_cast<const float*>(rotary.cos.raw()),
             *sin = static_cast<const float*>(rotary.sin.raw());
  // keys ‖ values
  const auto both = [&](const Tensor& rows, int64_t offset) {
    return heads_of(rows, offset, 2 * config_.num_attention_heads, config_.head_dim);
  };
  std::vector<ops::AttentionRange> ranges(static_cast<size_t>(n_blocks));
  size_t looking_back = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    Arena::Scope inner_scope(cx.arena);
    const Layer& l = layers_[i];
    auto* mod = static_cast<float*>(const_cast<void*>(m.layers[i].raw()));
    const auto modulated = [&](int64_t shift, int64_t scale) {
      return ops::layer_norm(
          cx, h, Tensor::view(mod + scale * hidden, DType::f32, {hidden}, nullptr, device),
          Tensor::view(mod + shift * hidden, DType::f32, {hidden}, nullptr, device), kEps);
    };
    Tensor qkv = l.qkv(cx, modulated(0, 1));  // [n, 3 · inner]
    const ops::Heads q = heads_of(qkv, 0, config_.num_attention_heads, config_.head_dim);
    ops::Heads k = heads_of(qkv, inner, config_.num_attention_heads, config_.head_dim),
               v = heads_of(qkv, 2 * inner, config_.num_attention_heads, config_.head_dim);
    // of head 0 alone
    for (const ops::Heads& first : {q, k})
      ops::rotary_(cx, {first.data, first.stride, 1, first.head_dim}, n, cos, sin);
    int64_t n_before = 0;  // keys ahead of row 0
    if (l.look_backward) {
      if (neighbours.before) {
        n_before = block;
        const Tensor kv = cx.arena.f32({block + n, 2 * inner});  // [block + n, 2 · inner]
        Tensor before = kv.rows(0, block);                       // [block, 2 · inner]
        ops::copy_(cx, before, neighbours.before[looking_back]);
        ops::copy_rows(cx, both(kv, 0).from(block), both(qkv, inner), n);
        k = heads_of(kv, 0, config_.num_attention_heads, config_.head_dim),
        v = heads_of(kv, inner, config_.num_attention_heads, config_.head_dim);
      }
      if (neighbours.kept) {
        Tensor& kept = neighbours.kept[looking_back];  // [block, 2 · inner]
        if (!kept.defined()) kept = Tensor::on(device, DType::f32, {block, 2 * inner});
        ops::copy_rows(cx, both(kept, 0), both(qkv, inner).from(neighbours.keep), block);
      }
      ++looking_back;
    }
    for (int64_t b = 0; b < n_blocks; ++b) {
      const int64_t from = std::max<int64_t>(-n_before, (b - l.look_backward) * block),
                    to = std::min(n, (b + 1 + l.look_ahead) * block);
      ranges[size_t(b)] = {b * block, std::min(n, (b + 1) * block), from + n_before, to - from};
    }
    ops::add_scaled_(cx, h, l.out(cx, ops::attention(cx, q, k, v, ranges)), mod + 2 * hidden);
    Tensor f = l.ff_in(cx, modulated(3, 4));  // [n, ff_mult · hidden]
    ops::gelu_tanh_(cx, f);
    ops::add_scaled_(cx, h, l.ff_out(cx, f), mod + 5 * hidden);
  }
  auto* last = static_cast<float*>(const_cast<void*>(m.last.raw()));
  ops::copy_(
      cx, out,
      proj_out_(cx, ops::layer_norm(
                        cx, h, Tensor::view(last, DType::f32, {hidden}, nullptr, device),
                        Tensor::view(last + hidden, DType::f32, {hidden}, nullptr, device), kEps)));
  return out;
}

Dit::Stream::Stream(const Dit& dit, ops::Context& cx, const Speaker& speaker, FrameNoise noise,
                    const FlowSettings& settings)
    : dit_(dit),
      noise_(std::move(noise)),
      settings_(settings),
      speaker_{dit.speaker_embedding(cx, speaker, true),
               settings.guidance >= kNoGuidance ? dit.speaker_embedding(cx, speaker, false)
                                                : Tensor()} {}

Tensor Dit::Stream::push(ops::Context& cx, std::span<const int32_t> codes, bool last,
                         int64_t most_blocks) {
  const DitConfig& c = dit_.config_;
  codes_.insert(codes_.end(), codes.begin(), codes.end());
  const int64_t block = c.block_size, ahead = kAhead * dit_.n_looking_ahead() * block;
  std::vector<Tensor> parts;  // [frames of a chunk, mel_dim]
  int64_t frames = 0;
  for (;;) {
    const int64_t there = int64_t(codes_.size()) * c.repeats;  // from done_ on
    const int64_t certain = last ? there : (there - ahead) / block * block;
    if (certain <= 0) break;
    if (done_ + there > c.max_position_embeddings)
      throw Error(ErrorCode::invalid_argument, "speech of " + std::to_string(done_ + there) +
                                                   " mel frames is longer than the model's " +
                                                   std::to_string(c.max_position_embeddings));
    const int64_t n = std::min(certain, most_blocks * block);
    parts.push_back(chunk(cx, std::min(there, n + ahead), n));
    frames += n;
    done_ += n;
    codes_.erase(codes_.begin(), codes_.begin() + n / c.repeats);
  }
  Tensor all = Tensor::zeros(DType::f32, {frames, c.mel_dim});  // [frames, mel_dim]
  int64_t at = 0;
  for (const Tensor& p : parts) {
    std::memcpy(all.f32() + at, p.raw(), p.nbytes());
    at += p.numel();
  }
  return all;
}

// Frames [done_, done_ + n) of the flow; gives out the first n_kept.
Tensor Dit::Stream::chunk(ops::Context& cx, int64_t n, int64_t n_kept) {
  const int64_t block = dit_.config_.block_size, mel_dim = dit_.config_.mel_dim;
  Arena::Scope scope(cx.arena);
  const RotaryTable table = dit_.rotary(cx, done_, n);  // [n, head_dim / 2] each
  const bool guided = speaker_[1].defined(), goes_on = n > n_kept;
  const std::span<const int32_t> codes(codes_.data(), size_t(n / dit_.config_.repeats));
  // [n, hidden] each
  const Tensor conditioned = dit_.condition(cx, codes, speaker_[0], true),
               unconditioned = guided ? dit_.condition(cx, codes, speaker_[1], false) : Tensor();
  const size_t n_back = size_t(dit_.n_looking_back()), size = size_t(n * mel_dim);
  size_t slot = 0;  // of past_
  const auto branch = [&](const Tensor& in, const Tensor& condition, const Modulation& m) {
    if (past_.size() < slot + n_back) past_.resize(slot + n_back);
    std::vector<Tensor> kept(n_back);  // [block, 2 · inner] each
    Neighbours neighbours;
    if (done_ > 0) neighbours.before = past_.data() + slot;
    if (goes_on) neighbours.kept = kept.data(), neighbours.keep = n_kept - block;
    const Tensor y = dit_.velocity(cx, in, condition, m, table, neighbours);  // [n, mel_dim]
    if (goes_on) std::move(kept.begin(), kept.end(), past_.begin() + std::ptrdiff_t(slot));
    slot += n_back;
    return y;
  };
  const auto f = [&](float t, const std::vector<float>& at, std::vector<float>& out) {
    Arena::Scope inner(cx.arena);
    const Modulation m = dit_.modulation(cx, t);
    const Tensor in =  // [n, mel_dim]
        ops::from_host(cx, Tensor::view(const_cast<float*>(at.data()), DType::f32, {n, mel_dim}));
    std::vector<float> room;
    const auto c = ops::to_host(cx, branch(in, conditioned, m), room);
    std::copy(c.begin(), c.end(), out.begin());
    if (!guided) return;
    const auto u = ops::to_host(cx, branch(in, unconditioned, m), room);
    for (size_t i = 0; i < size; ++i) out[i] += (out[i] - u[i]) * settings_.guidance;
  };
  std::vector<float> grid;
  for (int i = 0; i < settings_.points; ++i) {
    const float t = settings_.points > 1 ? float(i) / float(settings_.points - 1) : 0;
    grid.push_back(t + kSway * (std::cos(float(M_PI / 2) * t) - 1 + t));
  }
  // Runge-Kutta of order 4, the 3/8 rule.
  std::vector<float> y(size), at(size), k1(size), k2(size), k3(size), k4(size);  // [n, mel_dim]
  for (int64_t i = 0; i < n; ++i) noise_(done_ + i, {y.data() + i * mel_dim, size_t(mel_dim)});
  for (size_t step = 0; step + 1 < grid.size(); ++step) {
    const float t = grid[step], end = grid[step + 1], dt = end - t;
    f(t, y, k1);
    for (size_t i = 0; i < size; ++i) at[i] = y[i] + dt * k1[i] / 3;
    f(t + dt / 3, at, k2);
    for (size_t i = 0; i < size; ++i) at[i] = y[i] + dt * (k2[i] - k1[i] / 3);
    f(t + dt * 2 / 3, at, k3);
    for (size_t i = 0; i < size; ++i) at[i] = y[i] + dt * (k1[i] - k2[i] + k3[i]);
    f(end, at, k4);
    for (size_t i = 0; i < size; ++i) y[i] += (k1[i] + 3 * (k2[i] + k3[i]) + k4[i]) * dt / 8;
  }
  Tensor mel = Tensor::zeros(DType::f32, {n_kept, mel_dim});  // [n_kept, mel_dim]
  std::memcpy(mel.raw(), y.data(), mel.nbytes());
  return mel;
}

}  // namespace omni::qwen2_5_omni
