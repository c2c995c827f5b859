// Memory for the intermediate results of one computation: taken by bumping a pointer, given back
// all at once by leaving a Scope. After the first pass over a model an Arena allocates nothing. One
// thread at a time; the blocks stay until the Arena goes. On a device an Arena has a queue: what is
// computed with it runs there, in order.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/identity.h"
#include "core/tensor.h"

namespace omni {

class Arena {
 public:
  explicit Arena(const Device* device = nullptr,
                 Device::Priority priority = Device::Priority::normal)
      : Arena(device, device ? device->make_queue(priority) : nullptr) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  const Device* device() const { return device_; }
  Device::Queue& queue() { return *queue_; }  // there is one on a device only

  // Uninitialised memory, aligned to 64 bytes, valid until the innermost Scope ends.
  void* allocate(size_t bytes);
  Tensor tensor(DType dtype, Shape shape) {
    return Tensor::view(allocate(size_t(shape.numel()) * size_of(dtype)), dtype, shape, nullptr,
                        device_);
  }
  Tensor f32(Shape shape) { return tensor(DType::f32, shape); }
  // Memory of its own, zeroed on the host, uninitialised on a device, where it is taken and given
  // back in the order of the queue's work: nothing waits for it, and no other queue may use it.
  // for_what: as Device::allocate() has it.
  Tensor lasting(DType dtype, Shape shape, const std::string& for_what = "states");
  // An arena of the same thread with memory of its own, whose work goes to the same queue.
  std::unique_ptr<Arena> beside() const {
    return std::unique_ptr<Arena>(new Arena(device_, queue_));
  }
  // What lasts with this arena, such as what was recorded in its queue: one for each key, made when
  // it is first asked for.
  template <class T>
  T& attached(const Identity& key) {
    auto& there = attached_[key.number()];
    if (!there) there = std::make_shared<T>();
    return *static_cast<T*>(there.get());
  }

  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), block_(arena.block_), used_(arena.used_) {}
    ~Scope() { arena_.block_ = block_, arena_.used_ = used_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_, used_;
  };

 private:
  Arena(const Device* device, std::shared_ptr<Device::Queue> queue)
      : device_(device), queue_(std::move(queue)) {}

  struct Block {
    void* data;
    size_t size;
  };
  const Device* device_;
  std::shared_ptr<Device::Queue> queue_;
  std::vector<Block> blocks_;
  size_t block_ = 0;                                    // index of the block in use
  size_t used_ = 0;                                     // bytes used of it
  std::map<uint64_t, std::shared_ptr<void>> attached_;  // by the number of their key
};

}  // namespace omni
