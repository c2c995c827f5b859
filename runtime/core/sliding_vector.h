// A contiguous vector that loses what is near its front as cheaply as what is near its end: erase()
// moves the few elements ahead of the gap, not the many behind it. Memory is bounded by twice what
// it holds.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

namespace omni {

template <class T>
class SlidingVector {
 public:
  size_t size() const { return items_.size() - start_; }
  std::span<const T> span() const { return {items_.data() + start_, size()}; }
  const T& operator[](size_t i) const { return items_[start_ + i]; }

  template <class Iterator>
  void append(Iterator begin, Iterator end) {
    const auto n = size_t(std::distance(begin, end));
    if (items_.size() + n > items_.capacity() && start_ >= size()) close_front();
    items_.insert(items_.end(), begin, end);
  }
  void append(size_t n, const T& value) {
    if (items_.size() + n > items_.capacity() && start_ >= size()) close_front();
    items_.insert(items_.end(), n, value);
  }
  // Forgets elements from `n` on.
  void truncate(size_t n) { items_.resize(start_ + std::min(n, size())); }
  // Forgets elements [begin, end). Costs `begin` moves.
  void erase(size_t begin, size_t end) {
    const auto first = items_.begin() + std::ptrdiff_t(start_);
    std::move_backward(first, first + std::ptrdiff_t(begin), first + std::ptrdiff_t(end));
    start_ += end - begin;
  }

 private:
  void close_front() {
    items_.erase(items_.begin(), items_.begin() + std::ptrdiff_t(start_));
    start_ = 0;
  }

  std::vector<T> items_;
  size_t start_ = 0;  // elements before it are gone
};

}  // namespace omni
