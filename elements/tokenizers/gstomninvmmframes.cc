#include "tokenizers/gstomninvmmframes.h"

#include "omni/error.h"

#define NVMM "memory:NVMM"

bool GstOmniNvmmFrames::is_nvmm(const GstCaps* caps) {
  return gst_caps_features_contains(gst_caps_get_features(caps, 0), NVMM);
}

#if OMNI_HAVE_NVMM
#include <nvbufsurface.h>

std::string GstOmniNvmmFrames::with_nvmm(const std::string& caps) {
  const std::string plain = "video/x-raw";
  return plain + "(" NVMM ")" +
         caps.substr(caps.rfind("; ") == std::string::npos ? plain.size()
                                                           : caps.rfind("; ") + 2 + plain.size()) +
         "; " + caps;
}

void GstOmniNvmmFrames::look(GstBuffer* buffer, GstMapInfo& map, omni::VideoFrame& view) {
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
    throw omni::Error(omni::ErrorCode::corrupt_file, "a buffer of " NVMM " cannot be mapped");
  const auto* surface = reinterpret_cast<const NvBufSurface*>(map.data);
  const bool on_cuda = surface->numFilled > 0 && (surface->memType == NVBUF_MEM_CUDA_DEVICE ||
                                                  surface->memType == NVBUF_MEM_CUDA_UNIFIED ||
                                                  surface->memType == NVBUF_MEM_CUDA_PINNED);
  if (!on_cuda) {
    const auto type = int(surface->memType);
    gst_buffer_unmap(buffer, &map);
    throw omni::Error(omni::ErrorCode::unsupported,
                      NVMM " of type " + std::to_string(type) +
                          " is no CUDA memory: put nvvideoconvert "
                          "nvbuf-memory-type=nvbuf-mem-cuda-device ahead of omnivideotokenizer");
  }
  const NvBufSurfaceParams& first = surface->surfaceList[0];
  for (unsigned p = 0; p < first.planeParams.num_planes && p < 3; ++p) {
    view.data[p] = static_cast<const uint8_t*>(first.dataPtr) + first.planeParams.offset[p];
    view.stride[p] = first.planeParams.pitch[p];
  }
  view.on_device = true;
}

#else

std::string GstOmniNvmmFrames::with_nvmm(const std::string& caps) { return caps; }
void GstOmniNvmmFrames::look(GstBuffer*, GstMapInfo&, omni::VideoFrame&) {
  throw omni::Error(omni::ErrorCode::internal, NVMM " is not built in");
}

#endif
