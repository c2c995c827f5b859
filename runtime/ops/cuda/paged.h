// Attention over pages on a CUDA device, by what a batch is made of: prompts on tensor cores where
// they can, tokens alone in their sequence with their keys split over the multiprocessors.
#pragma once

#include "ops/paged_attention.h"

namespace omni::ops::cuda {

// As in paged_attention.h.
void append_to_pages(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                     Heads k, Heads v);
void rotate_and_append(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                       Heads q, Heads k, Heads v, const Rotary& of_q, const Rotary& of_k);
void paged_attention(Context& cx, std::span<const Heads> q, const PagedBatch& batch,
                     const KvLayout& layout, int layer, Tensor& y);
// At once. False: not for this batch.
bool paged_step(Context& cx, const UnrotatedRows& rows, const PagedBatch& batch,
                const KvLayout& layout, int layer, Tensor& y);

}  // namespace omni::ops::cuda
