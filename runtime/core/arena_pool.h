// Arenas that one user takes after the other: what an arena has grown, and what was recorded with
// it, is there for the next. On the host, where that is nothing but memory, each has a new one.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/arena.h"

namespace omni {

class ArenaPool {
 public:
  explicit ArenaPool(const Device* device, Device::Priority priority = Device::Priority::normal)
      : device_(device), priority_(priority) {}

  // From any thread; goes back when it is let go, as long as the pool is there.
  std::shared_ptr<Arena> take() {
    if (!device_) return std::make_shared<Arena>();
    std::unique_ptr<Arena> arena;
    {
      std::lock_guard guard(shelf_->lock);
      if (!shelf_->arenas.empty()) {
        arena = std::move(shelf_->arenas.back());
        shelf_->arenas.pop_back();
      }
    }
    if (!arena) arena = std::make_unique<Arena>(device_, priority_);
    return {arena.release(), [shelf = std::weak_ptr(shelf_)](Arena* used) {
              std::unique_ptr<Arena> back(used);
              const auto there = shelf.lock();
              if (!there) return;
              std::lock_guard guard(there->lock);
              there->arenas.push_back(std::move(back));
            }};
  }

 private:
  struct Shelf {
    std::mutex lock;
    std::vector<std::unique_ptr<Arena>> arenas;  // the one used last at the end
  };
  const Device* device_;
  Device::Priority priority_;
  std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
};

}  // namespace omni
