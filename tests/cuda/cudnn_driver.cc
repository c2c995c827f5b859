// As much of a libcuda.so.1 as cuDNN asks for while it makes a plan for a device that is only
// described: libraries load, kernels can be had, everything else is not supported.
extern "C" {
#define API __attribute__((visibility("default"))) int
constexpr int kNotSupported = 801;

API cuInit(unsigned) { return 0; }
API cuDriverGetVersion(int* v) { return *v = 13000, 0; }
API cuDeviceGetCount(int* n) { return *n = 0, 0; }
API cuGetErrorName(int, const char** s) { return *s = "an error", 0; }
API cuGetErrorString(int, const char** s) { return *s = "an error of the fake driver", 0; }
API cuLibraryLoadData(void** library, const void*, void*, void*, unsigned, void*, void*, unsigned) {
  return *library = reinterpret_cast<void*>(16), 0;
}
API cuLibraryUnload(void*) { return 0; }
API cuLibraryGetKernel(void** kernel, void*, const char*) {
  return *kernel = reinterpret_cast<void*>(32), 0;
}
API cuLibraryGetModule(void** module, void*) { return *module = reinterpret_cast<void*>(48), 0; }
API cuKernelGetFunction(void** function, void*) {
  return *function = reinterpret_cast<void*>(64), 0;
}
API cuKernelGetAttribute(int* v, int, void*, int) { return *v = 0, 0; }
API cuKernelSetAttribute(int, int, void*, int) { return 0; }
API cuModuleLoadData(void** module, const void*) {
  return *module = reinterpret_cast<void*>(48), 0;
}
API cuModuleLoadDataEx(void** module, const void*, unsigned, void*, void*) {
  return *module = reinterpret_cast<void*>(48), 0;
}
API cuModuleUnload(void*) { return 0; }
API cuModuleGetFunction(void** function, void*, const char*) {
  return *function = reinterpret_cast<void*>(64), 0;
}
API cuFuncGetAttribute(int* v, int, void*) { return *v = 0, 0; }
API cuFuncSetAttribute(void*, int, int) { return 0; }
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* n, void*, int, unsigned long) {
  return *n = 1, 0;
}
API cuTensorMapEncodeTiled(void*, int, unsigned, void*, const void*, const void*, const void*,
                           const void*, int, int, int, int) {
  return 0;
}
API cuTensorMapEncodeIm2col(void*, int, unsigned, void*, const void*, const void*, const int*,
                            const int*, unsigned, unsigned, const void*, int, int, int, int) {
  return 0;
}
API cuGetProcAddress_v2(const char*, void** f, int, unsigned long long, int*) {
  return *f = nullptr, kNotSupported;
}

#define NOT_SUPPORTED(name) \
  API name() { return kNotSupported; }
NOT_SUPPORTED(cuCtxGetCurrent)
NOT_SUPPORTED(cuCtxGetLimit)
NOT_SUPPORTED(cuCtxPopCurrent)
NOT_SUPPORTED(cuCtxPushCurrent)
NOT_SUPPORTED(cuDeviceGet)
NOT_SUPPORTED(cuLaunchCooperativeKernel)
NOT_SUPPORTED(cuLaunchKernel)
NOT_SUPPORTED(cuLaunchKernelEx)
NOT_SUPPORTED(cuLibraryLoadFromFile)
NOT_SUPPORTED(cuLinkAddData)
NOT_SUPPORTED(cuLinkComplete)
NOT_SUPPORTED(cuLinkCreate)
NOT_SUPPORTED(cuLinkDestroy)
NOT_SUPPORTED(cuOccupancyMaxPotentialClusterSize)
NOT_SUPPORTED(cuStreamGetCtx)
}
