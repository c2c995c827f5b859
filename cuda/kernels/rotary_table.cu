// A thread an angle, in double precision: positions grow as long as a stream runs.
#include "kernels/rotary_table.h"

namespace omni::cuda {

namespace {

__global__ void __launch_bounds__(kOneEach)
    rotary_table_kernel(const RotaryPosition* __restrict__ positions, int64_t n,
                        const float* __restrict__ frequency, const int* __restrict__ axis,
                        int n_frequencies, float* __restrict__ cos_of, float* __restrict__ sin_of) {
  const int64_t i = one_each_index();
  if (i >= n) return;
  const int64_t token = i / n_frequencies;
  const int k = int(i - token * n_frequencies);
  const double angle = double(positions[token].axis[axis[k]]) * double(frequency[k]);
  cos_of[i] = float(cos(angle));
  sin_of[i] = float(sin(angle));
}

}  // namespace

cudaError_t rotary_table(const RotaryPosition* positions, int64_t n, const float* frequency,
                         const int* axis, int n_frequencies, float* cos, float* sin,
                         cudaStream_t stream) {
  n *= n_frequencies;
  return n ? launch("rotary_table", rotary_table_kernel, one_each(n), stream, positions, n,
                    frequency, axis, n_frequencies, cos, sin)
           : cudaSuccess;
}

}  // namespace omni::cuda
