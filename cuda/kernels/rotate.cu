// A thread for each pair.
#include "kernels/rotate.h"

namespace omni::cuda {

namespace {

__global__ void __launch_bounds__(kOneEach)
    rotate_kernel(float* __restrict__ x, int64_t stride, const float* __restrict__ cos,
                  const float* __restrict__ sin, int64_t n_pairs, int n_heads, int half) {
  wait_for_input();
  const int64_t i = one_each_index();
  if (i >= n_pairs) return;
  const int64_t token = i / (int64_t(n_heads) * half), in_token = i - token * n_heads * half;
  const int head = int(in_token / half), k = int(in_token - int64_t(head) * half);
  float* pair = x + token * stride + int64_t(head) * 2 * half + k;
  const float a = pair[0], b = pair[half], c = cos[token * half + k], s = sin[token * half + k];
  pair[0] = a * c - b * s;
  pair[half] = b * c + a * s;
}

template <class T>
__global__ void __launch_bounds__(kOneEach)
    rotate_and_append_kernel(QueriesKeysValues of, const PageSlot* __restrict__ slots,
                             int64_t n_pairs, PagedShape s) {
  wait_for_input();
  const int64_t i = one_each_index();
  if (i >= n_pairs) return;
  const int half = s.head_dim / 2, per_token = (s.n_heads + 2 * s.n_kv_heads) * half;
  const int64_t token = i / per_token;
  const int in_token = int(i - token * per_token), head = in_token / half, c = in_token % half;
  if (head < s.n_heads) {
    float* pair = of.q + token * of.q_stride + head * s.head_dim + c;
    const float a = pair[0], b = pair[half], x = of.q_angles.cos[token * half + c],
                y = of.q_angles.sin[token * half + c];
    pair[0] = a * x - b * y;
    pair[half] = b * x + a * y;
    return;
  }
  const bool is_key = head < s.n_heads + s.n_kv_heads;
  const int kv_head = head - s.n_heads - (is_key ? 0 : s.n_kv_heads), at = kv_head * s.head_dim + c;
  const float* pair = (is_key ? of.k + token * of.k_stride : of.v + token * of.v_stride) + at;
  float a = pair[0], b = pair[half];
  if (is_key) {
    const float x = of.k_angles.cos[token * half + c], y = of.k_angles.sin[token * half + c],
                first = a * x - b * y;
    b = b * x + a * y;
    a = first;
  }
  const PageSlot slot = slots[token];
  T* to = static_cast<T*>(slot.page) + (is_key ? s.keys : s.values) +
          slot.row * s.n_kv_heads * s.head_dim + at;
  assign(to[0], a);
  assign(to[half], b);
}

}  // namespace

cudaError_t rotate(float* x, int64_t stride, const float* cos, const float* sin, int64_t n_tokens,
                   int n_heads, int head_dim, cudaStream_t stream) {
  const int64_t n = n_tokens * n_heads * (head_dim / 2);
  return n ? launch_early("rotate", rotate_kernel, one_each(n), stream, x, stride, cos, sin, n,
                          n_heads, head_dim / 2)
           : cudaSuccess;
}

template <class T>
cudaError_t rotate_and_append(const QueriesKeysValues& of, const PageSlot* slots, int64_t n_tokens,
                              const PagedShape& s, cudaStream_t stream) {
  if (s.head_dim % 2) return cudaErrorInvalidValue;
  const int64_t n = n_tokens * (s.n_heads + 2 * s.n_kv_heads) * (s.head_dim / 2);
  return n ? launch_early("rotate_and_append", rotate_and_append_kernel<T>, one_each(n), stream, of,
                          slots, n, s)
           : cudaSuccess;
}
template cudaError_t rotate_and_append<float>(const QueriesKeysValues&, const PageSlot*, int64_t,
                                              const PagedShape&, cudaStream_t);
template cudaError_t rotate_and_append<bf16>(const QueriesKeysValues&, const PageSlot*, int64_t,
                                             const PagedShape&, cudaStream_t);

}  // namespace omni::cuda
