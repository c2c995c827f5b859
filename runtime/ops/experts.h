// A mixture of experts: each row goes through some of many small MLPs, which a router picks. Of an
// expert that no row goes to nothing is read. (arXiv 1701.06538, 2101.03961;
// Qwen3MoeSparseMoeBlock)
#pragma once

#include <memory>
#include <span>

#include "ops/ops.h"

namespace omni::ops {

// The experts of each row and what the result of each counts.
struct Routes {
  Tensor experts;  // I32 [n, top_k], no expert twice in a row
  Tensor weights;  // F32 [n, top_k]
};

// Of a row of logits [n, n_experts] the top_k likeliest, of equals the first, likeliest first, with
// their probabilities: softmax(logits) in float32, where `normalize` over the sum of those that
// were picked.
Routes route(Context& cx, const Tensor& logits, int top_k, bool normalize);

struct Expert {
  std::shared_ptr<const PackedMatrix> gate_up, down;  // [2 m, hidden], [hidden, m]
};

// y[n, hidden] ← y + Σ weight · down(silu_mul(gate_up(x))) over the experts of each row, which are
// added in their own order, so that a row becomes the same whatever rows are beside it. On a device
// it waits for the routes: no recording can hold it.
void add_experts_(Context& cx, Tensor& y, const Tensor& x, const Routes& routes,
                  std::span<const Expert> experts);

}  // namespace omni::ops
