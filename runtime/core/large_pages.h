// Memory for weights: mapped in large pages where the system has them, so that reading gigabytes
// once a token does not wait for address translation (it is read half again as fast). Small tensors
// share a mapping.
#pragma once

#include "core/tensor.h"

namespace omni {

// Zeroed, on the host, aligned to 64 bytes. Throws out_of_memory. Any thread.
Tensor zeros_in_large_pages(DType dtype, Shape shape);

}  // namespace omni
