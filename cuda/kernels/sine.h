// The sine where only its square is asked for.
#pragma once

#include "kernels/dialect.h"

namespace omni::cuda {

// sin² has the period π; near zero the fast sine is exact enough: absolute error 4e-7.
__device__ inline float sine_up_to_sign(float angle) {
  const float turns = rintf(angle * .31830989f);
  return __sinf(fmaf(turns, 8.7422777e-8f, fmaf(turns, -3.1415927f, angle)));
}

}  // namespace omni::cuda
