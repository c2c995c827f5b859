// Memory for rows that many threads hold and let go: what is given back is used again. It belongs
// to no queue: whoever lets go has done with it.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "core/tensor.h"

namespace omni {

class RowPool {
 public:
  RowPool(const Device* device, int64_t width) : device_(device), width_(width) {}
  // [n, width], uninitialised, n > 0; from any thread.
  Tensor take(int64_t n);

 private:
  static constexpr int64_t kLeastMade = 64;  // rows
  // Stretches of 2^i rows, of device memory that is never cut in another way.
  struct Shelf {
    std::mutex lock;
    std::array<std::vector<Tensor>, 48> free;
  };
  void make(size_t size);  // under the shelf's lock

  const Device* device_;
  int64_t width_;
  std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
};

}  // namespace omni
