// Memory that is not the host's, and the way there. Wherever a `const Device*` is asked for,
// nullptr stands for the host. A queue holds copies and computations that run one after the other,
// later than they are asked for: only download() and wait() wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace omni {

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string name() const = 0;
  // What its driver calls the place where computations run (of CUDA: the CUcontext), and its number
  // among devices of its kind. nullptr: the driver is not there.
  virtual void* native_context() const = 0;
  virtual int index() const = 0;

  // Bytes that can be had now, of all that there are.
  struct Memory {
    size_t free, total;
  };
  virtual Memory memory() const = 0;
  // Throws out_of_memory, which names the device, `for_what` and what is free. Aligned to 256
  // bytes.
  virtual void* allocate(size_t bytes, const std::string& for_what) const = 0;
  virtual void release(void* data) const noexcept = 0;
  // Copies from and to the host that are complete when they return; for loading, beside all queues.
  virtual void write(void* to, const void* from, size_t bytes) const = 0;
  virtual void read(void* to, const void* from, size_t bytes) const = 0;
  // Bytes that write(), read() and all queues have copied so far.
  struct Copied {
    uint64_t to_device = 0, to_host = 0;
  };
  virtual Copied copied() const = 0;

  // A point in the work of a queue, for another queue to run behind.
  class Mark {
   public:
    virtual ~Mark() = default;
  };
  virtual std::unique_ptr<Mark> make_mark() const = 0;

  // Work of a queue that was recorded instead of run.
  class Recording {
   public:
    virtual ~Recording() = default;
  };

  // One thread at a time.
  class Queue {
   public:
    virtual ~Queue() = default;
    // Memory from here on, and until here. Throws out_of_memory as the device does.
    virtual void* allocate(size_t bytes, const std::string& for_what) = 0;
    virtual void release(void* data) noexcept = 0;
    // `from` may change when it returns
    virtual void upload(void* to, const void* from, size_t bytes) = 0;
    virtual void download(void* to, const void* from, size_t bytes) = 0;
    // both on the device, without overlap
    virtual void copy(void* to, const void* from, size_t bytes) = 0;
    virtual void wait() = 0;
    virtual void mark(Mark& here) = 0;
    // what is asked for from now on; nothing, where the mark was never set
    virtual void run_behind(const Mark& there) = 0;
    // `work` asks this queue for computations and copies on the device: no upload, no waiting, no
    // memory. What a computation is told beside its tensors (ids, ranges) is recorded with it.
    virtual std::unique_ptr<Recording> record(const std::function<void()>& work) = 0;
    virtual void run(const Recording& recording) = 0;
  };
  // urgent: its work goes ahead of what other queues of the device have waiting.
  enum class Priority { normal, urgent };
  virtual std::unique_ptr<Queue> make_queue(Priority priority) const = 0;
};

}  // namespace omni
