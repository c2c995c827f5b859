// Operations on tensors, named as in PyTorch's functional API. Activations are float32 [n, ...], or
// bfloat16 where an op is asked for them (`out`) to feed a product that rounds them anyway
// (operand_of());
// results live in the context's arena, on its device, unless said otherwise; all tensors of a call,
// and all pointers but those of spans, are there too. On a device an op only asks for the work:
// to_host() waits for it. Shapes are checked, and a wrong one throws `internal` with both shapes:
// user input never reaches an op unchecked. Every op may be called from several threads at once
// with different contexts.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "core/arena.h"
#include "core/matrix.h"
#include "core/tensor.h"
#include "core/thread_pool.h"
namespace omni::ops {

// What a computation runs on: the arena's device, and for the host's part the pool. One computation
// at a time uses an arena; any number share the pool.
struct Context {
  ThreadPool& pool;
  Arena& arena;
};

class PackedMatrix;

// Precision of the products: x as it is; on a device rounded as its tensor cores take float32
// (TF32: 10 bits of mantissa), where a library offers that; or both factors rounded to bfloat16.
// Sums are float32.
enum class MatmulPrecision { f32, tf32, bf16 };

// A tensor of the host on the context's device: x itself if it is there already.
Tensor from_host(Context& cx, const Tensor& x);
// The values, when they are there: x itself on the host, otherwise a copy that the caller's `room`
// holds.
std::span<const float> to_host(Context& cx, const Tensor& x, std::vector<float>& room);
// x ← y, and a new tensor like x.
void copy_(Context& cx, Tensor& x, const Tensor& y);
Tensor clone(Context& cx, const Tensor& x);

// Packs the rows of `parts` ([n_i, k] each), one under the other, for linear() on a device. What is
// packed may point into the parts' own memory and then keeps it; where it is a mapped file, nothing
// is copied.
std::shared_ptr<const PackedMatrix> pack_linear(std::span<const Matrix> parts,
                                                MatmulPrecision precision,
                                                const Device* device = nullptr);

// What linear() wants x in: bfloat16 for weights of a device that are rounded to it, and float32,
// which it always takes.
DType operand_of(const PackedMatrix& weight);

// y[n, n_out] = x[n, k] · weightᵀ + bias. `bias` [n_out] may be undefined.
Tensor linear(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias);

// rms_norm(x, weight, eps) for a product alone, which may form it on its way.
struct Normed {
  const Tensor& x;
  const Tensor& weight;
  float eps;
};
Tensor linear(Context& cx, const Normed& x, const PackedMatrix& weight, const Tensor& bias);

// y ← y + x · weightᵀ + bias, in place.
void add_linear_(Context& cx, Tensor& y, const Tensor& x, const PackedMatrix& weight,
                 const Tensor& bias);

// silu_mul(linear(x)): y[n, n_out / 2].
Tensor linear_silu_mul(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
                       DType out = DType::f32);
Tensor linear_silu_mul(Context& cx, const Normed& x, const PackedMatrix& weight, const Tensor& bias,
                       DType out = DType::f32);

// y = x / sqrt(mean(x²) + eps) · weight, over the last dimension. (arXiv 1910.07467)
Tensor rms_norm(Context& cx, const Tensor& x, const Tensor& weight, float eps,
                DType out = DType::f32);

// y = (x − mean) / sqrt(var + eps) · weight + bias, over the last dimension. (arXiv 1607.06450)
Tensor layer_norm(Context& cx, const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  DType out = DType::f32);

// x[n, 2m] holds gate‖up: y[n, m] = silu(gate) · up. (SwiGLU, arXiv 2002.05202)
Tensor silu_mul(Context& cx, const Tensor& x, DType out = DType::f32);

// x ← x/2 · (1 + erf(x/√2)), in place where `out` is float32; otherwise x becomes another tensor.
void gelu_(Context& cx, Tensor& x, DType out = DType::f32);

// x ← x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))), likewise.
void gelu_tanh_(Context& cx, Tensor& x, DType out = DType::f32);

// x ← x / (1 + e^(−1.702 x)), likewise. (arXiv 1606.08415, the approximation by a sigmoid)
void quick_gelu_(Context& cx, Tensor& x, DType out = DType::f32);

// x ← x / (1 + e^−x), in place.
void silu_(Context& cx, Tensor& x);

// x ← x / divisor, in place.
void div_(Context& cx, Tensor& x, float divisor);

// x ← x + y · scale[column], in place; scale [columns].
void add_scaled_(Context& cx, Tensor& x, const Tensor& y, const float* scale);

// x ← x + y / (1 + e^−gate) of each row, in place; gate [rows, 1].
void add_gated_(Context& cx, Tensor& x, const Tensor& y, const Tensor& gate);

// x ← x + y · scale[column], and normed ← layer_norm(x), in place; normed as x, of its own type.
void add_scaled_norm_(Context& cx, Tensor& x, const Tensor& y, const float* scale,
                      const Tensor& weight, const Tensor& bias, float eps, Tensor& normed);

// y ← Σ weight · x of at most kMostTerms tensors like y, which may be one of them.
struct Term {
  Tensor x;
  float weight;
};
constexpr size_t kMostTerms = 5;
void weighted_sum(Context& cx, Tensor& y, std::span<const Term> terms);

// x ← x + y, in place.
void add_(Context& cx, Tensor& x, const Tensor& y);

// y[n_ids, hidden] = rows of table[n_rows, hidden] (F32, F16 or BF16). An id outside the table
// throws invalid_argument.
Tensor embedding(Context& cx, std::span<const int32_t> ids, const Tensor& table);

// y[rows.size(), hidden]: those rows of x[n, hidden].
Tensor index_select(Context& cx, const Tensor& x, std::span<const int64_t> rows);

// y[n / 2, hidden]: the means of pairs of rows; an odd last one is dropped. (avg_pool1d with kernel
// and stride 2)
Tensor avg_pool_pairs(Context& cx, const Tensor& x);

enum class Padding { zeros, reflect, none };
struct Conv1dOptions {
  int kernel = 1, stride = 1, dilation = 1;
  // kernel/2 · dilation rows before and after; none: there are (kernel − 1) · dilation rows less
  Padding padding = Padding::zeros;
  // Others of as many rows will come: a library may take its time to plan it.
  bool recurs = true;
};
// Convolution over time: x[n, c_in] → y[(n − 1)/stride + 1, c_out]; `weight` is packed from [c_out,
// kernel · c_in], tap-major. Reflection needs n > kernel/2 · dilation, none a stride of one and n >
// (kernel − 1) · dilation.
Tensor conv1d(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
              const Conv1dOptions& options);
// x[n, c_in] → y[(n − 1) · stride + kernel − 2 · padding, c_out]; `weight` is packed from [kernel ·
// c_out, c_in], tap-major.
Tensor conv_transpose1d(Context& cx, const Tensor& x, const PackedMatrix& weight,
                        const Tensor& bias, int kernel, int stride, int padding);

// x + sin²(αx)/β between upsampling by 2 and downsampling by 2 with a filter of 12 taps, so that
// what the sine adds does not alias; the ends are repeated. x[n, c]; alpha, beta_reciprocal [c] as
// they are used; filter [12]. (BigVGAN, arXiv 2206.04658; Qwen2_5OmniAntiAliasedActivation1d)
Tensor snake_beta(Context& cx, const Tensor& x, const Tensor& alpha, const Tensor& beta_reciprocal,
                  const float* filter);

// x ← x + sin²(αx)/β, in place; as snake_beta() has it, but for the filter. (arXiv 2006.08195;
// Qwen3OmniMoeSnakeBeta)
void snake_(Context& cx, Tensor& x, const Tensor& alpha, const Tensor& beta_reciprocal);

// How a token is drawn from a row of logits: of those that `allowed` leaves, those of `seen` moved
// by the penalty, over the temperature; the likeliest top_k of them, and of these the likeliest
// that together reach top_p. (transformers' generate())
struct Sampling {
  static constexpr int kMostChoices = 1024;
  int64_t row = 0;
  int top_k = 1;  // 1 … kMostChoices; 1: the likeliest, of equals the first
  float temperature = 1, top_p = 1, penalty = 1;
  float draw = 0;                       // [0, 1)
  std::vector<uint32_t> allowed, seen;  // a bit a token; empty: all, none
};
struct SampledToken {
  int32_t id;
  float probability;  // of softmax(logits), before anything is left out
};
// One for each sampling, whatever the others are. logits [rows, vocabulary], on a device. Waits,
// once for all.
std::vector<SampledToken> sample(Context& cx, const Tensor& logits,
                                 std::span<const Sampling> samplings);

// Heads inside a wider row: head h of token i starts at data + i · stride + h · head_dim.
struct Heads {
  float* data;
  int64_t stride;  // elements from one token to the next
  int n_heads;
  int head_dim;
  Heads from(int64_t token) const { return {data + token * stride, stride, n_heads, head_dim}; }
};

// The heads of n tokens, copied to another place of the same device.
void copy_rows(Context& cx, Heads to, Heads from, int64_t n);

// The same over each head of n tokens, in place; weight [head_dim].
void rms_norm_(Context& cx, Heads x, int64_t n, const Tensor& weight, float eps);

// Where a token stands: time, height, width. Grows as long as a stream runs.
using RotaryPosition = std::array<int64_t, 3>;
// Cosines and sines, [2, n, half], of position[axis[i]] · frequency[i], computed in double
// precision. positions: n, where the ops run; frequency [half] float32, axis [half] int32.
Tensor rotary_table(Context& cx, const RotaryPosition* positions, int64_t n,
                    const Tensor& frequency, const Tensor& axis);

// Rotates each head of n tokens by halves: (a, b) ← (a·cos − b·sin, b·cos + a·sin), in place. cos,
// sin: [n, head_dim/2].
void rotary_(Context& cx, Heads x, int64_t n, const float* cos, const float* sin);

// softmax(q · kᵀ / √head_dim) · v with grouped queries (q.n_heads is a multiple of k.n_heads).
// Bidirectional inside each span: tokens [spans[i], spans[i+1]) see one another and nobody else.
// out = bf16, on a device only: y is rounded to bfloat16, and so may be the factors of the products
// (queries, keys, values, weights of the softmax); sums and softmax are float32.
// y[n, q.n_heads · head_dim]
Tensor attention(Context& cx, Heads q, Heads k, Heads v, std::span<const int64_t> spans,
                 DType out = DType::f32);
// Queries [begin, end) see keys [first_key, first_key + n_keys). Ranges cover the queries in order.
struct AttentionRange {
  int64_t begin, end, first_key, n_keys;
};
Tensor attention(Context& cx, Heads q, Heads k, Heads v, std::span<const AttentionRange> ranges,
                 DType out = DType::f32);
// softmax(q · kᵀ / √head_dim) of one head: [n, n_keys].
Tensor attention_weights(Context& cx, Heads q, int64_t n, Heads k, int64_t n_keys);

}  // namespace omni::ops
