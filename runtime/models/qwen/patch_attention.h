// What the towers of the Qwen line share: attention of patches that know their row and column.
// (Qwen2_5_VLVisionAttention, Qwen3VLVisionAttention)
#pragma once

#include <span>

#include "layers/layers.h"

namespace omni::qwen {

// Cosines and sines, [2, n, head_dim / 2] on the host, of the angles by (row, column) of the
// patches of each merged token in this order; the first half of the frequencies turns with the row,
// the other with the column.
Tensor rotary_table(std::span<const int64_t> tokens, int merged_w, int merge, int head_dim);

// x [n, hidden] ← x + attention of `normed` [n, hidden]; rotary as above, where the computation is.
// Patches see one another inside a span.
void add_attention(ops::Context& cx, Tensor& x, const Tensor& normed, const Linear& qkv,
                   const Linear& proj, int n_heads, const Tensor& rotary,
                   std::span<const int64_t> spans);

}  // namespace omni::qwen
