// Streams that do their work as late as they may: only when somebody waits for them. What was not
// ordered by an event or a synchronisation is then seen to be missing.
#pragma once

#include <cstdint>
#include <functional>

#include "emu/cuda_runtime.h"

namespace omni::emu {

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);
extern uint32_t current_access;  // of the thread that is running, for the hooks

}  // namespace omni::emu
