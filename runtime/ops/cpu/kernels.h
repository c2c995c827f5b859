// The inner loops of the ops, one table of functions an instruction set. All of them work on plain
// float32 rows and one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "core/dtype.h"

namespace omni::ops::cpu {

// Keys and values that lie kv_stride apart.
struct KeyRun {
  const void *k, *v;
  int64_t rows;
};

// Keys of a tile that the same queries meet: query i sees the first ends[i · ends_step] − first.
struct AttentionLane {
  const float* q;  // first query
  int64_t q_stride;
  const int32_t* ends;
  int64_t ends_step;
  int32_t first;
  std::span<const KeyRun> runs;  // in order: those that the last query sees

  int64_t visible(int64_t i) const { return ends[i * ends_step] - first; }
};

struct AttentionTile {
  std::span<const AttentionLane> lanes;
  DType kv_dtype;     // f32 or bf16
  int64_t kv_stride;  // elements
  int64_t n_q;
  int group;  // query heads that share this key head; they lie side by side
  int head_dim;
  float scale;
  float* y;  // as q
  int64_t y_stride;
  float* scratch;  // attention_scratch() floats, aligned to 64 bytes

  int64_t n_rows() const { return n_q * group; }
  // of all lanes, that the last query sees
  int64_t n_keys() const {
    int64_t n = 0;
    for (const AttentionLane& lane : lanes) n += lane.visible(n_q - 1);
    return n;
  }
};

constexpr int64_t kKeyBlock = 128;  // keys whose scores are there at a time
constexpr int64_t kFewRows = 4;     // rows that go over keys and values where they lie

inline int64_t attention_scratch(int64_t n_rows, int64_t n_keys, int64_t head_dim) {
  constexpr int64_t kMostColumns = 32;  // of a panel
  const int64_t blocks =
      n_rows * (2 * head_dim + kKeyBlock + 2) + kKeyBlock * (2 * head_dim + kMostColumns);
  return std::max(blocks, n_rows <= kFewRows ? n_rows * n_keys : n_keys);
}

// Rows [begin, end) of ops::snake_beta(): x[n, c] → y[n, c].
struct SnakeTile {
  const float* x;
  int64_t n, c, begin, end;
  const float *alpha, *beta_reciprocal, *filter;
  float* y;
  float* scratch;  // scratch_size() floats

  // rows of its input before and after a row that a filter looks at
  static constexpr int64_t kReach = 3;
  int64_t n_upsampled() const { return end - begin + 2 * kReach; }  // rows, of each parity
  int64_t period() const {
    return (63 + c) / c * c;
  }  // alpha and beta as long as vectors want them
  int64_t scratch_size() const { return (3 * n_upsampled() + 2 * kReach) * c + 2 * period(); }
};

struct Kernels {
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* y);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, int64_t n,
                     float* y);
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* y);
  void (*gelu)(float* x, int64_t n);
  void (*gelu_tanh)(float* x, int64_t n);
  void (*quick_gelu)(float* x, int64_t n);
  void (*silu)(float* x, int64_t n);
  void (*snake)(float* x, const float* alpha, const float* beta_reciprocal, int64_t n);
  void (*snake_beta)(const SnakeTile& tile);
  void (*add)(float* x, const float* y, int64_t n);
  void (*add_scaled)(float* x, const float* y, const float* scale, int64_t n);
  void (*div)(float* x, float divisor, int64_t n);
  void (*mean)(const float* a, const float* b, int64_t n, float* y);  // of two
  void (*rotate)(float* x, const float* cos, const float* sin, int64_t half);
  void (*round_bf16)(const float* x, int64_t n, BFloat16* y);
  void (*widen_bf16)(const BFloat16* x, int64_t n, float* y);
  void (*widen_f16)(const Float16* x, int64_t n, float* y);
  // x ≈ scale · y; sum = Σ y. What is not finite makes the scale NaN.
  void (*round_int8)(const float* x, int64_t n, int8_t* y, float* scale, float* sum);
  float (*sum)(const float* x, int64_t n);
  // y[n] = q · k[j · stride …] · scale
  void (*scores)(const float* q, const float* k, int64_t stride, int64_t n, int head_dim,
                 float scale, float* y);
  void (*softmax)(float* x, int64_t n);  // in place
  void (*attention)(const AttentionTile& tile);
};

const Kernels& kernels();  // those of cpu_level()
extern const Kernels kPortableKernels, kAvx2Kernels, kAvx512Kernels, kNeonKernels;

}  // namespace omni::ops::cpu
