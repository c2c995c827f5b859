// Two launches. In the first a warp takes a part of a row and notes the best of each group of it,
// as well as the part's share of the softmax. In the second a block a row: the top_k likeliest are
// in the top_k groups whose best are the best, and not below these; what that leaves is sorted.
#include "kernels/sample.h"

namespace omni::cuda {

namespace {

constexpr int kEach = 4, kGroup = 64, kLanes = kGroup / kEach;  // of 16 bytes: a half warp
constexpr int kLoads = 2, kPart = 32 * kEach * kLoads, kGroupsOfPart = kPart / kGroup;
constexpr int kPartThreads = 256, kPartsOfBlock = kPartThreads / 32;
constexpr int kThreads = kMostChoices, kDigits = 256;
constexpr int kRoom = 2 * kMostChoices;  // for what is sorted

int parts_of(int vocabulary) { return (vocabulary + kPart - 1) / kPart; }

// Of softmax(logits): Σ exp(logits − highest) over a part of them.
struct Share {
  float highest, sum;
};

// A token and its score as one number, which is the larger the likelier the token is, and of equals
// the lower its id. 0: none.
using Choice = uint64_t;

__device__ Choice choice_of(float score, int id) {
  if (score == -INFINITY) return 0;
  const uint32_t bits = __float_as_uint(score);
  const uint32_t key = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return Choice(key) << 32 | ~uint32_t(id);
}
__device__ int id_of(Choice c) { return int(~uint32_t(c)); }
__device__ float score_of(Choice c) {
  const auto key = uint32_t(c >> 32);
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}
__device__ Choice better(Choice a, Choice b) { return a > b ? a : b; }
// The best of 2 · `lanes` neighbours, in all of them. All lanes call it.
__device__ Choice best_of(Choice best, int lanes) {
  for (int delta = lanes; delta > 0; delta /= 2) {
    const uint32_t high = __shfl_xor_sync(0xffffffffu, uint32_t(best >> 32), delta),
                   low = __shfl_xor_sync(0xffffffffu, uint32_t(best), delta);
    best = better(best, Choice(high) << 32 | low);
  }
  return best;
}

// A row of logits, and what its sequence makes of them.
struct Row {
  const float* logits;
  const uint32_t *allowed, *seen;  // nullptr: all, none
  float penalty;
  int n;
  bool aligned;  // to 16 bytes, in whole fours
};

// Four logits, and the choices that they are.
__device__ void load(const Row& row, int first, float (&x)[kEach]) {
  if (row.aligned && first < row.n) {
    const uint4 v = *reinterpret_cast<const uint4*>(row.logits + first);
    x[0] = __uint_as_float(v.x), x[1] = __uint_as_float(v.y);
    x[2] = __uint_as_float(v.z), x[3] = __uint_as_float(v.w);
  } else {
    OMNI_UNROLL for (int i = 0; i < kEach; ++i) x[i] =
        first + i < row.n ? row.logits[first + i] : -INFINITY;
  }
}
__device__ void choices_of(const Row& row, int first, const float (&x)[kEach],
                           Choice (&choice)[kEach]) {
  const int word = first / 32, shift = first % 32;
  const uint32_t may = row.allowed && first < row.n ? row.allowed[word] >> shift : ~0u,
                 was = row.seen && first < row.n ? row.seen[word] >> shift : 0;
  OMNI_UNROLL for (int i = 0; i < kEach; ++i) {
    float score = x[i];
    if (was >> i & 1) score = score < 0 ? score * row.penalty : score / row.penalty;
    choice[i] = may >> i & 1 ? choice_of(score, first + i) : 0;
  }
}

__device__ Row row_of(const float* logits, int vocabulary, const SampleOptions& o,
                      const uint32_t* bits) {
  const float* row = logits + int64_t(o.row) * vocabulary;
  return {row,
          o.allowed < 0 ? nullptr : bits + o.allowed,
          o.seen < 0 ? nullptr : bits + o.seen,
          o.penalty,
          vocabulary,
          vocabulary % kEach == 0 && reinterpret_cast<uintptr_t>(row) % 16 == 0};
}

// A warp a part. best: [n, n_parts · kGroupsOfPart]; share: [n, n_parts].
__global__ void __launch_bounds__(kPartThreads)
    sample_groups_kernel(const float* __restrict__ logits, int vocabulary,
                         const SampleOptions* __restrict__ options,
                         const uint32_t* __restrict__ bits, Choice* __restrict__ best,
                         Share* __restrict__ share, int n_parts) {
  const int lane = int(threadIdx.x) % 32,
            part = int(blockIdx.x) * kPartsOfBlock + int(threadIdx.x) / 32;
  wait_for_input();
  if (part >= n_parts) return;
  const Row row = row_of(logits, vocabulary, options[blockIdx.y], bits);
  const int64_t place = int64_t(blockIdx.y) * n_parts + part;

  float x[kLoads][kEach];
  OMNI_UNROLL for (int l = 0; l < kLoads; ++l)
      load(row, part * kPart + (32 * l + lane) * kEach, x[l]);
  float highest = -INFINITY, sum = 0;
  OMNI_UNROLL for (int l = 0; l < kLoads; ++l) OMNI_UNROLL for (int i = 0; i < kEach; ++i) highest =
      fmaxf(highest, x[l][i]);
  highest = warp_max(highest);
  const float base = highest == -INFINITY ? 0 : highest;
  OMNI_UNROLL for (int l = 0; l < kLoads; ++l) OMNI_UNROLL for (int i = 0; i < kEach; ++i) sum +=
      __expf(x[l][i] - base);
  sum = warp_sum(sum);
  if (lane == 0) share[place] = {highest, sum};

  OMNI_UNROLL for (int l = 0; l < kLoads; ++l) {
    Choice c[kEach];
    choices_of(row, part * kPart + (32 * l + lane) * kEach, x[l], c);
    const Choice of_group = best_of(better(better(c[0], c[1]), better(c[2], c[3])), kLanes / 2);
    if (lane % kLanes == 0) best[place * kGroupsOfPart + (32 * l + lane) / kLanes] = of_group;
  }
}

// A bound that at least `wanted` of the choices reach (or all, if there are fewer) and at most
// `most`, which is no less than `wanted`. each(visit) calls visit(choice) for those of a thread, no
// choice twice. count: [kDigits], found: [2], both shared. All threads of the block call it.
template <class Each>
__device__ Choice bound_of(const Each& each, int wanted, int most, int* count, int* found) {
  const int me = int(threadIdx.x);
  Choice bound = 0;  // its leading digits
  int above = 0;     // how many are above whatever begins with these
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (int i = me; i < kDigits; i += kThreads) count[i] = 0;
    __syncthreads();
    each([&](Choice c) {
      if (c && (shift == 56 || c >> (shift + 8) == bound >> (shift + 8)))
        atomicAdd(&count[c >> shift & (kDigits - 1)], 1);
    });
    __syncthreads();
    if (me < 32) {  // a lane eight digits, the highest ones first
      constexpr int kOfLane = kDigits / 32;
      const int highest = kDigits - 1 - kOfLane * me;
      int n = 0;
      OMNI_UNROLL for (int i = 0; i < kOfLane; ++i) n += count[highest - i];
      int until = n;
      for (int delta = 1; delta < 32; delta *= 2) {
        const int before = __shfl_sync(0xffffffffu, until, me < delta ? me : me - delta);
        if (me >= delta) until += before;
      }
      int reached = above + until - n;
      if (reached < wanted && (reached + n >= wanted || me == 31)) {
        int digit = highest;
        for (; digit > 0 && reached + count[digit] < wanted; --digit) reached += count[digit];
        found[0] = digit, found[1] = reached;
      }
    }
    __syncthreads();
    const int digit = found[0], in_digit = count[digit];
    above = found[1];
    bound |= Choice(digit) << shift;
    if (above + in_digit <= most) return bound;
    __syncthreads();  // `count` is still read
  }
  return bound;
}

// The sum of x over all threads up to this one. `partial`: shared, a float a warp. All threads of
// the block call it.
__device__ float sum_until(float x, float* partial) {
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  for (int delta = 1; delta < 32; delta *= 2) {
    const float before = __shfl_sync(0xffffffffu, x, lane < delta ? lane : lane - delta);
    if (lane >= delta) x += before;
  }
  __syncthreads();  // `partial` may still be read
  if (lane == 31) partial[warp] = x;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < warp; ++w) sum += partial[w];
  return sum + x;
}

// Bitonic, the best first; behind the first n choices there is room up to the next power of two.
__device__ void sort(Choice* choices, int n) {
  const int me = int(threadIdx.x);
  int sorted = 2;
  while (sorted < n) sorted *= 2;
  for (int i = n + me; i < sorted; i += kThreads) choices[i] = 0;
  __syncthreads();
  for (int size = 2; size <= sorted; size *= 2)
    for (int apart = size / 2; apart > 0; apart /= 2) {
      const int one = 2 * me - (me & (apart - 1)), other = one + apart;
      if (other < sorted) {
        const Choice a = choices[one], b = choices[other];
        if ((a > b) == ((one & size) != 0)) choices[one] = b, choices[other] = a;
      }
      __syncthreads();
    }
}

// Which of the k sorted choices is drawn: of those that together reach top_p. reach: [k], partial:
// [warps], both shared.
__device__ int drawn(const Choice* choices, int k, const SampleOptions& o, float* reach,
                     float* partial) {
  const int me = int(threadIdx.x);
  const float weight =
      me < k ? __expf(score_of(choices[me]) / o.temperature - score_of(choices[0]) / o.temperature)
             : 0;
  const float mine = sum_until(weight, partial);
  if (me < k) reach[me] = mine;
  __syncthreads();
  const float limit = o.top_p * reach[k - 1];
  const int kept = min(k, 1 + int(block_sum(me < k && mine < limit, partial)));
  const float draw = o.draw * reach[kept - 1];
  return min(kept - 1, int(block_sum(me < kept && mine <= draw, partial)));
}

// A block a sequence.
__global__ void __launch_bounds__(kThreads, 1)
    sample_draw_kernel(const float* __restrict__ logits, int vocabulary,
                       const SampleOptions* __restrict__ options, const uint32_t* __restrict__ bits,
                       const Choice* __restrict__ best, const Share* __restrict__ share,
                       int n_parts, SampledToken* __restrict__ result) {
  OMNI_SHARED(Choice, choices, kRoom);
  OMNI_SHARED(int, groups, kRoom);
  OMNI_SHARED(int, count, kDigits);
  OMNI_SHARED(int, found, 2);
  OMNI_SHARED(int, n_found, 2);  // groups, choices
  OMNI_SHARED(float, reach, kMostChoices);
  OMNI_SHARED(float, partial, kThreads / 32);
  const int me = int(threadIdx.x), lane = me % 32, warp = me / 32;
  wait_for_input();
  const SampleOptions o = options[blockIdx.x];
  const Row row = row_of(logits, vocabulary, o, bits);
  const int n_groups = n_parts * kGroupsOfPart;
  best += int64_t(blockIdx.x) * n_groups, share += int64_t(blockIdx.x) * n_parts;

  float highest = -INFINITY, sum = 0;
  for (int i = me; i < n_parts; i += kThreads) highest = fmaxf(highest, share[i].highest);
  highest = block_max(highest, partial);
  for (int i = me; i < n_parts; i += kThreads)
    sum += share[i].sum * __expf(share[i].highest - highest);
  sum = block_sum(sum, partial);

  int n = 1, chosen = 0;
  if (o.top_k == 1) {
    Choice mine = 0;
    for (int i = me; i < n_groups; i += kThreads) mine = better(mine, best[i]);
    mine = best_of(mine, 16);
    if (lane == 0) choices[warp] = mine;
    __syncthreads();
    if (warp == 0) {
      mine = best_of(choices[lane], 16);
      if (me == 0) choices[0] = mine;
    }
  } else {
    const auto each_group = [&](const auto& visit) {
      for (int i = me; i < n_groups; i += kThreads) visit(best[i]);
    };
    Choice bound = bound_of(each_group, o.top_k, 2 * o.top_k, count, found);
    if (me == 0) n_found[0] = 0;
    __syncthreads();
    for (int i = me; i < n_groups; i += kThreads)
      if (best[i] && best[i] >= bound) groups[atomicAdd(&n_found[0], 1)] = i;
    __syncthreads();
    const int n_wanted = n_found[0];
    const auto each_choice = [&](const auto& visit) {
      for (int g = me / kLanes; g < n_wanted; g += kThreads / kLanes) {
        const int first = groups[g] * kGroup + me % kLanes * kEach;
        float x[kEach];
        Choice c[kEach];
        load(row, first, x);
        choices_of(row, first, x, c);
        OMNI_UNROLL for (int i = 0; i < kEach; ++i) if (c[i] >= bound) visit(c[i]);
      }
    };
    for (int pass = 0; pass < 2; ++pass) {
      if (pass == 1) bound = bound_of(each_choice, o.top_k, kRoom, count, found);
      if (me == 0) n_found[1] = 0;
      __syncthreads();
      each_choice([&](Choice c) {
        const int place = c ? atomicAdd(&n_found[1], 1) : kRoom;
        if (place < kRoom) choices[place] = c;
      });
      __syncthreads();
      n = n_found[1];
      if (n <= kRoom) break;
    }
    sort(choices, n);
    if (n) chosen = drawn(choices, min(n, o.top_k), o, reach, partial);
  }
  if (me != 0) return;
  const Choice token = n ? choices[chosen] : 0;
  result[blockIdx.x] = {token ? id_of(token) : 0,
                        token ? __expf(row.logits[id_of(token)] - highest) / sum : NAN};
}

}  // namespace

size_t sample_room(int vocabulary, int n) {
  return size_t(n) * size_t(parts_of(vocabulary)) *
         (kGroupsOfPart * sizeof(Choice) + sizeof(Share));
}

cudaError_t sample(const float* logits, int vocabulary, const SampleOptions* options,
                   const uint32_t* bits, int n, void* room, SampledToken* result,
                   cudaStream_t stream) {
  if (vocabulary < 1 || n < 0) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  const int n_parts = parts_of(vocabulary);
  auto* best = static_cast<Choice*>(room);
  auto* share = reinterpret_cast<Share*>(best + int64_t(n) * n_parts * kGroupsOfPart);
  const auto n_blocks = unsigned(n_parts + kPartsOfBlock - 1) / kPartsOfBlock;
  if (const cudaError_t e = launch_early("sample_groups", sample_groups_kernel,
                                         {{n_blocks, unsigned(n)}, {kPartThreads}}, stream, logits,
                                         vocabulary, options, bits, best, share, n_parts))
    return e;
  return launch_early("sample_draw", sample_draw_kernel, {{unsigned(n)}, {kThreads}}, stream,
                      logits, vocabulary, options, bits, best, share, n_parts, result);
}

}  // namespace omni::cuda
