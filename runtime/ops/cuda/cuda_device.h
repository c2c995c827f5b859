// A CUDA device as a Device: its memory, its streams as queues. Every failing call throws, naming
// the call and the device.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "ops/backend.h"
#include "ops/cuda/convolutions.h"
#include "ops/cuda/products.h"

namespace omni::ops::cuda {

// Throws out_of_memory or device.
void check(cudaError_t error, const char* what);

class Event final : public Device::Mark {
 public:
  explicit Event(int device);
  ~Event() override;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Memory that recordings share, a part each.
struct ConstantSlab {
  static constexpr size_t kBytes = size_t{1} << 20, kMostOfOne = kBytes / 4;
  ConstantSlab();
  ~ConstantSlab();
  ConstantSlab(const ConstantSlab&) = delete;
  char* data = nullptr;
  size_t used = 0;
};

// Captured in a stream, and the constants that it reads.
class Graph final : public Device::Recording {
 public:
  Graph(cudaGraph_t graph, std::shared_ptr<const ConstantSlab> constants);
  ~Graph() override;
  cudaGraphExec_t get() const { return exec_; }

 private:
  std::shared_ptr<const ConstantSlab> constants_;
  cudaGraphExec_t exec_ = nullptr;
};

// What was copied; counted by the streams of a device.
struct CopyCounts {
  std::atomic<uint64_t> to_device = 0, to_host = 0;
};

class CudaDevice;

class Stream final : public Device::Queue {
 public:
  Stream(const CudaDevice& device, Device::Priority priority);
  ~Stream() override;
  void* allocate(size_t bytes, const std::string& for_what) override;
  void release(void* data) noexcept override;
  void upload(void* to, const void* from, size_t bytes) override;
  void download(void* to, const void* from, size_t bytes) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void wait() override;
  void mark(Device::Mark& here) override;
  void run_behind(const Device::Mark& there) override;
  std::unique_ptr<Device::Recording> record(const std::function<void()>& work) override;
  void run(const Device::Recording& recording) override;
  // Values that a computation reads, in memory of the device that stays as they are until it has
  // run, each time that it does: nullptr, unless the stream is recorded. Equal values share their
  // place.
  const void* constant(const void* values, size_t bytes);
  // For work of the calling thread, which is on the stream's device from now on.
  cudaStream_t get() const;
  // nullptr: not through cuDNN.
  Convolutions* convolutions();
  Products* products();  // nullptr: not through cuBLASLt

 private:
  const CudaDevice& device_;
  cudaStream_t stream_ = nullptr;
  // Pinned memory that uploads go through, so that they need not wait; used from the front, again
  // from there when all of it has been copied.
  char* staging_ = nullptr;
  size_t staged_ = 0;
  // Of what is being recorded.
  struct Constants {
    std::vector<std::byte> values;
    std::vector<std::pair<size_t, size_t>> places;  // offset in them, bytes
  };
  std::optional<Constants> constants_;
  std::shared_ptr<ConstantSlab> slab_;
  std::unique_ptr<Convolutions> convolutions_;
  std::unique_ptr<Products> products_;
};

class CudaDevice final : public ComputeDevice {
 public:
  explicit CudaDevice(int index);
  std::string name() const override { return name_; }
  void* native_context() const override;  // the primary context, which the runtime uses
  int index() const override { return index_; }
  Memory memory() const override;
  void* allocate(size_t bytes, const std::string& for_what) const override;
  void release(void* data) const noexcept override;
  void write(void* to, const void* from, size_t bytes) const override;
  void read(void* to, const void* from, size_t bytes) const override;
  Copied copied() const override { return {counts_.to_device, counts_.to_host}; }
  std::unique_ptr<Queue> make_queue(Priority priority) const override {
    return std::make_unique<Stream>(*this, priority);
  }
  std::unique_ptr<Mark> make_mark() const override { return std::make_unique<Event>(index_); }
  void frame_to_patches(Queue& queue, const FramePatches& frame, float* out) const override;
  void mel_frames(Queue& queue, const MelFrames& how, const float* samples, int64_t n,
                  float* out) const override;
  const Backend& backend() const override { return *backend_; }

  // --- the streams' side
  CopyCounts& counts() const { return counts_; }
  // Throws what an attempt to get memory has come to, if it has failed.
  void check_memory(cudaError_t error, size_t bytes, const std::string& for_what) const;

 private:
  const int index_;
  std::string name_;
  cudaMemPool_t pool_ = nullptr;
  mutable CopyCounts counts_;
  std::unique_ptr<const Backend> backend_;
};

std::unique_ptr<const Backend> make_backend(const Device* device);

}  // namespace omni::ops::cuda
