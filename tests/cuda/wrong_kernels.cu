#include "wrong_kernels.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void sum_kernel(const float* in, float* out, Wrong wrong) {
  OMNI_SHARED(float, tile, kThreads);
  const int i = int(threadIdx.x);
  if (!(wrong == Wrong::unwritten_shared && i == 40)) tile[i] = in[i];
  if (wrong == Wrong::barrier_in_a_branch) {
    if (i < 128) __syncthreads();
  } else if (wrong != Wrong::no_barrier_after_store) {
    __syncthreads();
  }
  float sum = 0;
  for (int j = 0; j < kThreads; ++j) sum += tile[j];
  if (wrong == Wrong::no_barrier_before_reuse) tile[i] = sum;
  if (wrong == Wrong::shuffle_in_a_branch && i % 32 < 16)
    sum = __shfl_xor_sync(0xffffffffu, sum, 1);
  if (wrong == Wrong::unwritten_global) sum += out[i];
  if (wrong == Wrong::misaligned_vector) {
    reinterpret_cast<double*>(out + 1)[i] = double(sum);
    return;
  }
  if (wrong == Wrong::two_blocks_one_sum) {
    out[i] = sum;  // both blocks
    return;
  }
  out[wrong == Wrong::one_past_the_end ? i + 769 : i] = sum;
}

__global__ void big_kernel(float* out) {
  OMNI_SHARED(float, tile, 16384);
  tile[threadIdx.x] = 1;
  out[threadIdx.x] = tile[threadIdx.x];
}

}  // namespace

cudaError_t run_wrong(Wrong wrong, const float* in, float* out, cudaStream_t stream) {
  if (wrong == Wrong::too_much_shared)
    return launch("big", big_kernel, {{1}, {kThreads}}, stream, out);
  return launch("sum", sum_kernel,
                {{wrong == Wrong::two_blocks_one_sum ? 2u : 1u},
                 {wrong == Wrong::too_many_threads ? 2048u : unsigned(kThreads)}},
                stream, in, out, wrong);
}

}  // namespace omni::cuda
