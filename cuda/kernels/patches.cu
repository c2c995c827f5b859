// A block a patch. For each component: the samples that the patch is made of, resized along the
// first axis, go to shared memory; a thread a pixel then resizes along the other.
#include "kernels/patches.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256, kMostPatch = 16;

__device__ inline uint8_t clamped(int v) { return uint8_t(v < 0 ? 0 : v > 255 ? 255 : v); }
__device__ inline uint8_t from_fixed(int v) { return clamped((v + 32768) >> 16); }

// n_taps samples `step` bytes apart, none of them beyond sample `last`.
__device__ inline uint8_t resized(const uint8_t* sample, int64_t step, int first, int last,
                                  const ResizeAxis& axis, int output) {
  int sum = 1 << (axis.precision - 1);
  for (int t = 0; t < axis.n_taps && first + t <= last; ++t)
    sum += int(sample[t * step]) * int(axis.weight[output * axis.n_taps + t]);
  return clamped(sum >> axis.precision);
}

__global__ void __launch_bounds__(kThreads)
    patches_kernel(PatchPicture picture, float* __restrict__ out, int index, int grid_w, int patch,
                   int merge) {
  OMNI_SHARED(uint8_t, middle, kMostPatch * kMostSpan);
  const int unit = merge * merge, block = int(blockIdx.x) / unit, within = int(blockIdx.x) % unit,
            blocks_w = grid_w / merge;
  const int top = (block / blocks_w * merge + within / merge) * patch,
            left = (block % blocks_w * merge + within % merge) * patch;
  const int row = int(threadIdx.x) / patch, column = int(threadIdx.x) % patch;
  const bool mine = row < patch;
  int value[3];
  OMNI_UNROLL for (int c = 0; c < 3; ++c) {
    const PatchPlane p = picture.plane[c];
    // The axis that is resized first, by its outputs [low, low + patch); the other by the samples
    // [begin, begin + span) that the patch sees.
    const ResizeAxis &one = picture.rows_first ? p.x : p.y, &other = picture.rows_first ? p.y : p.x;
    const int low = picture.rows_first ? left : top, high = picture.rows_first ? top : left;
    const int one_size = picture.rows_first ? p.width : p.height,
              other_size = picture.rows_first ? p.height : p.width;
    const int64_t one_step = picture.rows_first ? p.step : p.stride,
                  other_step = picture.rows_first ? p.stride : p.step;
    const int begin = other.first[high], reach = other.first[high + patch - 1] + other.n_taps,
              span = (reach < other_size ? reach : other_size) - begin;
    __syncthreads();  // the component before is still read
    for (int i = int(threadIdx.x); i < patch * span; i += kThreads) {
      const int output = i / span, at = i % span, first = one.first[low + output];
      middle[output * kMostSpan + at] =
          resized(p.data + first * one_step + (begin + at) * other_step, one_step, first,
                  one_size - 1, one, low + output);
    }
    __syncthreads();
    const int output = picture.rows_first ? row : column, line = picture.rows_first ? column : row;
    value[c] = 0;
    if (mine) {
      const int first = other.first[high + output];
      value[c] = resized(middle + line * kMostSpan + first - begin, 1, first, other_size - 1, other,
                         high + output);
    }
  }
  if (!mine) return;
  if (picture.yuv) {
    const int luma = (value[0] - picture.y_offset) * picture.y, cb = value[1] - 128,
              cr = value[2] - 128;
    value[0] = from_fixed(luma + picture.r_v * cr);
    value[1] = from_fixed(luma + picture.g_u * cb + picture.g_v * cr);
    value[2] = from_fixed(luma + picture.b_u * cb);
  }
  const int area = patch * patch;
  float* to = out + int64_t(blockIdx.x) * 6 * area + index * area + row * patch + column;
  OMNI_UNROLL for (int c = 0; c < 3; ++c) to[c * 2 * area] =
      float(value[c]) * picture.scale[c] + picture.offset[c];
}

}  // namespace

cudaError_t patches(const PatchPicture& picture, float* out, int index, int grid_h, int grid_w,
                    int patch, int merge, int widest_span, cudaStream_t stream) {
  if (patch < 1 || patch > kMostPatch || merge < 1 || grid_h % merge || grid_w % merge ||
      widest_span > kMostSpan)
    return cudaErrorInvalidValue;
  if (grid_h == 0 || grid_w == 0) return cudaSuccess;
  return launch("patches", patches_kernel, {{unsigned(grid_h * grid_w)}, {kThreads}}, stream,
                picture, out, index, grid_w, patch, merge);
}

}  // namespace omni::cuda
