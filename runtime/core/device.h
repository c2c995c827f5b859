// Memory that is not the host's, and the way there. Wherever a `const Device*` is asked for, nullptr stands for the host.
// A queue holds copies and computations that run one after the other, later than they are asked for: only download() and wait() wait.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace omni {

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string name() const = 0;
  // What its driver calls the place where computations run (of CUDA: the CUcontext), and its number among devices of its kind. nullptr: the driver is not there.
  virtual void* native_context() const = 0;
  virtual int index() const = 0;

  // Throws out_of_memory. Aligned to 256 bytes.
  virtual void* allocate(size_t bytes) const = 0;
  virtual void release(void* data) const noexcept = 0;
  // Copies from and to the host that are complete when they return; for loading, beside all queues.
  virtual void write(void* to, const void* from, size_t bytes) const = 0;
  virtual void read(void* to, const void* from, size_t bytes) const = 0;

  // One thread at a time.
  class Queue {
   public:
    virtual ~Queue() = default;
    virtual void upload(void* to, const void* from, size_t bytes) = 0;  // `from` may change when it returns
    virtual void download(void* to, const void* from, size_t bytes) = 0;
    virtual void copy(void* to, const void* from, size_t bytes) = 0;  // both on the device, without overlap
    virtual void wait() = 0;
  };
  virtual std::unique_ptr<Queue> make_queue() const = 0;
};

}  // namespace omni
