// The integral of the flow, block after block. (modeling_qwen2_5_omni.py, RungeKutta4ODESolver)
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "qwen2_5_omni/dit.h"

namespace omni::qwen2_5_omni {

namespace {

constexpr float kSway = -1;           // bends the time grid towards its beginning
constexpr float kNoGuidance = 1e-5f;  // below it the branch without condition is not computed

}  // namespace

Dit::Stream::Stream(const Dit& dit, ops::Context& cx, const Speaker& speaker, FrameNoise noise,
                    const FlowSettings& settings)
    : dit_(dit), noise_(std::move(noise)), settings_(settings) {
  speakers_.push_back(dit.speaker_embedding(cx, speaker, true));
  if (settings.guidance >= kNoGuidance)
    speakers_.push_back(dit.speaker_embedding(cx, speaker, false));
  const auto bent = [&](int i) {
    const float t = float(i) / float(settings_.points - 1);
    return t + kSway * (std::cos(float(M_PI / 2) * t) - 1 + t);
  };
  for (int i = 0; i + 1 < settings_.points; ++i) {
    const float t = bent(i), dt = bent(i + 1) - t;
    times_.insert(times_.end(), {t, t + dt / 3, t + dt * 2 / 3});
  }
  if (!times_.empty()) times_.push_back(bent(settings_.points - 1));
}

int64_t Dit::Stream::codes_for(int64_t n_frames) const {
  const DitConfig& c = dit_.config_;
  const int64_t blocks = (n_frames + c.block_size - 1) / c.block_size;
  return (blocks * c.block_size + n_ahead() + c.repeats - 1) / c.repeats;
}

Tensor Dit::Stream::push(ops::Context& cx, std::span<const int32_t> codes, bool last,
                         int64_t most_blocks) {
  const DitConfig& c = dit_.config_;
  codes_.insert(codes_.end(), codes.begin(), codes.end());
  const int64_t block = c.block_size, ahead = n_ahead();
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
    parts.push_back(chunk(cx, std::min(there, n + ahead), n, !last || n < there));
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

// [1, modulation_width]. Some are made at once, and those that are there stay.
Tensor Dit::Stream::modulation(ops::Context& cx, size_t time) {
  if (!modulations_.defined() || time < first_time_ ||
      time >= first_time_ + size_t(modulations_.dim(0))) {
    first_time_ = time / kTimes * kTimes;
    modulations_ = dit_.modulations(
        cx, std::span(times_).subspan(first_time_, std::min(kTimes, times_.size() - first_time_)));
  }
  const auto row = int64_t(time - first_time_);
  return modulations_.rows(row, row + 1);
}

void Dit::Stream::slope(ops::Context& cx, const Chunk& c, const Tensor& x, size_t time,
                        size_t evaluation, Tensor& slope) {
  Arena::Scope scope(cx.arena);
  if (past_.size() <= evaluation) past_.resize(evaluation + 1);
  Tensor& past = past_[evaluation];
  Neighbourhood around;
  if (done_ > 0) around.before = past;
  if (c.goes_on) around.keep = c.n_kept - dit_.config_.block_size;
  const auto [v, kept] = dit_.velocity(cx, x, c.condition, modulation(cx, time), c.rotary, around);
  if (c.goes_on) {
    if (!past.defined()) past = cx.arena.lasting(DType::f32, kept.shape());
    ops::copy_(cx, past, kept);
  }
  const float g = speakers_.size() > 1 ? settings_.guidance : 0;
  const ops::Term terms[] = {{v.rows(0, c.n), 1 + g}, {v.rows(v.dim(0) - c.n, v.dim(0)), -g}};
  ops::weighted_sum(cx, slope, std::span(terms).first(speakers_.size()));
}

// By a Runge-Kutta method of order 4, the 3/8 rule.
Tensor Dit::Stream::chunk(ops::Context& cx, int64_t n, int64_t n_kept, bool goes_on) {
  const int64_t mel_dim = dit_.config_.mel_dim;
  Arena::Scope scope(cx.arena);
  const std::span<const int32_t> codes(codes_.data(), size_t(n / dit_.config_.repeats));
  const Chunk c{n, n_kept, goes_on, dit_.condition(cx, codes, speakers_, true),
                dit_.rotary(cx, done_, n, speakers_.size())};
  Tensor noise = Tensor::zeros(DType::f32, {n, mel_dim});  // [n, mel_dim]
  for (int64_t i = 0; i < n; ++i) noise_(done_ + i, {noise.f32() + i * mel_dim, size_t(mel_dim)});
  Tensor y = ops::from_host(cx, noise), at = cx.arena.f32(y.shape());  // [n, mel_dim] each
  std::array<Tensor, 4> k;                                             // [n, mel_dim] each
  for (Tensor& each : k) each = cx.arena.f32(y.shape());
  const auto move = [&](Tensor& to, std::initializer_list<ops::Term> terms) {
    ops::weighted_sum(cx, to, std::span(terms.begin(), terms.size()));
  };
  for (size_t step = 0; 3 * step + 1 < times_.size(); ++step) {
    const float dt = times_[3 * step + 3] - times_[3 * step];
    const auto evaluate = [&](size_t i, const Tensor& x) {
      slope(cx, c, x, 3 * step + i, 4 * step + i, k[i]);
    };
    evaluate(0, y);
    move(at, {{y, 1}, {k[0], dt / 3}});
    evaluate(1, at);
    move(at, {{y, 1}, {k[1], dt}, {k[0], -dt / 3}});
    evaluate(2, at);
    move(at, {{y, 1}, {k[0], dt}, {k[1], -dt}, {k[2], dt}});
    evaluate(3, at);
    move(y, {{y, 1}, {k[0], dt / 8}, {k[1], dt * 3 / 8}, {k[2], dt * 3 / 8}, {k[3], dt / 8}});
  }
  std::vector<float> room;
  const auto values = ops::to_host(cx, y.rows(0, n_kept), room);
  Tensor mel = Tensor::zeros(DType::f32, {n_kept, mel_dim});  // [n_kept, mel_dim]
  std::copy(values.begin(), values.end(), mel.f32());
  return mel;
}

}  // namespace omni::qwen2_5_omni
