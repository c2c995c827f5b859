// The devices that a model's tests run on: the host and, where it was built, emulated CUDA, on
// which what the checker finds ends the test. With OMNI_CUDA=hardware in the environment it is a
// real GPU instead (tools/gpu-check).
#pragma once

#include <cstdlib>
#include <vector>

#include "engine/devices.h"

namespace omni {

inline std::vector<const char*> test_devices() {
#if OMNI_CUDA_EMULATED
  return {"cpu", "cuda"};
#else
  return {"cpu"};
#endif
}

inline const Device* open_test_device(const char* name) {
  ::setenv("OMNI_CUDA", "emulated", 0);
  ::setenv("OMNI_CUDA_FAULTS", "abort", 1);
  return open_device(name);
}

}  // namespace omni
