// The router of a mixture of experts on the host.
#pragma once

#include <cstdint>

namespace omni::ops::cpu {

// A row of ops::route(): logits [n] → experts, weights [top_k]. `scratch`: n floats.
void route_row(const float* logits, int64_t n, int64_t top_k, bool normalize, float* scratch,
               int32_t* experts, float* weights);

}  // namespace omni::ops::cpu
