// Frames in memory:NVMM, as NVIDIA's DeepStream has them on a discrete GPU. Built only against the
// user's own SDK (-DOMNI_NVMM_INCLUDE=the folder of nvbufsurface.h), off by default, and UNTESTED:
// nobody has run it; it compiles against a stand-in for that header (tests/cuda/nvmm). A Jetson's
// surfaces, which are no CUDA addresses, are refused.
#pragma once

#include <gst/video/video.h>

#include <string>

#include "omni/video.h"

class GstOmniNvmmFrames {
 public:
  // Of a pad template: the caps with the NVMM feature ahead; unchanged where it is not built in.
  static std::string with_nvmm(const std::string& caps);
  static bool is_nvmm(const GstCaps* caps);

  // The first surface of a buffer whose caps are NVMM: data, strides and on_device of `view`, valid
  // while `map` is mapped (GST_MAP_READ), which the caller undoes. Throws omni::Error.
  static void look(GstBuffer* buffer, GstMapInfo& map, omni::VideoFrame& view);
};
