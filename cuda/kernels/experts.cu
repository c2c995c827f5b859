// route: a warp a row, whose lanes stride over the experts once for each that is picked. A row of a
// step is a few hundred logits, which the cache holds. add_routed: a thread a value.
#include "kernels/experts.h"

namespace omni::cuda {

namespace {

constexpr int kNone = 1 << 30;  // behind every expert

struct Choice {
  float logit;
  int expert;
};
__device__ inline bool is_before(const Choice& a, const Choice& b) {
  if (a.expert == kNone || b.expert == kNone) return b.expert == kNone && a.expert != kNone;
  return a.logit > b.logit || (!(b.logit > a.logit) && a.expert < b.expert);
}

__global__ void __launch_bounds__(32)
    route_kernel(const float* __restrict__ logits, int n_experts, int top_k, bool normalize,
                 int* __restrict__ experts, float* __restrict__ weights) {
  static_assert(kMostExperts <= 32 * 32);
  unsigned taken = 0;  // of this lane's experts, lane + 32 i: bit i
  const int lane = int(threadIdx.x);
  wait_for_input();
  logits += int64_t(blockIdx.x) * n_experts;
  experts += int64_t(blockIdx.x) * top_k, weights += int64_t(blockIdx.x) * top_k;
  float highest = 0, whole = 0, picked = 0;
  for (int k = 0; k < top_k; ++k) {
    Choice best{0, kNone};
    for (int e = lane; e < n_experts; e += 32) {
      const Choice c{logits[e], e};
      if (!(taken >> (e / 32) & 1) && is_before(c, best)) best = c;
    }
    for (int delta = 16; delta > 0; delta /= 2) {
      const Choice other{__shfl_xor_sync(0xffffffffu, best.logit, delta),
                         __shfl_xor_sync(0xffffffffu, best.expert, delta)};
      if (is_before(other, best)) best = other;
    }
    if (k == 0) {
      highest = best.logit;
      for (int e = lane; e < n_experts; e += 32) whole += expf(logits[e] - highest);
      whole = warp_sum(whole);
    }
    if (best.expert % 32 == lane) taken |= 1u << (best.expert / 32);
    const float probability = expf(best.logit - highest) / whole;
    picked += probability;
    if (lane == 0) experts[k] = best.expert, weights[k] = probability;
  }
  if (normalize && lane == 0)
    for (int k = 0; k < top_k; ++k) weights[k] /= picked;
}

__global__ void __launch_bounds__(kOneEach)
    add_routed_kernel(const float* __restrict__ x, const float* __restrict__ weights,
                      const int64_t* __restrict__ slots, float* __restrict__ y, int64_t n,
                      int width, int top_k) {
  const int64_t i = one_each_index();
  if (i >= n * width) return;
  const int64_t slot = slots[i / width];
  y[slot / top_k * width + i % width] += x[i] * weights[slot];
}

}  // namespace

cudaError_t route(const float* logits, int n_experts, int top_k, bool normalize, int* experts,
                  float* weights, int64_t n, cudaStream_t stream) {
  if (top_k < 1 || top_k > n_experts || n_experts > kMostExperts) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  return launch_early("route", route_kernel, {{unsigned(n)}, {32}}, stream, logits, n_experts,
                      top_k, normalize, experts, weights);
}

cudaError_t add_routed(const float* x, const float* weights, const int64_t* slots, float* y,
                       int64_t n, int width, int top_k, cudaStream_t stream) {
  return n ? launch("add_routed", add_routed_kernel, one_each(n * width), stream, x, weights, slots,
                    y, n, width, top_k)
           : cudaSuccess;
}

}  // namespace omni::cuda
