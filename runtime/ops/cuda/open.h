// The one door of the CUDA module, a library of its own, so that everything else loads where no
// driver is. (session/devices.cc opens it)
#pragma once

#include "ops/backend.h"

extern "C" {
// Device `index`, for ever; or nullptr and the reason, which the caller deletes.
__attribute__((visibility("default"))) omni::ops::ComputeDevice* omni_open_cuda(
    int index, omni::Error** error) noexcept;
}
