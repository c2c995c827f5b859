// A libcuda.so.1 over the emulation, so that GStreamer's own CUDA elements run where no driver is:
// contexts are numbers, memory is the emulated device's. What nothing here calls fails.
#include <cuda.h>
#include <dlfcn.h>

#include <cstring>
#include <vector>

namespace {

struct Context {
  int users;
};
thread_local std::vector<CUcontext> t_stack;

// The emulated runtime, which owns the memory.
template <class F>
F* runtime(const char* name) {
  static void* module = dlopen("libomni-cuda-emulated.so", RTLD_NOW);
  return module ? reinterpret_cast<F*>(dlsym(module, name)) : nullptr;
}
int allocate(void** p, size_t n) { return runtime<int(void**, size_t)>("cudaMalloc")(p, n); }
int copy(void* to, const void* from, size_t n) {
  return runtime<int(void*, const void*, size_t, int, void*)>("cudaMemcpyAsync")(to, from, n, 4,
                                                                                 nullptr);
}

CUcontext fresh() { return reinterpret_cast<CUcontext>(new Context{1}); }

}  // namespace

extern "C" {
#define API __attribute__((visibility("default"))) CUresult

API cuInit(unsigned) {
  return runtime<int(void**, size_t)>("cudaMalloc") ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}
API cuDriverGetVersion(int* v) { return *v = 13000, CUDA_SUCCESS; }
API cuDeviceGetCount(int* n) { return *n = 1, CUDA_SUCCESS; }
API cuDeviceGet(CUdevice* d, int ordinal) {
  return *d = ordinal, ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
API cuDeviceGetName(char* name, int n, CUdevice) {
  return std::strncpy(name, "CPU emulation of CUDA", size_t(n)), CUDA_SUCCESS;
}
API cuDeviceGetAttribute(int* v, CUdevice_attribute a, CUdevice) {
  *v = a == CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT          ? 512
       : a == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9
                                                           : 0;
  return CUDA_SUCCESS;
}
API cuDeviceCanAccessPeer(int* can, CUdevice, CUdevice) { return *can = 0, CUDA_SUCCESS; }
API cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  static const CUcontext primary = fresh();
  return *context = primary, CUDA_SUCCESS;
}
API cuGetErrorName(CUresult, const char** s) { return *s = "an error", CUDA_SUCCESS; }
API cuGetErrorString(CUresult, const char** s) {
  return *s = "an error of the fake driver", CUDA_SUCCESS;
}

#undef cuCtxCreate
API cuCtxCreate_v2(CUcontext* context, unsigned, CUdevice) {
  return *context = fresh(), t_stack.push_back(*context), CUDA_SUCCESS;
}
API cuCtxDestroy_v2(CUcontext context) {
  return delete reinterpret_cast<Context*>(context), CUDA_SUCCESS;
}
API cuCtxPushCurrent_v2(CUcontext context) { return t_stack.push_back(context), CUDA_SUCCESS; }
API cuCtxPopCurrent_v2(CUcontext* context) {
  if (t_stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  if (context) *context = t_stack.back();
  return t_stack.pop_back(), CUDA_SUCCESS;
}
API cuCtxEnablePeerAccess(CUcontext, unsigned) { return CUDA_ERROR_NOT_SUPPORTED; }
API cuCtxDisablePeerAccess(CUcontext) { return CUDA_ERROR_NOT_SUPPORTED; }

API cuMemAlloc_v2(CUdeviceptr* p, size_t n) {
  return t_stack.empty() ? CUDA_ERROR_INVALID_CONTEXT
                         : CUresult(allocate(reinterpret_cast<void**>(p), n));
}
API cuMemAllocPitch_v2(CUdeviceptr* p, size_t* pitch, size_t width, size_t height, unsigned) {
  return cuMemAlloc_v2(p, (*pitch = (width + 511) / 512 * 512) * height);
}
API cuMemFree_v2(CUdeviceptr p) {
  return CUresult(runtime<int(void*)>("cudaFree")(reinterpret_cast<void*>(p)));
}
API cuMemAllocHost_v2(void** p, size_t n) {
  return CUresult(runtime<int(void**, size_t)>("cudaMallocHost")(p, n));
}
API cuMemFreeHost(void* p) { return CUresult(runtime<int(void*)>("cudaFreeHost")(p)); }
API cuMemcpy2D_v2(const CUDA_MEMCPY2D* c) {
  if (t_stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  const char* from = c->srcMemoryType == CU_MEMORYTYPE_HOST
                         ? static_cast<const char*>(c->srcHost)
                         : reinterpret_cast<const char*>(c->srcDevice);
  char* to = c->dstMemoryType == CU_MEMORYTYPE_HOST ? static_cast<char*>(c->dstHost)
                                                    : reinterpret_cast<char*>(c->dstDevice);
  for (size_t y = 0; y < c->Height; ++y)
    if (const int e = copy(to + (c->dstY + y) * c->dstPitch + c->dstXInBytes,
                           from + (c->srcY + y) * c->srcPitch + c->srcXInBytes, c->WidthInBytes))
      return CUresult(e);
  return CUDA_SUCCESS;
}
API cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* c, CUstream) { return cuMemcpy2D_v2(c); }
API cuStreamCreate(CUstream* s, unsigned) { return *s = nullptr, CUDA_SUCCESS; }
API cuStreamDestroy_v2(CUstream) { return CUDA_SUCCESS; }
#undef cuStreamDestroy
API cuStreamDestroy(CUstream) { return CUDA_SUCCESS; }
API cuStreamSynchronize(CUstream) { return CUresult(runtime<int()>("cudaDeviceSynchronize")()); }

}  // extern "C"
