// Tensors as kernels take them.
#pragma once

#include "kernels/dialect.h"
#include "ops/cuda/cuda_device.h"

namespace omni::ops::cuda {

using omni::cuda::bf16;

inline cudaStream_t stream(Context& cx) { return static_cast<Stream&>(cx.arena.queue()).get(); }
inline float* data(Tensor& x) { return static_cast<float*>(x.raw()); }
inline const bf16* narrow_data(const Tensor& x) { return static_cast<const bf16*>(x.raw()); }
// work(the data of y, as what it is of)
template <class Work>
void with_type(Tensor& y, const Work& work) {
  y.dtype() == DType::bf16 ? work(static_cast<bf16*>(y.raw())) : work(data(y));
}
inline const float* data(const Tensor& x) { return static_cast<const float*>(x.raw()); }
inline int width(const Tensor& x) { return int(x.dim(x.rank() - 1)); }
inline int64_t n_rows(const Tensor& x) { return width(x) ? x.numel() / width(x) : 0; }

// What a PagedBatch uploads, as the kernels read it.
template <class To, class From>
const To* as(const From* there) {
  static_assert(sizeof(To) == sizeof(From) && alignof(To) == alignof(From));
  return reinterpret_cast<const To*>(there);
}

// Values that the next launch reads.
template <class T>
const T* uploaded(Context& cx, const T* values, size_t n) {
  if (const void* there = static_cast<Stream&>(cx.arena.queue()).constant(values, n * sizeof(T)))
    return static_cast<const T*>(there);
  auto* there = static_cast<T*>(cx.arena.allocate(n * sizeof(T)));
  cx.arena.queue().upload(there, values, n * sizeof(T));
  return there;
}

}  // namespace omni::ops::cuda
