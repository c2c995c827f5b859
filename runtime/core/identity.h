// What tells objects apart that come and go: no two of a process are equal, but for copies.
#pragma once

#include <atomic>
#include <cstdint>

namespace omni {

class Identity {
 public:
  uint64_t number() const { return number_; }

 private:
  static uint64_t next() {
    static std::atomic<uint64_t> last{0};
    return ++last;
  }
  uint64_t number_ = next();
};

}  // namespace omni
