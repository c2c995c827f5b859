// Attention of one query, such as a step's over the states of a sound; grouped queries: y =
// softmax(q · kᵀ · scale) · v for each head. Split over the keys (FlashDecoding: Dao et al., 2023):
// each block takes a stretch of keys and keeps maximum, sum and weighted values; a second kernel
// joins them. No atomics: the same bits each time.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kDecodeKeys = 128;  // of a stretch
constexpr int kDecodeHead = 256;  // widest head

// q, y: [n_heads, head_dim]; k, v: [n_keys, kv_stride] with [n_kv_heads, head_dim] in a row;
// partial: n_heads · ⌈n_keys / kDecodeKeys⌉ · (head_dim + 2) floats. head_dim is at most
// kDecodeHead. Y: float or bf16. cudaErrorInvalidValue for what it cannot do.
template <class Y>
cudaError_t attention_decode(const float* q, const float* k, const float* v, int64_t kv_stride,
                             Y* y, float* partial, int n_heads, int n_kv_heads, int head_dim,
                             int n_keys, float scale, cudaStream_t stream);

}  // namespace omni::cuda
