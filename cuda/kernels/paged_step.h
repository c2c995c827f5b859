// Attention of a step at once: keys and values of tokens that are each alone in their sequence go
// to the pages, queries and keys are rotated, and what the queries see is summed up. The keys that
// were there before are on their way while the kernel before this one ends.
#pragma once

#include "kernels/paged_stretch.h"
#include "kernels/rotate.h"

namespace omni::cuda {

constexpr int kStepCounters = 64;  // of a token

// As they leave their product: q [n, n_heads · head_dim], k, v [n, n_kv_heads · head_dim].
struct StepRows {
  const float *q, *k, *v;
  int64_t q_stride, k_stride, v_stride;
  Rotary q_angles[kMostLanes];  // for the keys of a lane
  Rotary k_angles;
};

// Pages of bf16, heads of 64 or 128, and no more of them than there are counters.
bool can_step(const PagedShape& shape);

// slots: [n]; seen: [n, n_lanes], of which one ends with the token's own row; most_stretches,
// partial, y: as of paged_decode() in paged_decode.h; counters: [n, kStepCounters] zeros, which
// they are again. What seen, slots and tables hold, and all rows but the tokens' own, has been
// there since before the stream's last upload. cudaErrorInvalidValue for what it cannot do.
template <class Y>
cudaError_t paged_step(const StepRows& of, const PageSlot* slots, void* const* tables,
                       const SeenRows* seen, int n, int most_stretches, int* counters,
                       float* partial, Y* y, const PagedShape& shape, cudaStream_t stream);

}  // namespace omni::cuda
