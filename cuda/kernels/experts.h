// What a mixture of experts needs beside its products: which experts a row goes to, and the sum of
// what they make. (torch.softmax and torch.topk; torch.index_add)
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// Of each row of logits [n, n_experts] the top_k largest, of equals the first, largest first:
// experts, weights [n, top_k]. A weight is the probability of softmax(logits) or, normalized, that
// over the sum of the top_k. Whatever the logits are, no expert comes twice.
// cudaErrorInvalidValue unless 1 ≤ top_k ≤ n_experts ≤ kMostExperts.
constexpr int kMostExperts = 1024;
cudaError_t route(const float* logits, int n_experts, int top_k, bool normalize, int* experts,
                  float* weights, int64_t n, cudaStream_t stream);

// y[slots[i] / top_k] += x[i] · weights[slots[i]], no row of y twice. x: [n, width]; y: [any,
// width]; weights: [any, top_k]; slots: [n]; all on the device.
cudaError_t add_routed(const float* x, const float* weights, const int64_t* slots, float* y,
                       int64_t n, int width, int top_k, cudaStream_t stream);

}  // namespace omni::cuda
