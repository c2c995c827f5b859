#include "ops/cuda/cuda_device.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

#include "kernels/log_mel.h"
#include "kernels/patches.h"
#include "ops/cuda/open.h"

namespace omni::ops::cuda {

namespace {
constexpr size_t kStaging = size_t{4} << 20, kAlign = 256;
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  const ErrorCode code =
      error == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::device;
  throw Error(code, std::string(what) + ": " + cudaGetErrorString(error));
}

Stream::Stream(const CudaDevice& device, Device::Priority priority) : device_(device) {
  check(cudaSetDevice(device_.index()), "cudaSetDevice");
  int least = 0, greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking,
                                     priority == Device::Priority::urgent ? greatest : least),
        "cudaStreamCreateWithPriority");
}

Stream::~Stream() {
  cudaSetDevice(device_.index());
  cudaStreamSynchronize(stream_);
  convolutions_.reset(), products_.reset();
  cudaStreamDestroy(stream_);
  cudaFreeHost(staging_);
}

void* Stream::allocate(size_t bytes, const std::string& for_what) {
  void* data = nullptr;
  device_.check_memory(cudaMallocAsync(&data, bytes, get()), bytes, for_what);
  return data;
}

void Stream::release(void* data) noexcept {
  cudaSetDevice(device_.index());
  cudaFreeAsync(data, stream_);
}

cudaStream_t Stream::get() const {
  check(cudaSetDevice(device_.index()), "cudaSetDevice");
  return stream_;
}

Convolutions* Stream::convolutions() {
  const Cudnn* cudnn = Convolutions::wanted();
  if (cudnn && !convolutions_) convolutions_ = std::make_unique<Convolutions>(*cudnn, get());
  return convolutions_.get();
}

Products* Stream::products() {
  const CublasLt* library = Products::wanted();
  if (library && !products_) {
    get();  // its handle is of the device that is current
    products_ = std::make_unique<Products>(*library);
  }
  return products_.get();
}

void Stream::upload(void* to, const void* from, size_t bytes) {
  if (constants_) throw Error(ErrorCode::internal, "an upload while work is recorded");
  const cudaStream_t stream = get();
  if (!staging_)
    check(cudaMallocHost(reinterpret_cast<void**>(&staging_), kStaging), "cudaMallocHost");
  for (size_t done = 0; done < bytes;) {
    if (staged_ == kStaging) wait();
    const size_t n = std::min(bytes - done, kStaging - staged_);
    std::memcpy(staging_ + staged_, static_cast<const char*>(from) + done, n);
    check(cudaMemcpyAsync(static_cast<char*>(to) + done, staging_ + staged_, n,
                          cudaMemcpyHostToDevice, stream),
          "cudaMemcpyAsync");
    done += n, staged_ += n;
  }
  device_.counts().to_device += bytes;
}

void Stream::download(void* to, const void* from, size_t bytes) {
  if (bytes)
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, get()), "cudaMemcpyAsync");
  device_.counts().to_host += bytes;
  wait();
}

void Stream::copy(void* to, const void* from, size_t bytes) {
  if (bytes)
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, get()), "cudaMemcpyAsync");
}

void Stream::wait() {
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  staged_ = 0;
}

void Stream::mark(Device::Mark& here) {
  check(cudaEventRecord(static_cast<Event&>(here).get(), get()), "cudaEventRecord");
}

void Stream::run_behind(const Device::Mark& there) {
  check(cudaStreamWaitEvent(get(), static_cast<const Event&>(there).get(), 0),
        "cudaStreamWaitEvent");
}

std::unique_ptr<Device::Recording> Stream::record(const std::function<void()>& work) {
  get();
  if (!slab_ || ConstantSlab::kBytes - slab_->used < ConstantSlab::kMostOfOne)
    slab_ = std::make_shared<ConstantSlab>();
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
  constants_.emplace();
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    constants_.reset();
    cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();  // of the capture: the next launch is not to blame for it
    throw;
  }
  const Constants constants = std::move(*constants_);
  constants_.reset();
  check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
  auto recording = std::make_unique<Graph>(graph, slab_);
  upload(slab_->data + slab_->used, constants.values.data(), constants.values.size());
  slab_->used += constants.values.size();
  return recording;
}

const void* Stream::constant(const void* values, size_t bytes) {
  if (!constants_) return nullptr;
  std::vector<std::byte>& all = constants_->values;
  for (const auto& [offset, size] : constants_->places)
    if (size == bytes && std::memcmp(all.data() + offset, values, bytes) == 0)
      return slab_->data + slab_->used + offset;
  const size_t offset = all.size();
  all.resize(offset + (bytes + kAlign - 1) / kAlign * kAlign);
  if (all.size() > ConstantSlab::kMostOfOne)
    throw Error(ErrorCode::internal, "too many constants to be recorded");
  std::memcpy(all.data() + offset, values, bytes);
  constants_->places.emplace_back(offset, bytes);
  return slab_->data + slab_->used + offset;
}

void Stream::run(const Device::Recording& recording) {
  check(cudaGraphLaunch(static_cast<const Graph&>(recording).get(), get()), "cudaGraphLaunch");
}

Event::Event(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

Event::~Event() { cudaEventDestroy(event_); }

ConstantSlab::ConstantSlab() {
  check(cudaMalloc(reinterpret_cast<void**>(&data), kBytes), "cudaMalloc");
}

ConstantSlab::~ConstantSlab() { cudaFree(data); }

Graph::Graph(cudaGraph_t graph, std::shared_ptr<const ConstantSlab> constants)
    : constants_(std::move(constants)) {
  const cudaError_t error = cudaGraphInstantiate(&exec_, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "cudaGraphInstantiate");
}

Graph::~Graph() { cudaGraphExecDestroy(exec_); }

CudaDevice::CudaDevice(int index) : index_(index), backend_(make_backend(this)) {
  int count = 0;
  check(cudaGetDeviceCount(&count), "no CUDA device");
  if (index >= count)
    throw Error(ErrorCode::device, "there is no CUDA device " + std::to_string(index) + ": " +
                                       std::to_string(count) + " found");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  // Memory that a queue gives back stays with the process: the next one asks for as much again.
  check(cudaDeviceGetDefaultMemPool(&pool_, index), "cudaDeviceGetDefaultMemPool");
  uint64_t keep_all = UINT64_MAX;
  check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all),
        "cudaMemPoolSetAttribute");
  name_ = "cuda:" + std::to_string(index) + " (" + properties.name + ")";
}

void* CudaDevice::native_context() const {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW);
  const auto retain =
      driver ? reinterpret_cast<int (*)(void**, int)>(dlsym(driver, "cuDevicePrimaryCtxRetain"))
             : nullptr;
  void* context = nullptr;
  return retain && retain(&context, index_) == 0 ? context : nullptr;
}

void CudaDevice::frame_to_patches(Queue& queue, const FramePatches& f, float* out) const {
  using omni::cuda::kMostSpan;
  if (f.widest_span > kMostSpan)
    throw Error(ErrorCode::unsupported, "a patch is made of " + std::to_string(f.widest_span) +
                                            " samples in a row, at most " +
                                            std::to_string(kMostSpan) + " on " + name_ +
                                            ": scale the video down first");
  const auto axis = [](const FramePatches::Axis& a) {
    return omni::cuda::ResizeAxis{a.first, a.weight, a.n_taps, a.precision};
  };
  omni::cuda::PatchPicture p{};
  for (int c = 0; c < 3; ++c) {
    const FramePatches::Plane& from = f.plane[c];
    p.plane[c] = {from.data,   from.stride,  from.step,   from.width,
                  from.height, axis(from.x), axis(from.y)};
    p.scale[c] = f.scale[c], p.offset[c] = f.offset[c];
  }
  p.rows_first = f.rows_first, p.yuv = f.yuv;
  p.y_offset = f.y_offset, p.y = f.y, p.r_v = f.r_v, p.g_u = f.g_u, p.g_v = f.g_v, p.b_u = f.b_u;
  check(omni::cuda::patches(p, out, f.index, f.grid_h, f.grid_w, f.patch, f.merge, f.widest_span,
                            static_cast<Stream&>(queue).get()),
        "patches");
}

void CudaDevice::mel_frames(Queue& queue, const MelFrames& m, const float* samples, int64_t n,
                            float* out) const {
  check(omni::cuda::log_mel(samples, {m.cos, m.sin, m.first, m.n, m.weight, m.n_mels, m.widest},
                            out, int(n), static_cast<Stream&>(queue).get()),
        "log_mel");
}

// Without what queues have given back and the pool keeps for them: that goes back first.
Device::Memory CudaDevice::memory() const {
  check(cudaSetDevice(index_), "cudaSetDevice");
  check(cudaMemPoolTrimTo(pool_, 0), "cudaMemPoolTrimTo");
  Memory memory{};
  check(cudaMemGetInfo(&memory.free, &memory.total), "cudaMemGetInfo");
  return memory;
}

void CudaDevice::check_memory(cudaError_t error, size_t bytes, const std::string& for_what) const {
  if (error != cudaErrorMemoryAllocation) return check(error, name_.c_str());
  const Memory there = memory();
  const auto mib = [](size_t n) { return std::to_string(n >> 20) + " MiB"; };
  const std::string wanted = bytes >> 20 ? mib(bytes) : std::to_string(bytes) + " bytes";
  throw Error(ErrorCode::out_of_memory, name_ + " has no " + wanted + " for " + for_what + ": " +
                                            mib(there.free) + " of its " + mib(there.total) +
                                            " are free");
}

void* CudaDevice::allocate(size_t bytes, const std::string& for_what) const {
  check(cudaSetDevice(index_), "cudaSetDevice");
  void* data = nullptr;
  check_memory(cudaMalloc(&data, bytes), bytes, for_what);
  return data;
}

void CudaDevice::write(void* to, const void* from, size_t bytes) const {
  check(cudaSetDevice(index_), "cudaSetDevice");
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, nullptr), "cudaMemcpyAsync");
  counts_.to_device += bytes;
  check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
}

void CudaDevice::read(void* to, const void* from, size_t bytes) const {
  check(cudaSetDevice(index_), "cudaSetDevice");
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, nullptr), "cudaMemcpyAsync");
  counts_.to_host += bytes;
  check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
}

void CudaDevice::release(void* data) const noexcept {
  cudaSetDevice(index_);
  cudaFree(data);
}

}  // namespace omni::ops::cuda

omni::ops::ComputeDevice* omni_open_cuda(int index, omni::Error** error) noexcept {
  try {
    return new omni::ops::cuda::CudaDevice(index);
  } catch (const omni::Error& e) {
    *error = new omni::Error(e);
    return nullptr;
  }
}
