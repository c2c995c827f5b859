// Attention over keys and values that lie in pages: those of many sequences in one call, prompts
// and single tokens mixed. (PagedAttention, arXiv 2309.06180)
#pragma once

#include "ops/ops.h"
#include "ops/paged_batch.h"

namespace omni::ops {

// What lies in a page: [n_layers][keys, values][kPageRows, n_kv_heads · head_dim].
struct KvLayout {
  DType dtype;  // f32 or bf16
  int n_layers, n_kv_heads, head_dim;

  int64_t row() const { return int64_t{n_kv_heads} * head_dim; }
  // Elements from the beginning of a page to row 0 of a layer.
  int64_t keys(int layer) const { return 2 * layer * kPageRows * row(); }
  int64_t values(int layer) const { return keys(layer) + kPageRows * row(); }
  size_t page_bytes() const { return size_t(keys(n_layers)) * size_of(dtype); }
};

// The key and the value of each of the batch's tokens go to its place in the pages; rounded to the
// nearest where they hold bfloat16. k, v: n_tokens of n_kv_heads.
void append_to_pages(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                     Heads k, Heads v);

struct Rotary {
  const float *cos, *sin;  // [n_tokens, head_dim / 2]
};
// rotary_() of q, in place, and of k on its way to append_to_pages(). k stays, or is rotated, too.
void rotate_and_append(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                       Heads q, Heads k, Heads v, const Rotary& of_q, const Rotary& of_k);

// softmax(q · kᵀ / √head_dim) · v of each of the batch's tokens over what it sees of all lanes of
// its sequence, its own key among them: append_to_pages() comes first. q: a variant a lane, which
// meets that lane's keys; they may be the same. Grouped queries: n_heads is a multiple of
// n_kv_heads. What a token gets does not depend on the batch's other sequences.
// out = bf16: as of attention() in ops.h; factors are rounded where the pages hold bfloat16.
// y[n_tokens, n_heads · head_dim]
Tensor paged_attention(Context& cx, std::span<const Heads> q, const PagedBatch& batch,
                       const KvLayout& layout, int layer, DType out = DType::f32);

// Queries, keys and values of a batch as they leave their product, and their angles: of_q a lane
// each, for the queries that meet its keys; the same cosines are the same angles. q and k become
// undefined.
struct UnrotatedRows {
  Heads q, k, v;
  std::span<const Rotary> of_q;
  Rotary of_k;
};
// rotate_and_append(), then paged_attention() with the queries that each lane's angles make of q.
// What is in the pages already has been there since before the batch's upload().
Tensor paged_attention(Context& cx, const UnrotatedRows& rows, const PagedBatch& batch,
                       const KvLayout& layout, int layer, DType out = DType::f32);

}  // namespace omni::ops
