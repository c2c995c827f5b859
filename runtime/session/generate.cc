#include "session/generate.h"

#include <algorithm>
#include <cstring>

namespace omni {

namespace {
constexpr int64_t kPiece = 512;  // rows a step of prefill: bounds memory and the time until a cancel is seen
}

void Context::prefill(const Rows& rows, const float* values) {
  const int64_t n = int64_t(rows.size()), hidden = model_.hidden();
  cache_.reserve(n);
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    if (cancelled_) throw Error(ErrorCode::cancelled, "cancelled");
    const int64_t end = std::min(n, begin + kPiece);
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    const std::span ids(rows.ids.data() + begin, size_t(end - begin));
    const Tensor x = values ? Tensor::view(const_cast<float*>(values) + begin * hidden, DType::f32, {end - begin, hidden}) : model_.embed(cx, ids);
    const Tensor y = model_.forward(cx, x, {rows.positions.data() + begin, size_t(end - begin)}, cache_);
    keep(y, values ? nullptr : &x);
    last_hidden_.assign(y.f32() + (end - begin - 1) * hidden, y.f32() + (end - begin) * hidden);
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    positions_.insert(positions_.end(), rows.positions.begin() + begin, rows.positions.begin() + end);
  }
}

void Context::keep(const Tensor& hidden, const Tensor* embedded) {
  if (!keeps_rows_) return;
  const size_t begin = kept_.size();
  kept_.insert(kept_.end(), hidden.f32(), hidden.f32() + hidden.numel());
  if (!embedded) return;
  for (int64_t i = 0; i < embedded->numel(); ++i) kept_[begin + size_t(i)] += embedded->f32()[i];
}

std::span<float> Context::logits() {
  Arena::Scope scope(arena_);
  ops::Context cx{pool_, arena_};
  const Tensor y = model_.logits(cx, Tensor::view(last_hidden_.data(), DType::f32, {1, model_.hidden()}));
  logits_.assign(y.f32(), y.f32() + y.numel());
  return logits_;
}

void Context::decode(int32_t id) {
  if (cancelled_) throw Error(ErrorCode::cancelled, "cancelled");
  const Position position{cursor_.next, cursor_.next, cursor_.next};
  ++cursor_.next;
  Arena::Scope scope(arena_);
  ops::Context cx{pool_, arena_};
  const Tensor x = model_.embed(cx, {&id, 1}), y = model_.forward(cx, x, {&position, 1}, cache_);
  keep(y, &x);
  std::copy_n(y.f32(), model_.hidden(), last_hidden_.data());
  ids_.push_back(id);
  positions_.push_back(position);
}

void Context::back_to(const Mark& mark) {
  cache_.truncate(mark.length);
  ids_.resize(size_t(mark.length));
  positions_.resize(size_t(mark.length));
  if (keeps_rows_) kept_.resize(size_t(mark.length * model_.hidden()));
  cursor_ = mark.cursor;
}

void Context::erase(int64_t begin, int64_t end) {
  cache_.erase(begin, end);
  ids_.erase(ids_.begin() + begin, ids_.begin() + end);
  positions_.erase(positions_.begin() + begin, positions_.begin() + end);
  if (keeps_rows_) kept_.erase(kept_.begin() + begin * model_.hidden(), kept_.begin() + end * model_.hidden());
}

void Context::shift(int64_t begin, const std::function<Position(int64_t)>& delta) {
  model_.shift_keys(cache_, begin, cache_.length(), delta);
  for (int64_t row = begin; row < cache_.length(); ++row) {
    const Position d = delta(row);
    for (size_t axis = 0; axis < 3; ++axis) positions_[size_t(row)][axis] -= d[axis];
  }
  cursor_.next = 0;
  for (const Position& p : positions_) cursor_.next = std::max(cursor_.next, 1 + *std::max_element(p.begin(), p.end()));
}

}  // namespace omni
