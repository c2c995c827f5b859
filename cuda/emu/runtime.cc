#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "emu/memory.h"
#include "emu/stream.h"

struct CUstream_st {
  std::deque<std::function<void()>> work;  // not done yet
  uint64_t n_done = 0;
  uint64_t n_enqueued() const { return n_done + work.size(); }
  void run_until(uint64_t n) {
    while (n_done < n && !work.empty()) {
      auto f = std::move(work.front());
      work.pop_front();
      ++n_done;
      f();
    }
  }
};

struct CUevent_st {
  CUstream_st* stream = nullptr;
  uint64_t n = 0;  // of the stream's work that it stands behind
};

// One thread at a time is inside; what streams do is done by whoever waits.
#define OMNI_API_CALL std::lock_guard guard(omni::emu::api_lock())

namespace omni::emu {

namespace {

std::recursive_mutex& api_lock() {
  static std::recursive_mutex lock;
  return lock;
}

cudaError_t g_last = cudaSuccess;
cudaError_t failed(cudaError_t e) { return g_last = e; }

std::set<CUstream_st*>& streams() {
  static std::set<CUstream_st*> all;
  return all;
}

void run_everything() {
  for (CUstream_st* s : streams()) s->run_until(s->n_enqueued());
}

// The default stream waits for all others, and all others for it.
CUstream_st* stream_of(cudaStream_t stream) {
  static CUstream_st legacy;
  return stream ? stream : &legacy;
}

struct Pinned {
  std::set<std::pair<char*, size_t>> blocks;
  bool contains(const void* p) const {
    for (const auto& [begin, bytes] : blocks)
      if (p >= begin && p < begin + bytes) return true;
    return false;
  }
};
Pinned& pinned() {
  static Pinned p;
  return p;
}

void check_device(const void* p, size_t bytes, const char* what) {
  if (!Memory::instance().is_live(p, bytes)) report(std::string(what) + ": out of bounds", std::to_string(bytes) + " bytes that are no live device memory");
}

void copy(void* to, const void* from, size_t bytes) {
  auto& m = Memory::instance();
  const bool to_device = m.contains(to), from_device = m.contains(from);
  if (to_device) check_device(to, bytes, "cudaMemcpyAsync");
  if (from_device) {
    check_device(from, bytes, "cudaMemcpyAsync");
    if (!m.is_written(from, bytes)) report("cudaMemcpyAsync: uninitialised read", "copies device memory that nothing has written");
  }
  std::memmove(to, from, bytes);
  if (to_device) m.host_wrote(to, bytes);
}

}  // namespace

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  OMNI_API_CALL;
  if (stream && !streams().contains(stream)) return failed(cudaErrorInvalidResourceHandle);
  if (!stream) run_everything();
  CUstream_st* s = stream_of(stream);
  s->work.push_back(std::move(work));
  if (!stream) {
    s->run_until(s->n_enqueued());
  }
  return cudaSuccess;
}

}  // namespace omni::emu

using namespace omni::emu;

extern "C" {

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInvalidDevicePointer: return "invalid device pointer";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() {
  OMNI_API_CALL;
  return std::exchange(g_last, cudaSuccess);
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *properties = {"CPU emulation of CUDA", size_t{16} << 30, 9, 0, 1};
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  OMNI_API_CALL;
  if (!pointer) return failed(cudaErrorInvalidValue);
  *pointer = bytes ? Memory::instance().allocate(bytes, "device memory") : nullptr;
  return *pointer || !bytes ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* pointer) {
  OMNI_API_CALL;
  run_everything();
  return !pointer || Memory::instance().release(pointer) ? cudaSuccess : failed(cudaErrorInvalidDevicePointer);
}

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t) { return cudaMalloc(pointer, bytes); }

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return enqueue(stream, [pointer] {
    if (pointer && !Memory::instance().release(pointer)) report("cudaFreeAsync: bad pointer", "not allocated, or freed before");
  });
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  OMNI_API_CALL;
  *pointer = std::malloc(bytes ? bytes : 1);
  pinned().blocks.insert({static_cast<char*>(*pointer), bytes});
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  OMNI_API_CALL;
  run_everything();
  for (const auto& b : pinned().blocks)
    if (b.first == pointer) {
      pinned().blocks.erase(b);
      std::free(pointer);
      return cudaSuccess;
    }
  return pointer ? failed(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  OMNI_API_CALL;
  if (bytes == 0) return cudaSuccess;
  auto& m = Memory::instance();
  if (!m.contains(from) && !pinned().contains(from)) {  // pageable: taken at once
    auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
    return enqueue(stream, [=] { copy(to, staged->data(), bytes); });
  }
  if (pinned().contains(to)) std::memset(to, 0xff, bytes);  // until it really happens
  const cudaError_t e = enqueue(stream, [=] { copy(to, from, bytes); });
  if (e == cudaSuccess && !m.contains(to) && !pinned().contains(to)) return cudaStreamSynchronize(stream);  // to pageable memory: waits
  return e;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return enqueue(stream, [=] {
    check_device(to, bytes, "cudaMemsetAsync");
    std::memset(to, value, bytes);
    Memory::instance().host_wrote(to, bytes);
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  OMNI_API_CALL;
  streams().insert(*stream = new CUstream_st);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) { return cudaStreamCreate(stream); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  OMNI_API_CALL;
  const cudaError_t e = cudaStreamSynchronize(stream);
  if (e == cudaErrorInvalidResourceHandle) return e;
  streams().erase(stream);
  delete stream;
  return e;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  OMNI_API_CALL;
  if (stream && !streams().contains(stream)) return failed(cudaErrorInvalidResourceHandle);
  CUstream_st* s = stream_of(stream);
  s->run_until(s->n_enqueued());
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  if (!event) return failed(cudaErrorInvalidResourceHandle);
  const CUevent_st e = *event;  // as it is recorded now
  return e.stream ? enqueue(stream, [e] { e.stream->run_until(e.n); }) : cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  OMNI_API_CALL;
  if (!event) return failed(cudaErrorInvalidResourceHandle);
  event->stream = stream_of(stream);
  event->n = event->stream->n_enqueued();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  OMNI_API_CALL;
  if (!event) return failed(cudaErrorInvalidResourceHandle);
  if (event->stream) event->stream->run_until(event->n);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  OMNI_API_CALL;
  run_everything();
  return cudaSuccess;
}

}  // extern "C"
