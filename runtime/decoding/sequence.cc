#include "decoding/sequence.h"

#include <algorithm>
#include <cmath>

namespace omni {

namespace {
// rows a step of prefill: bounds memory and the time until a cancel is seen
constexpr int64_t kPiece = 512;

double probability(std::span<const float> logits, int32_t id) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (const float x : logits) sum += std::exp(x - highest);
  return double(std::exp(logits[size_t(id)] - highest) / sum);
}

}  // namespace

void Sequence::prefill(const Rows& rows, const float* values) {
  const int64_t n = int64_t(rows.size()), hidden = model_.hidden();
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    if (cancelled_) throw Error(ErrorCode::cancelled, "cancelled");
    const int64_t end = std::min(n, begin + kPiece);
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    const std::span ids(rows.ids.data() + begin, size_t(end - begin));
    if (begin == 0) cache_.reserve(cx, n);
    const Tensor x =
        values ? ops::from_host(cx, Tensor::view(const_cast<float*>(values) + begin * hidden,
                                                 DType::f32, {end - begin, hidden}))
               : model_.embed(cx, ids);
    const Tensor y =
        model_.forward(cx, x, {rows.positions.data() + begin, size_t(end - begin)}, cache_);
    keep(cx, y, values ? nullptr : &x);
    ops::copy_(cx, last_hidden_, y.rows(end - begin - 1, end - begin));
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    positions_.insert(positions_.end(), rows.positions.begin() + begin,
                      rows.positions.begin() + end);
  }
}

void Sequence::keep(ops::Context& cx, const Tensor& hidden, const Tensor* embedded) {
  if (!keeps_rows_) return;
  std::vector<float> room;
  const size_t begin = kept_.size();
  const auto states = ops::to_host(cx, hidden, room);
  kept_.insert(kept_.end(), states.begin(), states.end());
  if (!embedded) return;
  const auto rows = ops::to_host(cx, *embedded, room);
  for (size_t i = 0; i < rows.size(); ++i) kept_[begin + i] += rows[i];
}

std::span<float> Sequence::logits() {
  Arena::Scope scope(arena_);
  ops::Context cx{pool_, arena_};
  std::vector<float> room;
  const auto values = ops::to_host(cx, model_.logits(cx, last_hidden_), room);
  logits_.assign(values.begin(), values.end());
  return logits_;
}

Sequence::Choice Sequence::choose(Sampler& sampler, const SamplingOptions& options, TokenMask* mask,
                                  bool with_probability) {
  if (model_.device() && Sampler::on_device(options)) {
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    const Tensor there = model_.logits(cx, last_hidden_);
    const ops::SampledToken token =
        sampler.pick(cx, there, ids_, options,
                     mask ? mask->allowed(size_t(there.numel())) : std::vector<uint32_t>());
    return {token.id, token.probability};
  }
  const std::span<float> values = logits();
  if (with_probability) unmasked_.assign(values.begin(), values.end());
  if (mask) mask->apply(values);
  const int32_t id = sampler.pick(values, ids_, options);
  return {id, with_probability ? probability(unmasked_, id) : 0};
}

void Sequence::decode(int32_t id) {
  if (cancelled_) throw Error(ErrorCode::cancelled, "cancelled");
  const Position position{cursor_.next, cursor_.next, cursor_.next};
  ++cursor_.next;
  Arena::Scope scope(arena_);
  ops::Context cx{pool_, arena_};
  const Tensor x = model_.embed(cx, {&id, 1}), y = model_.decode(cx, x, position, cache_, step_);
  keep(cx, y, &x);
  ops::copy_(cx, last_hidden_, y);
  ids_.push_back(id);
  positions_.push_back(position);
}

void Sequence::back_to(const Mark& mark) {
  cache_.truncate(mark.length);
  ids_.resize(size_t(mark.length));
  positions_.resize(size_t(mark.length));
  if (keeps_rows_) kept_.resize(size_t(mark.length * model_.hidden()));
  cursor_ = mark.cursor;
}

void Sequence::erase(int64_t begin, int64_t end) {
  ops::Context cx{pool_, arena_};
  cache_.erase(cx, begin, end);
  ids_.erase(ids_.begin() + begin, ids_.begin() + end);
  positions_.erase(positions_.begin() + begin, positions_.begin() + end);
  if (keeps_rows_)
    kept_.erase(kept_.begin() + begin * model_.hidden(), kept_.begin() + end * model_.hidden());
}

void Sequence::shift(int64_t begin, const std::function<Position(int64_t)>& delta) {
  ops::Context cx{pool_, arena_};
  model_.shift_keys(cx, cache_, begin, cache_.length(), delta);
  for (int64_t row = begin; row < cache_.length(); ++row) {
    const Position d = delta(row);
    for (size_t axis = 0; axis < 3; ++axis) positions_[size_t(row)][axis] -= d[axis];
  }
  cursor_.next = 0;
  for (const Position& p : positions_)
    cursor_.next = std::max(cursor_.next, 1 + *std::max_element(p.begin(), p.end()));
}

}  // namespace omni
