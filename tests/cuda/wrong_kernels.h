// Kernels with one mistake each.
#pragma once

#include "kernels/dialect.h"

namespace omni::cuda {

enum class Wrong {
  nothing,  // out[i] = the sum of the 256 floats of `in`
  no_barrier_after_store,
  no_barrier_before_reuse,
  one_past_the_end,
  unwritten_shared,
  barrier_in_a_branch,
  shuffle_in_a_branch,
  two_blocks_one_sum,
  misaligned_vector,
  too_much_shared,
  unwritten_global,
  freed,
  too_many_threads,
};
cudaError_t run_wrong(Wrong wrong, const float* in, float* out, cudaStream_t stream);

}  // namespace omni::cuda
