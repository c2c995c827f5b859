// Block (tile, head): four warps, four queries each. A lane holds a key's score, then a part of the
// head of the sum.
#include "kernels/attention.h"
#include "kernels/attention_step.h"

namespace omni::cuda {

namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps, kQueries = kTileQueries / kWarps,
              kKeys = kStepKeys;

template <int kWidth, class Y>  // at least head_dim, a multiple of 32: how much shared memory a
                                // block needs decides how many fit
__global__ void __launch_bounds__(kThreads)
    attention_kernel(const float* __restrict__ q, const float* __restrict__ k,
                     const float* __restrict__ v, Y* __restrict__ y,
                     const AttentionTile* __restrict__ tiles, AttentionShape s, float scale) {
  constexpr int kParts = kWidth / 32;
  OMNI_SHARED(float, query, kTileQueries* kWidth);
  OMNI_SHARED(float, key, kKeys*(kWidth + 1));
  OMNI_SHARED(float, value, kKeys* kWidth);
  OMNI_SHARED(float, weight, kWarps* kKeys);
  const AttentionTile tile = tiles[blockIdx.x];
  const int head = int(blockIdx.y), head_dim = s.head_dim, lane = int(threadIdx.x) % 32,
            warp = int(threadIdx.x) / 32;
  const int kv_head = head / (s.n_heads / s.n_kv_heads);
  q += tile.begin * s.q_stride + int64_t(head) * head_dim;
  k += tile.first_key * s.k_stride + int64_t(kv_head) * head_dim;
  v += tile.first_key * s.v_stride + int64_t(kv_head) * head_dim;
  y += (tile.begin * s.n_heads + head) * head_dim;

  for (int i = int(threadIdx.x); i < tile.n_queries * head_dim; i += kThreads)
    query[i] = q[i / head_dim * s.q_stride + i % head_dim] * scale;
  float highest[kQueries], sum[kQueries], part[kQueries][kParts];
  OMNI_UNROLL for (int i = 0; i < kQueries; ++i) {
    highest[i] = -INFINITY, sum[i] = 0;
    for (int p = 0; p < kParts; ++p) part[i][p] = 0;
  }

  for (int begin = 0; begin < tile.n_keys; begin += kKeys) {
    const int n = min(kKeys, tile.n_keys - begin);
    __syncthreads();  // keys and values may still be read; the first time, queries are written
    for (int i = int(threadIdx.x); i < n * head_dim; i += kThreads) {
      const int row = i / head_dim, c = i % head_dim;
      key[row * (kWidth + 1) + c] = k[(begin + row) * s.k_stride + c];
      value[row * kWidth + c] = v[(begin + row) * s.v_stride + c];
    }
    __syncthreads();
    OMNI_UNROLL for (int i = 0; i < kQueries; ++i) {
      const int mine = warp * kQueries + i;
      if (mine >= tile.n_queries) continue;
      attend<kWidth>(query + mine * head_dim, key, value, weight + warp * kKeys, n, head_dim,
                     highest[i], sum[i], part[i]);
    }
  }
  OMNI_UNROLL for (int i = 0; i < kQueries; ++i) {
    const int mine = warp * kQueries + i;
    for (int p = 0; p < kParts; ++p)
      if (mine < tile.n_queries && lane + 32 * p < head_dim)
        assign(y[int64_t(mine) * s.n_heads * head_dim + lane + 32 * p], part[i][p] / sum[i]);
  }
}

// A block a query; scores wait in y.
__global__ void __launch_bounds__(kThreads)
    attention_weights_kernel(const float* __restrict__ q, int64_t q_stride,
                             const float* __restrict__ k, int64_t k_stride, float* __restrict__ y,
                             int n_keys, int head_dim, float scale) {
  OMNI_SHARED(float, partial, kWarps);
  q += int64_t(blockIdx.x) * q_stride, y += int64_t(blockIdx.x) * n_keys;
  float highest = -INFINITY;
  for (int j = int(threadIdx.x); j < n_keys; j += kThreads) {
    float score = 0;
    for (int c = 0; c < head_dim; ++c) score += q[c] * k[j * k_stride + c];
    y[j] = score * scale;
    highest = fmaxf(highest, y[j]);
  }
  highest = block_max(highest, partial);
  float sum = 0;
  for (int j = int(threadIdx.x); j < n_keys; j += kThreads) sum += y[j] = __expf(y[j] - highest);
  sum = block_sum(sum, partial);
  for (int j = int(threadIdx.x); j < n_keys; j += kThreads) y[j] /= sum;
}

}  // namespace

template <class Y>
cudaError_t attention(const float* q, const float* k, const float* v, Y* y,
                      const AttentionTile* tiles, int n_tiles, const AttentionShape& s,
                      cudaStream_t stream) {
  if (s.head_dim < 1 || s.head_dim > kWidestHead || s.n_kv_heads < 1 || s.n_heads % s.n_kv_heads)
    return cudaErrorInvalidValue;
  if (n_tiles == 0) return cudaSuccess;
  const auto kernel = s.head_dim <= 64   ? attention_kernel<64, Y>
                      : s.head_dim <= 96 ? attention_kernel<96, Y>
                                         : attention_kernel<kWidestHead, Y>;
  return launch("attention", kernel, {{unsigned(n_tiles), unsigned(s.n_heads)}, {kThreads}}, stream,
                q, k, v, y, tiles, s, 1.f / sqrtf(float(s.head_dim)));
}

template cudaError_t attention<float>(const float*, const float*, const float*, float*,
                                      const AttentionTile*, int, const AttentionShape&,
                                      cudaStream_t);
template cudaError_t attention<bf16>(const float*, const float*, const float*, bf16*,
                                     const AttentionTile*, int, const AttentionShape&,
                                     cudaStream_t);

cudaError_t attention_weights(const float* q, int64_t q_stride, const float* k, int64_t k_stride,
                              float* y, int64_t n, int n_keys, int head_dim, cudaStream_t stream) {
  if (n == 0 || n_keys == 0) return cudaSuccess;
  return launch("attention_weights", attention_weights_kernel, {{unsigned(n)}, {kThreads}}, stream,
                q, q_stride, k, k_stride, y, n_keys, head_dim, 1.f / sqrtf(float(head_dim)));
}

}  // namespace omni::cuda
