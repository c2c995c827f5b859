#include "decoding/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace omni {

namespace {

void penalise(std::span<float> logits, std::span<const int32_t> history, double penalty) {
  if (penalty == 1) return;
  std::vector<bool> done(logits.size());
  for (int32_t id : history) {
    if (id < 0 || size_t(id) >= logits.size() || done[size_t(id)]) continue;
    done[size_t(id)] = true;
    float& x = logits[size_t(id)];
    x = float(x < 0 ? x * penalty : x / penalty);
  }
}

}  // namespace

void require_finite(std::span<const float> logits) {
  uint32_t highest = 0;  // of the magnitudes' bits, which are in the order of the magnitudes
  for (const float x : logits) highest = std::max(highest, std::bit_cast<uint32_t>(x) & 0x7fffffff);
  if (highest >= 0x7f800000)
    throw Error(ErrorCode::corrupt_file,
                "the model's logits hold NaN or infinity: its weights or its input are damaged");
}

std::vector<std::pair<float, int32_t>> Sampler::distribution(std::span<float> logits,
                                                             std::span<const int32_t> history,
                                                             const SamplingOptions& o) {
  penalise(logits, history, o.repetition_penalty);
  std::vector<std::pair<float, int32_t>> all(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    all[i] = {logits[i] / float(o.temperature), int32_t(i)};
  const auto likelier = [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  const size_t k = o.top_k > 0 ? std::min(size_t(o.top_k), all.size()) : all.size();
  std::partial_sort(all.begin(), all.begin() + std::ptrdiff_t(k), all.end(), likelier);
  all.resize(k);
  double sum = 0;
  const float highest = all[0].first;
  for (auto& [p, id] : all) sum += p = std::exp(p - highest);
  // The smallest set whose probability reaches top_p; at least one.
  double reached = 0;
  size_t kept = 0;
  while (kept < all.size() && (kept == 0 || reached < o.top_p * sum)) reached += all[kept++].first;
  all.resize(kept);
  for (auto& [p, id] : all) p = float(p / reached);
  return all;
}

int32_t Sampler::pick(std::span<float> logits, std::span<const int32_t> history,
                      const SamplingOptions& o) {
  if (o.temperature <= 0) {
    penalise(logits, history, o.repetition_penalty);
    return int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  const auto choices = distribution(logits, history, o);
  double left = draw();
  for (const auto& [p, id] : choices)
    if ((left -= p) < 0) return id;
  return choices.back().second;
}

ops::Sampling Sampler::sampling(int64_t vocabulary, std::span<const int32_t> history,
                                const SamplingOptions& o, std::vector<uint32_t> allowed) {
  ops::Sampling s{
      .penalty = float(o.repetition_penalty), .allowed = std::move(allowed), .seen = {}};
  if (o.repetition_penalty != 1) {
    s.seen.resize(size_t(vocabulary + 31) / 32);
    for (const int32_t id : history)
      if (id >= 0 && id < vocabulary) s.seen[size_t(id) / 32] |= 1u << (id % 32);
  }
  if (o.temperature > 0)
    s.top_k = o.top_k, s.temperature = float(o.temperature), s.top_p = float(o.top_p),
    s.draw = float(draw());
  return s;
}

int32_t Sampler::choose(ops::Context& cx, const Tensor& logits, std::span<const int32_t> history,
                        const SamplingOptions& o, std::span<const uint32_t> allowed) {
  if (logits.device() && on_device(o)) {
    const ops::Sampling how[] = {
        sampling(logits.numel(), history, o, {allowed.begin(), allowed.end()})};
    return ops::sample(cx, logits, how)[0].id;
  }
  std::vector<float> room;
  const auto there = ops::to_host(cx, logits, room);
  if (room.empty()) room.assign(there.begin(), there.end());
  for (size_t id = 0; !allowed.empty() && id < room.size(); ++id)
    if (!(allowed[id / 32] >> (id % 32) & 1)) room[id] = -INFINITY;
  return pick(room, history, o);
}

}  // namespace omni
