// Things that are dear to make and used by one thread at a time: whoever needs one takes one that
// is free, or makes it, and gives it back. There are as many as were ever in use at the same time,
// however many threads come and go; a thread_local would be held by each thread that ever asked.
#pragma once

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace omni {

// Any thread. T{} is what nobody has made yet.
template <class T>
class FreeList {
 public:
  // What was given back last, or T{}.
  T take() {
    std::lock_guard guard(lock_);
    if (free_.empty()) {
      free_.reserve(++n_made_);  // so that giving back cannot fail
      return T{};
    }
    T t = std::move(free_.back());
    free_.pop_back();
    return t;
  }

  void give_back(T t) noexcept {
    std::lock_guard guard(lock_);
    free_.push_back(std::move(t));
  }

 private:
  std::mutex lock_;
  size_t n_made_ = 0;
  std::vector<T> free_;
};

// One of the list's, for as long as this object lives.
template <class T>
class Loan {
 public:
  explicit Loan(FreeList<T>& list) : list_(list), t_(list.take()) {}
  ~Loan() { list_.give_back(std::move(t_)); }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  T& operator*() { return t_; }
  T* operator->() { return &t_; }

 private:
  FreeList<T>& list_;
  T t_;
};

}  // namespace omni
