// Functions of libcuda.so.1 and libnvcuvid.so.1 that GStreamer's loader looks for and nothing in
// the tests calls: 801 is CUDA_ERROR_NOT_SUPPORTED.
#define MISSING(name) \
  extern "C" __attribute__((visibility("default"))) int name() { return 801; }
// clang-format off
#ifdef NVCUVID
MISSING(cuvidCreateDecoder) MISSING(cuvidCreateVideoParser) MISSING(cuvidCtxLock) MISSING(cuvidCtxLockCreate) MISSING(cuvidCtxLockDestroy) MISSING(cuvidCtxUnlock)
MISSING(cuvidDecodePicture) MISSING(cuvidDestroyDecoder) MISSING(cuvidDestroyVideoParser) MISSING(cuvidGetDecoderCaps) MISSING(cuvidMapVideoFrame64) MISSING(cuvidParseVideoData)
MISSING(cuvidUnmapVideoFrame64)
#else
MISSING(cuGLGetDevices_v2) MISSING(cuGraphicsGLRegisterBuffer) MISSING(cuGraphicsGLRegisterImage) MISSING(cuGraphicsMapResources) MISSING(cuGraphicsResourceGetMappedPointer_v2)
MISSING(cuGraphicsResourceSetMapFlags_v2) MISSING(cuGraphicsSubResourceGetMappedArray) MISSING(cuGraphicsUnmapResources) MISSING(cuGraphicsUnregisterResource) MISSING(cuLaunchKernel)
MISSING(cuModuleGetFunction) MISSING(cuModuleLoadData) MISSING(cuModuleUnload) MISSING(cuTexObjectCreate) MISSING(cuTexObjectDestroy)
#endif
