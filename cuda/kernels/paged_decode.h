// Attention of tokens that are alone in their sequence, over keys and values in pages: split over
// the keys (FlashDecoding: Dao et al., 2023). Each block takes a stretch of one lane's keys for the
// query heads that share a key head, and keeps maximum, sum and weighted values; a second kernel
// joins them. No atomics: the same bits each time, whichever other tokens there are.
#pragma once

#include "kernels/paged_stretch.h"

namespace omni::cuda {

constexpr int kWidestDecodeHead = 256, kJoinWarps = 8;

// tokens: [n_tokens], which rows of q, seen [any, n_lanes] and y [any, n_heads · head_dim] they
// are. most_stretches: at least Σ ⌈(end − first) / kStretchKeys⌉ over the lanes of each token;
// partial: n_tokens · n_heads · most_stretches · (head_dim + 2) floats. All on the device. T, Y:
// float or bf16. cudaErrorInvalidValue for what it cannot do.
template <class T, class Y>
cudaError_t paged_decode(const LaneQueries& q, void* const* tables, const SeenRows* seen,
                         const int* tokens, int n_tokens, int most_stretches, float* partial, Y* y,
                         const PagedShape& shape, cudaStream_t stream);

// The last part of it: y of what all stretches have in `partial`. A warp of kJoinWarps takes each
// kJoinWarps-th of them, then their sums are added one after the other. tokens: nullptr for all.
template <class Y>
cudaError_t paged_join(const float* partial, const SeenRows* seen, const int* tokens, int n_tokens,
                       int most_stretches, Y* y, const PagedShape& shape, cudaStream_t stream);

}  // namespace omni::cuda
