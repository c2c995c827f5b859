#include "core/arena.h"

#include <algorithm>

#include "core/host_memory.h"

namespace omni {

namespace {
constexpr size_t kAlign = 256, kFirstBlock = size_t{1} << 20;
}

Arena::~Arena() {
  attached_.clear();
  for (const Block& b : blocks_) {
    if (queue_)
      queue_->release(b.data);
    else
      release_host(b.data, b.size);
  }
}

void* Arena::allocate(size_t bytes) {
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].size) ++block_, used_ = 0;
  if (block_ == blocks_.size()) {
    const size_t grown = blocks_.empty() ? kFirstBlock : blocks_.back().size * 2;
    const size_t size = std::max(bytes, std::min(grown, size_t{64} << 20));
    void* data = queue_ ? queue_->allocate(size, "intermediate results") : allocate_host(size);
    if (!data)
      throw Error(ErrorCode::out_of_memory,
                  "no memory for " + std::to_string(size) + " bytes of intermediate results");
    blocks_.push_back({data, size});
    used_ = 0;
  }
  void* p = static_cast<char*>(blocks_[block_].data) + used_;
  used_ += bytes;
  return p;
}

Tensor Arena::lasting(DType dtype, Shape shape, const std::string& for_what) {
  if (!queue_) return Tensor::zeros(dtype, shape);
  void* data =
      queue_->allocate(std::max<size_t>(1, size_t(shape.numel()) * size_of(dtype)), for_what);
  return Tensor::view(
      data, dtype, shape,
      std::shared_ptr<const void>(
          data, [queue = queue_](const void* p) { queue->release(const_cast<void*>(p)); }),
      device_);
}

}  // namespace omni
