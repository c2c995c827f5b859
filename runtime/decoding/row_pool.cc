#include "decoding/row_pool.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace omni {

Tensor RowPool::take(int64_t n) {
  if (!device_) return Tensor::zeros(DType::f32, {n, width_});
  const auto size = size_t(std::bit_width(uint64_t(n) - 1));
  Tensor stretch;
  {
    std::lock_guard guard(shelf_->lock);
    if (shelf_->free[size].empty()) make(size);
    stretch = std::move(shelf_->free[size].back());
    shelf_->free[size].pop_back();
  }
  void* data = stretch.raw();
  std::shared_ptr<const void> owner(data,
                                    [stretch, size, shelf = std::weak_ptr(shelf_)](const void*) {
                                      const auto there = shelf.lock();
                                      if (!there) return;
                                      std::lock_guard guard(there->lock);
                                      there->free[size].push_back(stretch);
                                    });
  return Tensor::view(data, DType::f32, {n, width_}, std::move(owner), device_);
}

void RowPool::make(size_t size) {
  const int64_t rows = int64_t{1} << size, made = std::max(rows, kLeastMade);
  const Tensor memory = Tensor::on(device_, DType::f32, {made, width_});
  for (int64_t begin = 0; begin < made; begin += rows)
    shelf_->free[size].push_back(memory.rows(begin, begin + rows));
}

}  // namespace omni
