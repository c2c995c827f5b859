#include "kernels/mma.h"
#include "wrong_kernels.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256, kWarp = 32;

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

__global__ void counted_kernel(const float* in, float* out, int* counter, Wrong wrong) {
  const int me = int(threadIdx.x);
  const auto write = [&] {
    for (int i = 3 * me + int(blockIdx.x); i < kThreads; i += 3 * kWarp) out[i] = in[i];
  };
  if (wrong != Wrong::written_when_counted) write();
  float sum = wrong == Wrong::read_before_counted && blockIdx.x == 2 ? out[0] : 0;
  const bool is_last = is_last_warp(counter, 3);
  if (wrong == Wrong::written_when_counted) write();
  if (!is_last || me > 0) return;
  for (int i = 0; i < kThreads; ++i) sum += load_written(out + i);
  out[kThreads] = sum;
}

constexpr int kSide = 16, kLine = kSide + 8;

// Two warps, a product each; a warp's threads copy one of the factors.
__global__ void products_kernel(const bf16* a, const bf16* b, float* out, Wrong wrong) {
  OMNI_DYNAMIC_SHARED(bf16, left);
  bf16* right = left + kSide * kLine;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, row = lane / 2,
            part = lane % 2 * 8;
  bf16* to = (warp ? right : left) + row * kLine + part;
  copy_async(to, (warp ? b : a) + row * kSide + part, true);
  end_copies();
  if (wrong != Wrong::copies_not_waited_for && wrong != Wrong::copies_left_open)
    wait_for_copies<0>();
  if (wrong == Wrong::copies_left_open) return;
  if (wrong != Wrong::copies_read_by_another_without_barrier) __syncthreads();
  uint32_t x[4], y[4];
  load_matrices(x, left + lane % 16 * kLine + lane / 16 * 8);
  if (warp == 0)  // columns of bᵀ are rows of b
    load_matrices(y, right + (lane % 8 + lane / 16 * 8) * kLine + lane / 8 % 2 * 8);
  else
    load_matrices<true>(y, right + lane % 16 * kLine + lane / 16 * 8);
  if (wrong == Wrong::copies_over_what_is_read) {
    copy_async(to, a, false);
    end_copies();
    wait_for_copies<0>();
  }
  for (int half = 0; half < 2; ++half) {
    float c[4] = {0, 0, 0, 0};
    mma_bf16(c, x, y[2 * half], y[2 * half + 1]);
    for (int i = 0; i < 4; ++i)
      out[(warp * kSide + lane / 4 + i / 2 * 8) * kSide + half * 8 + lane % 4 * 2 + i % 2] = c[i];
  }
}

}  // namespace

cudaError_t run_products(Wrong wrong, const bf16* a, const bf16* b, float* out, unsigned shared,
                         cudaStream_t stream) {
  static_assert(kProductsShared == 2 * kSide * kLine * sizeof(bf16));
  return launch("products", products_kernel, {{1}, {64}, shared}, stream, a, b, out, wrong);
}

cudaError_t run_counted(Wrong wrong, const float* in, float* out, int* counter,
                        cudaStream_t stream) {
  return launch("counted", counted_kernel, {{3}, {unsigned(kWarp)}}, stream, in, out, counter,
                wrong);
}

cudaError_t run_wrong(Wrong wrong, const float* in, float* out, cudaStream_t stream) {
  if (wrong == Wrong::too_much_shared)
    return launch("big", big_kernel, {{1}, {kThreads}}, stream, out);
  return launch("sum", sum_kernel,
                {{wrong == Wrong::two_blocks_one_sum ? 2u : 1u},
                 {wrong == Wrong::too_many_threads ? 2048u : unsigned(kThreads)},
                 wrong == Wrong::too_much_shared_with_arrays ? 48u << 10 : 0u},
                stream, in, out, wrong);
}

}  // namespace omni::cuda
