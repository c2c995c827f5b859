// A thread a value; or, of bfloat16, eight of them, sixteen bytes at a time.
#include "kernels/silu_mul.h"

namespace omni::cuda {

namespace {

__device__ inline float silu_mul_of(float gate, float up) {
  return gate / (1.f + __expf(-gate)) * up;
}

template <class T, class Y>
__global__ void __launch_bounds__(kOneEach)
    silu_mul_kernel(const T* __restrict__ gate_up, Y* __restrict__ y, int64_t n, int width) {
  const int64_t i = one_each_index();
  if (i >= n) return;
  const int64_t row = i / width;
  gate_up += row * width + i;
  assign(y[i], silu_mul_of(to_float(gate_up[0]), to_float(gate_up[width])));
}

constexpr int kEight = 8;

// n: of eights; width: in eights
__global__ void __launch_bounds__(kOneEach)
    silu_mul_eights_kernel(const uint4* __restrict__ gate_up, uint4* __restrict__ y, int64_t n,
                           int width) {
  const int64_t i = one_each_index();
  if (i >= n) return;
  gate_up += i / width * width + i;
  const uint4 gates = gate_up[0], ups = gate_up[width];
  uint4 products;
  bf16 gate[kEight], up[kEight], product[kEight];
  memcpy(gate, &gates, 16), memcpy(up, &ups, 16);
  OMNI_UNROLL for (int k = 0; k < kEight; ++k)
      assign(product[k], silu_mul_of(to_float(gate[k]), to_float(up[k])));
  memcpy(&products, product, 16);
  y[i] = products;
}

}  // namespace

template <class T, class Y>
cudaError_t silu_mul(const T* gate_up, Y* y, int64_t n_rows, int width, cudaStream_t stream) {
  const int64_t n = n_rows * width;
  if (n == 0) return cudaSuccess;
  if (sizeof(T) + sizeof(Y) == 4 && width % kEight == 0)
    return launch("silu_mul_eights", silu_mul_eights_kernel, one_each(n / kEight), stream,
                  reinterpret_cast<const uint4*>(gate_up), reinterpret_cast<uint4*>(y), n / kEight,
                  width / kEight);
  return launch("silu_mul", silu_mul_kernel<T, Y>, one_each(n), stream, gate_up, y, n, width);
}

template cudaError_t silu_mul(const float*, float*, int64_t, int, cudaStream_t);
template cudaError_t silu_mul(const float*, bf16*, int64_t, int, cudaStream_t);
template cudaError_t silu_mul(const bf16*, bf16*, int64_t, int, cudaStream_t);

}  // namespace omni::cuda
