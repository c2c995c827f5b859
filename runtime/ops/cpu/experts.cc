#include "cpu/experts.h"

#include <algorithm>

#include "cpu/kernels.h"

namespace omni::ops::cpu {

namespace {

constexpr float kTaken = -1;  // no probability

// Whatever the numbers are: one that is not taken.
int64_t likeliest(const float* probabilities, int64_t n) {
  int64_t best = -1;
  for (int64_t e = 0; e < n; ++e)
    if (probabilities[e] != kTaken && (best < 0 || probabilities[e] > probabilities[best]))
      best = e;
  return best;
}

}  // namespace

void route_row(const float* logits, int64_t n, int64_t top_k, bool normalize, float* scratch,
               int32_t* experts, float* weights) {
  std::copy_n(logits, n, scratch);
  kernels().softmax(scratch, n);
  float sum = 0;
  for (int64_t k = 0; k < top_k; ++k) {
    const int64_t e = likeliest(scratch, n);
    experts[k] = int32_t(e);
    sum += weights[k] = scratch[e];
    scratch[e] = kTaken;
  }
  if (normalize)
    for (int64_t k = 0; k < top_k; ++k) weights[k] /= sum;
}

}  // namespace omni::ops::cpu
