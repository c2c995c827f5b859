// Keys and values of the tokens that a session has seen, one pair of tensors a layer; part of a session, never of a model.
#pragma once

#include <cstring>
#include <vector>

#include "core/tensor.h"

namespace omni {

class KvCache {
 public:
  KvCache(int n_layers, int64_t row) : row_(row), k_(size_t(n_layers)), v_(size_t(n_layers)) {}

  int64_t length() const { return length_; }
  // Room for n more rows; keeps what is there.
  void reserve(int64_t n) {
    if (length_ + n <= capacity_) return;
    capacity_ = std::max(length_ + n, 2 * capacity_);
    for (auto* side : {&k_, &v_})
      for (Tensor& t : *side) {
        Tensor grown = Tensor::zeros(DType::f32, {capacity_, row_});
        if (length_) std::memcpy(grown.raw(), t.raw(), size_t(length_ * row_) * 4);
        t = std::move(grown);
      }
  }
  // Forgets all rows from `length` on.
  void truncate(int64_t length) { length_ = std::min(length_, length); }
  // Forgets rows [begin, end); those behind move up.
  void erase(int64_t begin, int64_t end) {
    for (auto* side : {&k_, &v_})
      for (Tensor& t : *side) std::memmove(t.f32() + begin * row_, t.f32() + end * row_, size_t((length_ - end) * row_) * 4);
    length_ -= end - begin;
  }
  void advance(int64_t n) { length_ += n; }

  float* k(int layer) { return k_[size_t(layer)].f32(); }
  float* v(int layer) { return v_[size_t(layer)].f32(); }
  int64_t row() const { return row_; }

 private:
  int64_t row_, length_ = 0, capacity_ = 0;
  std::vector<Tensor> k_, v_;  // [capacity, row]
};

}  // namespace omni
