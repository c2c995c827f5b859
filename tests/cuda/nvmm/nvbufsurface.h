// A stand-in for the SDK's header with the members that gstomninvmmframes.cc reads, by NVIDIA's
// documentation of NvBufSurface: it shows that the code compiles, nothing else.
#pragma once

#include <cstdint>

enum NvBufSurfaceMemType {
  NVBUF_MEM_DEFAULT,
  NVBUF_MEM_CUDA_PINNED,
  NVBUF_MEM_CUDA_DEVICE,
  NVBUF_MEM_CUDA_UNIFIED,
  NVBUF_MEM_SURFACE_ARRAY
};
struct NvBufSurfacePlaneParams {
  uint32_t num_planes, pitch[4], offset[4];
};
struct NvBufSurfaceParams {
  NvBufSurfacePlaneParams planeParams;
  void* dataPtr;
};
struct NvBufSurface {
  uint32_t numFilled;
  NvBufSurfaceMemType memType;
  NvBufSurfaceParams* surfaceList;
};
