// Weights of integers as kernels take them, a step of sixteen outputs at a time.
#pragma once

#include <type_traits>

#include "kernels/integers.h"
#include "kernels/linear_quantized.h"
#include "kernels/mma.h"

namespace omni::cuda {

#if defined(__CUDACC__) || !OMNI_CUDA_TOOLKIT

constexpr unsigned kWarp = 32;
constexpr int kRows = 8;  // of x that a warp multiplies at once
constexpr int kChunks = kStepInputs / kChunkInputs;

template <int kBits>
constexpr int kVectors = kBits / 4;  // sixteen bytes of a lane, of a step of a block of outputs
// What a warp multiplies at a time, a step of two blocks of outputs, in vectors of sixteen bytes:
// their values, then their scales.
template <int kBits, int kGroups>
constexpr int kStage = 2 * (kVectors<kBits> * int(kWarp) + kBlockOutputs * kGroups / 4);
struct Scale {
  float value, zero;  // zero: to be added to what widen() makes
};
template <int kBits>
__device__ inline Scale scale_of(uint32_t word) {
  if constexpr (kBits == 4)
    return {to_float(__ushort_as_half(uint16_t(word))), high_bf16(word)};
  else
    return {__uint_as_float(word), 0};
}

__device__ inline uint32_t word_of(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}
// The eight integers of chunk c that a lane has of an output, those of four bits with 16 added.
template <int kBits>
__device__ inline void widen(const uint4 (&values)[kVectors<kBits>], int c, uint32_t (&pairs)[4]) {
  if constexpr (kBits == 4) {
    widen_int4(word_of(values[0], c), pairs);
  } else {
    widen_int8(word_of(values[c / 2], c % 2 * 2), pairs);
    widen_int8(word_of(values[c / 2], c % 2 * 2 + 1), pairs + 2);
  }
}

// work(bits, groups) of a weight, as constants.
template <class Work>
cudaError_t with_format(const QuantizedWeight& w, const Work& work) {
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  using Four = std::integral_constant<int, 4>;
  using Eight = std::integral_constant<int, 8>;
  switch (w.bits * 10 + w.groups) {
    case 41:
      return work(Four(), One());
    case 42:
      return work(Four(), Two());
    case 44:
      return work(Four(), Four());
    case 81:
      return work(Eight(), One());
    case 84:
      return work(Eight(), Four());
    default:
      return cudaErrorInvalidValue;
  }
}

inline int steps_of(const QuantizedWeight& w) { return (w.n_in + kStepInputs - 1) / kStepInputs; }
// Whether each step but those of the most groups is whole.
inline bool is_valid(const QuantizedWeight& w) {
  return w.n_in % (w.groups == kMostGroups ? 8 : kStepInputs) == 0;
}

#endif

}  // namespace omni::cuda
