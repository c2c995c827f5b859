#include "kernels/attention_decode.h"

namespace omni::cuda {

namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;

// Block (stretch, head): scores of its keys, a warp a key; then their softmax against the stretch's
// own maximum; then the values, a thread a component.
__global__ void __launch_bounds__(kThreads)
    attention_stretch_kernel(const float* __restrict__ q, const float* __restrict__ k,
                             const float* __restrict__ v, int64_t kv_stride,
                             float* __restrict__ partial, int group, int head_dim, int n_keys,
                             float scale) {
  OMNI_SHARED(float, query, kDecodeHead);
  OMNI_SHARED(float, weight, kDecodeKeys);
  const int head = int(blockIdx.y), first = int(blockIdx.x) * kDecodeKeys,
            n = min(kDecodeKeys, n_keys - first);
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  k += int64_t(first) * kv_stride + int64_t(head / group) * head_dim;
  v += int64_t(first) * kv_stride + int64_t(head / group) * head_dim;
  for (int c = int(threadIdx.x); c < head_dim; c += kThreads)
    query[c] = q[int64_t(head) * head_dim + c] * scale;
  __syncthreads();
  for (int j = warp; j < n; j += kWarps) {
    float sum = 0;
    for (int c = lane; c < head_dim; c += 32) sum += query[c] * k[int64_t(j) * kv_stride + c];
    for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, delta);
    if (lane == 0) weight[j] = sum;
  }
  __syncthreads();
  float highest = weight[0];
  for (int j = 1; j < n; ++j) highest = fmaxf(highest, weight[j]);
  __syncthreads();
  for (int j = int(threadIdx.x); j < n; j += kThreads) weight[j] = __expf(weight[j] - highest);
  __syncthreads();
  float* out = partial + (int64_t(head) * gridDim.x + blockIdx.x) * (head_dim + 2);
  for (int c = int(threadIdx.x); c < head_dim; c += kThreads) {
    float sum = 0;
    for (int j = 0; j < n; ++j) sum += weight[j] * v[int64_t(j) * kv_stride + c];
    out[2 + c] = sum;
  }
  if (threadIdx.x == 0) {
    float sum = 0;
    for (int j = 0; j < n; ++j) sum += weight[j];
    out[0] = highest, out[1] = sum;
  }
}

// A block a head: the stretches, each by how far its maximum is below the highest.
template <class Y>
__global__ void __launch_bounds__(kThreads)
    attention_join_kernel(const float* __restrict__ partial, Y* __restrict__ y, int n_stretches,
                          int head_dim) {
  const float* mine = partial + int64_t(blockIdx.x) * n_stretches * (head_dim + 2);
  float highest = mine[0];
  for (int s = 1; s < n_stretches; ++s) highest = fmaxf(highest, mine[int64_t(s) * (head_dim + 2)]);
  for (int c = int(threadIdx.x); c < head_dim; c += kThreads) {
    float sum = 0, weights = 0;
    for (int s = 0; s < n_stretches; ++s) {
      const float* one = mine + int64_t(s) * (head_dim + 2);
      const float share = __expf(one[0] - highest);
      sum += share * one[2 + c], weights += share * one[1];
    }
    assign(y[int64_t(blockIdx.x) * head_dim + c], sum / weights);
  }
}

}  // namespace

template <class Y>
cudaError_t attention_decode(const float* q, const float* k, const float* v, int64_t kv_stride,
                             Y* y, float* partial, int n_heads, int n_kv_heads, int head_dim,
                             int n_keys, float scale, cudaStream_t stream) {
  if (n_keys < 1 || head_dim < 1 || head_dim > kDecodeHead || n_kv_heads < 1 ||
      n_heads % n_kv_heads)
    return cudaErrorInvalidValue;
  const unsigned n_stretches = unsigned((n_keys + kDecodeKeys - 1) / kDecodeKeys);
  const cudaError_t e = launch("attention_stretch", attention_stretch_kernel,
                               {{n_stretches, unsigned(n_heads)}, {kThreads}}, stream, q, k, v,
                               kv_stride, partial, n_heads / n_kv_heads, head_dim, n_keys, scale);
  return e == cudaSuccess
             ? launch("attention_join", attention_join_kernel<Y>, {{unsigned(n_heads)}, {kThreads}},
                      stream, partial, y, int(n_stretches), head_dim)
             : e;
}

template cudaError_t attention_decode<float>(const float*, const float*, const float*, int64_t,
                                             float*, float*, int, int, int, int, float,
                                             cudaStream_t);
template cudaError_t attention_decode<bf16>(const float*, const float*, const float*, int64_t,
                                            bf16*, float*, int, int, int, int, float, cudaStream_t);

}  // namespace omni::cuda
