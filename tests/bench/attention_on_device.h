// Attention of one layer on a device: what its kernels take, in pieces that a model asks for.
#pragma once

#include "core/device.h"

namespace omni {

// Prints a table. Each row: the median of several runs over as many layers as no cache holds; how
// far the rounded result is from the float32 one (largest difference by largest value).
void bench_attention_on(const Device* device);

}  // namespace omni
