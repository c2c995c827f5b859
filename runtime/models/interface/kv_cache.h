// Keys and values of the tokens that a session has seen, one pair of tensors a layer, on the
// model's device; part of a session, never of a model. Always used with the same arena.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/ops.h"

namespace omni {

class KvCache {
 public:
  KvCache(int n_layers, int64_t row) : row_(row), k_(size_t(n_layers)), v_(size_t(n_layers)) {}

  int64_t length() const { return length_; }
  // Room for n more rows; keeps what is there.
  void reserve(ops::Context& cx, int64_t n) {
    if (length_ + n <= capacity_) return;
    capacity_ = std::max(length_ + n, 2 * capacity_);
    for (auto* side : {&k_, &v_})
      for (Tensor& t : *side) {
        const Tensor grown = cx.arena.lasting(DType::f32, {capacity_, row_});
        if (length_) {
          Tensor kept = grown.rows(0, length_);
          ops::copy_(cx, kept, t.rows(0, length_));
        }
        t = grown;
      }
  }
  // Forgets all rows from `length` on.
  void truncate(int64_t length) { length_ = std::min(length_, length); }
  // Forgets rows [begin, end); those behind move up.
  void erase(ops::Context& cx, int64_t begin, int64_t end) {
    for (auto* side : {&k_, &v_})
      for (Tensor& t : *side) {
        Arena::Scope scope(cx.arena);
        Tensor to = t.rows(begin, length_ - (end - begin));
        ops::copy_(cx, to, ops::clone(cx, t.rows(end, length_)));
      }
    length_ -= end - begin;
  }
  void advance(int64_t n) { length_ += n; }

  // Row 0 of a layer; row() elements from one to the next.
  float* k(int layer) { return static_cast<float*>(k_[size_t(layer)].raw()); }
  float* v(int layer) { return static_cast<float*>(v_[size_t(layer)].raw()); }
  int64_t row() const { return row_; }
  int64_t capacity() const {
    return capacity_;
  }  // rows there is room for; the layers move when it changes

 private:
  int64_t row_, length_ = 0, capacity_ = 0;
  std::vector<Tensor> k_, v_;  // [capacity, row]
};

}  // namespace omni
