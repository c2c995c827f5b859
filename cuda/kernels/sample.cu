#include "kernels/sample.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = kMostChoices, kDigits = 256;

// Larger floats have larger keys.
__device__ uint32_t key_of(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ float of_key(uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

__global__ void __launch_bounds__(kOneEach)
    sample_mask_kernel(const float* __restrict__ logits, const uint32_t* __restrict__ allowed,
                       float* __restrict__ scores, int n) {
  const int64_t i = one_each_index();
  if (i < n) scores[i] = !allowed || (allowed[i / 32] >> (i % 32) & 1) ? logits[i] : -INFINITY;
}

__global__ void __launch_bounds__(kOneEach)
    sample_penalise_kernel(const int* __restrict__ seen, float* __restrict__ scores, int n,
                           float penalty) {
  const int64_t i = one_each_index();
  if (i >= n) return;
  float& score = scores[seen[i]];
  score = score < 0 ? score * penalty : score / penalty;
}

// The sum of x over all threads before this one. `total`: shared, an int a warp. All threads of the
// block call it.
__device__ int sum_before(int x, int* total) {
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  int sum = x;
  for (int delta = 1; delta < 32; delta *= 2) {
    const int before = __shfl_sync(0xffffffffu, sum, lane < delta ? lane : lane - delta);
    if (lane >= delta) sum += before;
  }
  __syncthreads();  // `total` may still be read
  if (lane == 31) total[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; ++w) sum += total[w];
  return sum - x;
}

// One block. The top_k-th largest key, eight bits at a time; then a thread a stretch of the
// vocabulary gathers what is above it and, in the order of ids, as many equals as are wanted; these
// are sorted, and the first thread draws.
__global__ void __launch_bounds__(kThreads)
    sample_kernel(const float* __restrict__ logits, const float* __restrict__ scores,
                  SampledToken* __restrict__ result, SampleOptions o) {
  OMNI_SHARED(int, count, kDigits);
  OMNI_SHARED(uint32_t, keys, kMostChoices);
  OMNI_SHARED(int, ids, kMostChoices);
  OMNI_SHARED(int, total, kThreads / 32);
  OMNI_SHARED(float, partial, kThreads / 32);
  OMNI_SHARED(int, found, 2);
  const int me = int(threadIdx.x);
  const int k = min(o.top_k, o.vocabulary);

  uint32_t threshold = 0;  // its leading digits
  int wanted = k;          // of keys with these digits
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = me; i < kDigits; i += kThreads) count[i] = 0;
    __syncthreads();
    for (int i = me; i < o.vocabulary; i += kThreads) {
      const uint32_t key = key_of(scores[i]);
      if (shift == 24 || key >> (shift + 8) == threshold >> (shift + 8))
        atomicAdd(&count[key >> shift & (kDigits - 1)], 1);
    }
    __syncthreads();
    if (me == 0) {
      int digit = kDigits - 1, left = wanted;
      for (; count[digit] < left; --digit) left -= count[digit];
      found[0] = digit, found[1] = left;
    }
    __syncthreads();
    threshold |= uint32_t(found[0]) << shift;
    wanted = found[1];
  }

  const int stretch = (o.vocabulary + kThreads - 1) / kThreads,
            begin = min(me * stretch, o.vocabulary), end = min(begin + stretch, o.vocabulary);
  int n_above = 0, n_equal = 0;
  for (int i = begin; i < end; ++i) {
    const uint32_t key = key_of(scores[i]);
    n_above += key > threshold, n_equal += key == threshold;
  }
  int above = sum_before(n_above, total), equal = sum_before(n_equal, total);
  for (int i = begin; i < end; ++i) {
    const uint32_t key = key_of(scores[i]);
    int place = -1;
    if (key > threshold)
      place = above++;
    else if (key == threshold && equal < wanted)
      place = k - wanted + equal++;
    if (place >= 0) keys[place] = key, ids[place] = i;
  }
  int sorted = 1;
  while (sorted < k) sorted *= 2;
  if (me >= k && me < sorted) keys[me] = 0, ids[me] = 0x7fffffff;
  __syncthreads();

  // Bitonic: the likelier first, of equals the lower id.
  for (int size = 2; size <= sorted; size *= 2)
    for (int apart = size / 2; apart > 0; apart /= 2) {
      const int other = me ^ apart;
      if (me < sorted && other > me) {
        const bool in_order =
            keys[me] > keys[other] || (keys[me] == keys[other] && ids[me] < ids[other]);
        if (in_order == ((me & size) != 0)) {
          const uint32_t key = keys[me];
          const int id = ids[me];
          keys[me] = keys[other], ids[me] = ids[other];
          keys[other] = key, ids[other] = id;
        }
      }
      __syncthreads();
    }

  float highest = -INFINITY, sum = 0;
  for (int i = me; i < o.vocabulary; i += kThreads) highest = fmaxf(highest, logits[i]);
  highest = block_max(highest, partial);
  for (int i = me; i < o.vocabulary; i += kThreads) sum += __expf(logits[i] - highest);
  sum = block_sum(sum, partial);
  if (me != 0) return;

  const float first = of_key(keys[0]) / o.temperature;
  float all = 0, reached = 0;
  for (int i = 0; i < k; ++i) all += __expf(of_key(keys[i]) / o.temperature - first);
  int kept = 0;
  while (kept < k && (kept == 0 || reached < o.top_p * all))
    reached += __expf(of_key(keys[kept++]) / o.temperature - first);
  float left = o.draw * reached;
  int chosen = 0;
  while (chosen < kept - 1 && (left -= __expf(of_key(keys[chosen]) / o.temperature - first)) >= 0)
    ++chosen;
  result->id = ids[chosen];
  result->probability = __expf(logits[ids[chosen]] - highest) / sum;
}

}  // namespace

cudaError_t sample(const float* logits, float* scores, const int* seen, const uint32_t* allowed,
                   SampledToken* result, const SampleOptions& o, cudaStream_t stream) {
  if (o.vocabulary < 1 || o.top_k < 1 || o.top_k > kMostChoices || !(o.temperature > 0))
    return cudaErrorInvalidValue;
  if (const cudaError_t e = launch("sample_mask", sample_mask_kernel, one_each(o.vocabulary),
                                   stream, logits, allowed, scores, o.vocabulary))
    return e;
  if (o.n_seen && o.penalty != 1)
    if (const cudaError_t e = launch("sample_penalise", sample_penalise_kernel, one_each(o.n_seen),
                                     stream, seen, scores, o.n_seen, o.penalty))
      return e;
  return launch("sample", sample_kernel, {{1}, {kThreads}}, stream, logits, scores, result, o);
}

}  // namespace omni::cuda
