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
  too_much_shared_with_arrays,
  unwritten_global,
  freed,
  too_many_threads,
  copies_not_waited_for,
  copies_read_by_another_without_barrier,
  copies_over_what_is_read,
  copies_left_open,
  written_when_counted,
  read_before_counted,
};
cudaError_t run_wrong(Wrong wrong, const float* in, float* out, cudaStream_t stream);

// Through asynchronous copies and matrices of shared memory: a, b [16, 16] → out[0] ← a · bᵀ,
// out[1] ← a · b, of [16, 16]. shared: bytes to ask for, at least those that it needs.
constexpr unsigned kProductsShared = 2 * 16 * 24 * 2;
cudaError_t run_products(Wrong wrong, const bf16* a, const bf16* b, float* out, unsigned shared,
                         cudaStream_t stream);

// out[256] = the sum of 256 floats that three blocks write to out; counter: 0, and again.
cudaError_t run_counted(Wrong wrong, const float* in, float* out, int* counter,
                        cudaStream_t stream);

}  // namespace omni::cuda
