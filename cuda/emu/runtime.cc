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

// Recorded work: a node runs behind those that it names.
struct CUgraph_st {
  struct Node {
    std::function<void()> work;
    std::vector<size_t> after;
  };
  std::vector<Node> nodes;
  std::vector<size_t> last;  // what the stream that was recorded ends with
};

struct CUgraphExec_st {
  std::shared_ptr<std::vector<std::function<void()>>> work;
};

// Of a stream and those that an event of it drew in.
struct Capture {
  cudaStream_t origin;
  CUgraph_st* graph;
  bool invalid = false;
};

struct CUstream_st {
  std::shared_ptr<Capture> capture;
  std::vector<size_t> tail;                // nodes that the next one of the capture runs behind
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
  uint64_t n = 0;                    // of the stream's work that it stands behind
  std::shared_ptr<Capture> capture;  // recorded in a stream that was captured
  std::vector<size_t> nodes;
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
  if (!Memory::instance().is_live(p, bytes))
    report(std::string(what) + ": out of bounds",
           std::to_string(bytes) + " bytes that are no live device memory");
}

void copy(void* to, const void* from, size_t bytes) {
  auto& m = Memory::instance();
  const bool to_device = m.contains(to), from_device = m.contains(from);
  if (to_device) check_device(to, bytes, "cudaMemcpyAsync");
  if (from_device) {
    check_device(from, bytes, "cudaMemcpyAsync");
    if (!m.is_written(from, bytes))
      report("cudaMemcpyAsync: uninitialised read",
             "copies device memory that nothing has written");
  }
  std::memmove(to, from, bytes);
  if (to_device) m.host_wrote(to, bytes);
}

}  // namespace

namespace {

thread_local int captures = 0;  // that this thread has begun

// For calls that do not go with a capture: those that wait for a stream, and those that allocate
// (nullptr: whatever this thread captures; its captures are thread-local).
cudaError_t not_while_capturing(CUstream_st* only = nullptr) {
  if (only ? !only->capture : !captures) return cudaSuccess;
  for (CUstream_st* s : streams())
    if (s->capture && (!only || s == only)) s->capture->invalid = true;
  return failed(cudaErrorStreamCaptureUnsupported);
}

// Every node behind those it names, and of nodes that nothing orders the later ones first.
void put_in_order(const CUgraph_st& graph, const std::vector<size_t>& wanted,
                  std::vector<bool>& done, std::vector<size_t>& order) {
  for (auto it = wanted.rbegin(); it != wanted.rend(); ++it) {
    if (done[*it]) continue;
    done[*it] = true;
    put_in_order(graph, graph.nodes[*it].after, done, order);
    order.push_back(*it);
  }
}

std::vector<size_t> in_order(const CUgraph_st& graph) {
  std::vector<bool> done(graph.nodes.size());
  std::vector<size_t> order;
  put_in_order(graph, graph.last, done, order);
  return order;
}

}  // namespace

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  OMNI_API_CALL;
  if (stream && !streams().contains(stream)) return failed(cudaErrorInvalidResourceHandle);
  if (stream && stream->capture) {
    CUgraph_st& graph = *stream->capture->graph;
    graph.nodes.push_back({std::move(work), stream->tail});
    stream->tail = {graph.nodes.size() - 1};
    return cudaSuccess;
  }
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
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevicePointer:
      return "invalid device pointer";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnmatched:
      return "stream capture was not initiated in this stream";
    case cudaErrorStreamCaptureUnjoined:
      return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation:
      return "dependency created on uncaptured work in another stream";
    case cudaErrorStreamCaptureImplicit:
      return "operation would make the legacy stream depend on a capturing blocking stream";
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
  if (const cudaError_t e = not_while_capturing()) return e;
  *pointer = bytes ? Memory::instance().allocate(bytes, "device memory") : nullptr;
  return *pointer || !bytes ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* pointer) {
  OMNI_API_CALL;
  if (const cudaError_t e = not_while_capturing()) return e;
  run_everything();
  return !pointer || Memory::instance().release(pointer) ? cudaSuccess
                                                         : failed(cudaErrorInvalidDevicePointer);
}

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t) {
  return cudaMalloc(pointer, bytes);
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return enqueue(stream, [pointer] {
    if (pointer && !Memory::instance().release(pointer))
      report("cudaFreeAsync: bad pointer", "not allocated, or freed before");
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

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  OMNI_API_CALL;
  if (bytes == 0) return cudaSuccess;
  auto& m = Memory::instance();
  const auto pageable = [&](const void* p) { return !m.contains(p) && !pinned().contains(p); };
  if (pageable(from) || pageable(to))
    if (const cudaError_t e = not_while_capturing(stream_of(stream))) return e;
  if (pageable(from)) {  // pageable: taken at once
    auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from),
                                                      static_cast<const char*>(from) + bytes);
    return enqueue(stream, [=] { copy(to, staged->data(), bytes); });
  }
  if (pinned().contains(to)) std::memset(to, 0xff, bytes);  // until it really happens
  const cudaError_t e = enqueue(stream, [=] { copy(to, from, bytes); });
  // to pageable memory: waits
  if (e == cudaSuccess && pageable(to)) return cudaStreamSynchronize(stream);
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

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return *least = 0, *greatest = -5, cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int, int) {
  return cudaStreamCreate(stream);
}

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
  if (const cudaError_t e = not_while_capturing(s)) return e;
  s->run_until(s->n_enqueued());
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  OMNI_API_CALL;
  if (!event) return failed(cudaErrorInvalidResourceHandle);
  const CUevent_st e = *event;  // as it is recorded now
  CUstream_st* s = stream_of(stream);
  if (e.capture && e.capture->graph) {
    if (!s->capture) s->capture = e.capture, s->tail.clear();
    s->tail.insert(s->tail.end(), e.nodes.begin(), e.nodes.end());
    return cudaSuccess;
  }
  if (s->capture && e.stream) {
    s->capture->invalid = true;
    return failed(cudaErrorStreamCaptureIsolation);
  }
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
  event->capture = event->stream->capture, event->nodes = event->stream->tail;
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  OMNI_API_CALL;
  if (!event) return failed(cudaErrorInvalidResourceHandle);
  if (event->capture && event->capture->graph) {
    event->capture->invalid = true;
    return failed(cudaErrorStreamCaptureUnsupported);
  }
  if (event->stream) event->stream->run_until(event->n);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  OMNI_API_CALL;
  if (const cudaError_t e = not_while_capturing()) return e;
  run_everything();
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  *pool = nullptr;
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  OMNI_API_CALL;
  const Memory& memory = Memory::instance();
  *total = memory.limit();
  *free = memory.limit() - std::min(memory.limit(), memory.in_use());
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  OMNI_API_CALL;
  if (!stream) return failed(cudaErrorStreamCaptureUnsupported);
  if (!streams().contains(stream)) return failed(cudaErrorInvalidResourceHandle);
  if (stream->capture) return failed(cudaErrorInvalidValue);
  stream->capture = std::make_shared<Capture>(Capture{stream, new CUgraph_st});
  stream->tail.clear();
  ++captures;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  OMNI_API_CALL;
  *graph = nullptr;
  if (!stream || !streams().contains(stream)) return failed(cudaErrorInvalidResourceHandle);
  if (!stream->capture || stream->capture->origin != stream)
    return failed(cudaErrorStreamCaptureUnmatched);
  const std::shared_ptr<Capture> capture = stream->capture;
  std::unique_ptr<CUgraph_st> made(std::exchange(capture->graph, nullptr));
  made->last = stream->tail;
  for (CUstream_st* s : streams())
    if (s->capture == capture) s->capture.reset(), s->tail.clear();
  --captures;
  if (capture->invalid) return failed(cudaErrorStreamCaptureInvalidated);
  if (in_order(*made).size() < made->nodes.size()) return failed(cudaErrorStreamCaptureUnjoined);
  *graph = made.release();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (!graph) return failed(cudaErrorInvalidValue);
  auto work = std::make_shared<std::vector<std::function<void()>>>();
  for (const size_t node : in_order(*graph)) work->push_back(graph->nodes[node].work);
  *exec = new CUgraphExec_st{std::move(work)};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (!exec) return failed(cudaErrorInvalidValue);
  return enqueue(stream, [work = exec->work] {
    for (const auto& node : *work) node();
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

}  // extern "C"
