// The velocity of the flow at one time. (modeling_qwen2_5_omni.py, Qwen2_5OmniToken2WavDiTModel)
#include "qwen2_5_omni/dit.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace omni::qwen2_5_omni {

namespace {

constexpr int kTimeFrequencies = 256;
constexpr float kEps = 1e-6f;

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
      spk_encoder_(w.scope("input_embed.spk_encoder").on(nullptr).with(Precision::float32), c) {
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

Tensor Dit::modulations(ops::Context& cx, std::span<const float> times) const {
  const int64_t n = int64_t(times.size()), hidden = config_.hidden_size, width = modulation_width();
  Tensor all = cx.arena.lasting(DType::f32, {n, width});  // [times, width]
  Arena::Scope scope(cx.arena);
  constexpr int half = kTimeFrequencies / 2;
  Tensor waves = Tensor::zeros(DType::f32, {n, kTimeFrequencies});  // [times, kTimeFrequencies]
  for (int64_t row = 0; row < n; ++row)
    for (int i = 0; i < half; ++i) {
      const float angle =
          1000.f * times[size_t(row)] * std::exp(float(i) * -float(std::log(10000.0) / (half - 1)));
      waves.f32()[row * kTimeFrequencies + i] = std::sin(angle);
      waves.f32()[row * kTimeFrequencies + half + i] = std::cos(angle);
    }
  Tensor t = time_mlp0_(cx, ops::from_host(cx, waves));  // [times, hidden]
  ops::silu_(cx, t);
  t = time_mlp2_(cx, t);
  ops::silu_(cx, t);
  int64_t offset = 0;
  const auto put = [&](const Linear& modulation, int64_t size) {
    Arena::Scope inner(cx.arena);
    const Tensor part = modulation(cx, t);  // [times, size]
    ops::copy_rows(cx, heads_of(all, offset, 1, int(size)), heads_of(part, 0, 1, int(size)), n);
    offset += size;
  };
  for (const Layer& l : layers_) put(l.modulation, 6 * hidden);
  put(norm_out_, 2 * hidden);
  return all;
}

Tensor Dit::speaker_embedding(ops::Context& cx, const Speaker& speaker, bool conditioned) const {
  Arena arena;
  ops::Context on_host{cx.pool, arena};
  const auto heard = [&](const Tensor& x) {
    return conditioned ? x : Tensor::zeros(DType::f32, x.shape());
  };
  return stack({spk_encoder_.forward(on_host, heard(speaker.ref_mel)), heard(speaker.cond)});
}

Tensor Dit::condition(ops::Context& cx, std::span<const int32_t> codes,
                      std::span<const Tensor> speakers, bool conditioned) const {
  const int64_t enc = config_.enc_dim, emb = config_.emb_dim,
                width = enc + emb + config_.enc_emb_dim,
                n = int64_t(codes.size()) * config_.repeats;
  Arena arena;
  ops::Context on_host{cx.pool, arena};
  const std::vector<int32_t> none(codes.size(), 0);
  // [branches · frames, enc_dim + emb_dim + enc_emb_dim]
  Tensor rows = Tensor::zeros(DType::f32, {int64_t(speakers.size()) * n, width});
  for (size_t b = 0; b < speakers.size(); ++b) {
    const bool with_codes = conditioned && b == 0;
    // [codes, emb_dim]
    const Tensor embedded = ops::embedding(on_host, with_codes ? codes : none, codec_embed_);
    const float* speaker = speakers[b].f32();
    for (int64_t i = 0; i < n; ++i) {
      float* r = rows.f32() + (int64_t(b) * n + i) * width;
      std::copy_n(speaker, enc, r);
      std::copy_n(embedded.f32() + i / config_.repeats * emb, emb, r + enc);
      std::copy_n(speaker + enc, config_.enc_emb_dim, r + enc + emb);
    }
  }
  return proj_rest_(cx, ops::from_host(cx, rows));
}

RotaryTable Dit::rotary(ops::Context& cx, int64_t first, int64_t n, size_t branches) const {
  const int64_t half = config_.head_dim / 2;
  const Shape shape{int64_t(branches) * n, half};
  // [branches · n, head_dim / 2] each
  RotaryTable t{Tensor::zeros(DType::f32, shape), Tensor::zeros(DType::f32, shape)};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < half; ++k) {
      const float angle =
          float(first + i) *
          (1.f / std::pow(float(config_.rope_theta), float(2 * k) / float(config_.head_dim)));
      for (int64_t row = i; row < shape[0]; row += n) {
        t.cos.f32()[row * half + k] = std::cos(angle);
        t.sin.f32()[row * half + k] = std::sin(angle);
      }
    }
  return {ops::from_host(cx, t.cos), ops::from_host(cx, t.sin)};
}

Tensor Dit::velocity(ops::Context& cx, const Tensor& x, std::span<const int32_t> codes,
                     const Speaker& speaker, float time, bool conditioned) const {
  Arena::Scope scope(cx.arena);
  const Tensor who = speaker_embedding(cx, speaker, conditioned);
  const Tensor v =  // [frames, mel_dim]
      velocity(cx, ops::from_host(cx, x), condition(cx, codes, {&who, 1}, conditioned),
               modulations(cx, {&time, 1}), rotary(cx, 0, x.dim(0), 1), {})
          .velocity;
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

Dit::Evaluated Dit::velocity(ops::Context& cx, const Tensor& x, const Tensor& condition,
                             const Tensor& modulation, const RotaryTable& rotary,
                             const Neighbourhood& around) const {
  const Tensor inputs[] = {x, condition, modulation, rotary.cos, rotary.sin, around.before};
  const auto results =
      recorded_(cx, inputs, around.keep, [&](ops::Context& inner, std::span<const Tensor> in) {
        return evaluate(inner, in, around.keep);
      });
  return {results[0], results[1]};
}

std::vector<ops::AttentionRange> Dit::ranges(const Layer& l, int64_t n, int64_t branches,
                                             int64_t n_before) const {
  const int64_t block = config_.block_size;
  std::vector<ops::AttentionRange> ranges;
  for (int64_t branch = 0; branch < branches; ++branch)
    for (int64_t begin = 0; begin < n; begin += block) {
      const int64_t from = std::max(-n_before, begin - l.look_backward * block),
                    to = std::min(n, begin + (1 + l.look_ahead) * block);
      ranges.push_back({branch * n + begin, branch * n + std::min(n, begin + block),
                        branch * (n_before + n) + n_before + from, to - from});
    }
  return ranges;
}

Recorded::Tensors Dit::evaluate(ops::Context& cx, std::span<const Tensor> inputs,
                                int64_t keep) const {
  const Tensor &x = inputs[0], &condition = inputs[1], &before = inputs[5];
  const int n_heads = config_.num_attention_heads, head_dim = config_.head_dim;
  const int64_t n = x.dim(0), branches = condition.dim(0) / n, hidden = config_.hidden_size,
                inner = int64_t{n_heads} * head_dim, block = config_.block_size;
  const Device* device = cx.arena.device();
  const auto *cos = static_cast<const float*>(inputs[3].raw()),
             *sin = static_cast<const float*>(inputs[4].raw());
  const auto of_time = [&](int64_t offset) {
    auto* values = static_cast<float*>(const_cast<void*>(inputs[2].raw()));
    return Tensor::view(values + offset, DType::f32, {hidden}, nullptr, device);
  };
  const Tensor kept =  // [layers · branches · block, 2 · inner]
      keep < 0 ? Tensor() : cx.arena.f32({n_looking_back() * branches * block, 2 * inner});
  Tensor h = ops::clone(cx, condition);  // [branches · n, hidden]
  {
    Arena::Scope scope(cx.arena);
    const Tensor own = proj_mel_(cx, x);  // [n, hidden]
    for (int64_t b = 0; b < branches; ++b) {
      Tensor branch = h.rows(b * n, (b + 1) * n);  // [n, hidden]
      ops::add_(cx, branch, own);
    }
  }
  // Where a norm's parts lie in those of a time.
  struct Norm {
    int64_t scale, shift;
  };
  const auto norm_of = [&](size_t layer, int64_t half) {
    const int64_t shift = (int64_t(layer) * 6 + half * 3) * hidden;
    return layer < layers_.size() ? Norm{shift + hidden, shift}
                                  : Norm{shift, shift + hidden};  // norm_out
  };
  const auto gate_of = [&](size_t layer, int64_t half) {
    return static_cast<const float*>(of_time((int64_t(layer) * 6 + half * 3 + 2) * hidden).raw());
  };
  Tensor normed;  // [branches · n, hidden], as the next product wants it
  {
    const Norm first = norm_of(0, 0);
    normed = ops::layer_norm(cx, h, of_time(first.scale), of_time(first.shift), kEps,
                             layers_[0].qkv.operand());
  }
  // h += y · gate, and the next norm of it
  const auto add = [&](const Tensor& y, const float* gate, const Norm& next) {
    ops::add_scaled_norm_(cx, h, y, gate, of_time(next.scale), of_time(next.shift), kEps, normed);
  };
  int64_t slot = 0;  // of the neighbours: rows of a layer and branch
  for (size_t i = 0; i < layers_.size(); ++i) {
    Arena::Scope scope(cx.arena);
    const Layer& l = layers_[i];
    const Tensor qkv = l.qkv(cx, normed);  // [branches · n, 3 · inner]
    const ops::Heads q = heads_of(qkv, 0, n_heads, head_dim);
    ops::Heads k = heads_of(qkv, inner, n_heads, head_dim),
               v = heads_of(qkv, 2 * inner, n_heads, head_dim);
    // of head 0 alone
    for (const ops::Heads& first : {q, k})
      ops::rotary_(cx, {first.data, first.stride, 1, first.head_dim}, branches * n, cos, sin);
    int64_t n_before = 0;  // keys ahead of row 0
    if (l.look_backward) {
      // keys ‖ values
      const ops::Heads both = heads_of(qkv, inner, 2 * n_heads, head_dim);
      if (before.defined()) {
        n_before = block;
        const Tensor kv =  // [branches · (block + n), 2 · inner]
            cx.arena.f32({branches * (block + n), 2 * inner});
        for (int64_t b = 0; b < branches; ++b) {
          const int64_t first = b * (block + n);
          Tensor ahead = kv.rows(first, first + block);  // [block, 2 · inner]
          ops::copy_(cx, ahead, before.rows(slot + b * block, slot + (b + 1) * block));
          ops::copy_rows(cx, heads_of(kv, 0, 2 * n_heads, head_dim).from(first + block),
                         both.from(b * n), n);
        }
        k = heads_of(kv, 0, n_heads, head_dim), v = heads_of(kv, inner, n_heads, head_dim);
      }
      if (kept.defined())
        for (int64_t b = 0; b < branches; ++b)
          ops::copy_rows(cx, heads_of(kept, 0, 2 * n_heads, head_dim).from(slot + b * block),
                         both.from(b * n + keep), block);
      slot += branches * block;
    }
    add(l.out(cx, ops::attention(cx, q, k, v, ranges(l, n, branches, n_before), l.out.operand())),
        gate_of(i, 0), norm_of(i, 1));
    Tensor f = l.ff_in(cx, normed);  // [branches · n, ff_mult · hidden]
    ops::gelu_tanh_(cx, f, l.ff_out.operand());
    add(l.ff_out(cx, f), gate_of(i, 1), norm_of(i + 1, 0));
  }
  return {proj_out_(cx, normed), kept};
}

}  // namespace omni::qwen2_5_omni
