// What computes the operations of ops.h on the host (ops/cpu) or on a device (ops/cuda): a function
// each, called by ops.cc when the shapes are checked and the result has its memory.
#pragma once

#include "ops/experts.h"
#include "ops/frame_patches.h"
#include "ops/mel_frames.h"
#include "ops/ops.h"
#include "ops/paged_attention.h"

namespace omni::ops {

// A weight matrix as a backend wants it.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  int64_t n_out() const { return n_out_; }
  int64_t n_in() const { return n_in_; }
  virtual DType operand() const { return DType::f32; }

 protected:
  PackedMatrix(int64_t n_out, int64_t n_in) : n_out_(n_out), n_in_(n_in) {}

 private:
  int64_t n_out_, n_in_;
};

// Which frames a column of a convolution over time is made of: frame i · stride + tap · dilation −
// before, for `n` columns from column `first` on.
struct Unfold {
  int64_t first, n;
  int kernel, stride, dilation;
  int64_t before;
  Padding padding;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::shared_ptr<const PackedMatrix> pack_linear(std::span<const Matrix> parts,
                                                          MatmulPrecision precision) const = 0;
  virtual void linear(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
                      Tensor& y) const = 0;
  // Not at once, where the backend has nothing better.
  virtual void add_linear(Context& cx, const Tensor& x, const PackedMatrix& weight,
                          const Tensor& bias, Tensor& y) const {
    Tensor more = cx.arena.f32(y.shape());
    linear(cx, x, weight, bias, more);
    add(cx, y, more);
  }
  virtual void linear_silu_mul(Context& cx, const Tensor& x, const PackedMatrix& weight,
                               const Tensor& bias, Tensor& y) const {
    Tensor gate_up = cx.arena.f32({x.dim(0), weight.n_out()});
    linear(cx, x, weight, bias, gate_up);
    silu_mul(cx, gate_up, y);
  }
  // Not at once, where the backend has nothing better.
  virtual void normed_linear(Context& cx, const Normed& x, const PackedMatrix& weight,
                             const Tensor& bias, Tensor& y) const {
    linear(cx, norm(cx, x, weight), weight, bias, y);
  }
  virtual void normed_linear_silu_mul(Context& cx, const Normed& x, const PackedMatrix& weight,
                                      const Tensor& bias, Tensor& y) const {
    linear_silu_mul(cx, norm(cx, x, weight), weight, bias, y);
  }
  virtual void rms_norm(Context& cx, const Tensor& x, const Tensor& weight, float eps,
                        Tensor& y) const = 0;
  virtual void rms_norm_heads(Context& cx, Heads x, int64_t n, const Tensor& weight,
                              float eps) const = 0;
  virtual void layer_norm(Context& cx, const Tensor& x, const Tensor& weight, const Tensor& bias,
                          float eps, Tensor& y) const = 0;
  virtual void silu_mul(Context& cx, const Tensor& x, Tensor& y) const = 0;
  // y may be x
  virtual void gelu(Context& cx, const Tensor& x, Tensor& y) const = 0;
  virtual void gelu_tanh(Context& cx, const Tensor& x, Tensor& y) const = 0;
  virtual void quick_gelu(Context& cx, const Tensor& x, Tensor& y) const = 0;
  virtual void silu(Context& cx, Tensor& x) const = 0;
  virtual void div(Context& cx, Tensor& x, float divisor) const = 0;
  virtual void add(Context& cx, Tensor& x, const Tensor& y) const = 0;
  virtual void add_scaled(Context& cx, Tensor& x, const Tensor& y, const float* scale) const = 0;
  virtual void add_gated(Context& cx, Tensor& x, const Tensor& y, const Tensor& gate) const = 0;
  virtual void add_scaled_norm(Context& cx, Tensor& x, const Tensor& y, const float* scale,
                               const Tensor& weight, const Tensor& bias, float eps,
                               Tensor& normed) const {
    add_scaled(cx, x, y, scale);
    layer_norm(cx, x, weight, bias, eps, normed);
  }
  virtual void weighted_sum(Context& cx, Tensor& y, std::span<const Term> terms) const = 0;
  virtual void embedding(Context& cx, std::span<const int32_t> ids, const Tensor& table,
                         Tensor& y) const = 0;
  virtual void index_select(Context& cx, const Tensor& x, std::span<const int64_t> rows,
                            Tensor& y) const = 0;
  virtual void route(Context& cx, const Tensor& logits, bool normalize, Routes& routes) const = 0;
  // y[slots[i] / top_k] += x[i] · weights[slots[i]]; weights [n, top_k]; no row twice.
  virtual void add_routed(Context& cx, const Tensor& x, const Tensor& weights,
                          std::span<const int64_t> slots, Tensor& y) const = 0;
  virtual void copy_rows(Context& cx, Heads to, Heads from, int64_t n) const = 0;
  virtual void avg_pool_pairs(Context& cx, const Tensor& x, Tensor& y) const = 0;
  // A convolution at once, with zeros beyond the ends; false where the backend has none for it:
  // then it is unfolded.
  virtual bool convolution(Context&, const Tensor& /*x*/, const PackedMatrix&,
                           const Tensor& /*bias*/, const Unfold&, Tensor& /*y*/) const {
    return false;
  }
  virtual void unfold(Context& cx, const Tensor& x, const Unfold& how, Tensor& columns) const = 0;
  virtual void fold(Context& cx, const Tensor& columns, const Tensor& bias, int kernel, int stride,
                    int padding, Tensor& y) const = 0;
  virtual void snake_beta(Context& cx, const Tensor& x, const Tensor& alpha,
                          const Tensor& beta_reciprocal, const float* filter, Tensor& y) const = 0;
  virtual void snake(Context& cx, Tensor& x, const Tensor& alpha,
                     const Tensor& beta_reciprocal) const = 0;
  virtual void rotary(Context& cx, Heads x, int64_t n, const float* cos,
                      const float* sin) const = 0;
  virtual void rotary_table(Context& cx, const RotaryPosition* positions, const Tensor& frequency,
                            const Tensor& axis, Tensor& y) const = 0;
  virtual void attention_weights(Context& cx, Heads q, Heads k, Tensor& y) const = 0;
  virtual void attention(Context& cx, Heads q, Heads k, Heads v,
                         std::span<const AttentionRange> ranges, Tensor& y) const = 0;
  virtual void append_to_pages(Context& cx, const PagedBatch& batch, const KvLayout& layout,
                               int layer, Heads k, Heads v) const = 0;
  // Not at once, where the backend has nothing better.
  virtual void rotate_and_append(Context& cx, const PagedBatch& batch, const KvLayout& layout,
                                 int layer, Heads q, Heads k, Heads v, const Rotary& of_q,
                                 const Rotary& of_k) const {
    rotary(cx, q, batch.n_tokens(), of_q.cos, of_q.sin);
    rotary(cx, k, batch.n_tokens(), of_k.cos, of_k.sin);
    append_to_pages(cx, batch, layout, layer, k, v);
  }
  virtual void paged_attention(Context& cx, std::span<const Heads> q, const PagedBatch& batch,
                               const KvLayout& layout, int layer, Tensor& y) const = 0;
  // Not at once, where the backend has nothing better.
  virtual void rotary_paged_attention(Context& cx, const UnrotatedRows& rows,
                                      const PagedBatch& batch, const KvLayout& layout, int layer,
                                      Tensor& y) const;
  // Asked for on a device only.
  virtual std::vector<SampledToken> sample(Context& cx, const Tensor& logits,
                                           std::span<const Sampling> samplings) const = 0;

 private:
  Tensor norm(Context& cx, const Normed& x, const PackedMatrix& weight) const {
    Tensor y = cx.arena.tensor(weight.operand(), x.x.shape());
    rms_norm(cx, x.x, x.weight, x.eps, y);
    return y;
  }
};

// Of lanes with the same angles the queries are rotated once, those of the first lane in place.
inline void Backend::rotary_paged_attention(Context& cx, const UnrotatedRows& rows,
                                            const PagedBatch& batch, const KvLayout& layout,
                                            int layer, Tensor& y) const {
  const int64_t n = batch.n_tokens();
  std::array<Heads, PagedBatch::kMostLanes> q{rows.q};
  for (size_t lane = 1; lane < rows.of_q.size(); ++lane) {
    size_t alike = 0;
    while (rows.of_q[alike].cos != rows.of_q[lane].cos) ++alike;
    q[lane] = q[alike];
    if (alike < lane) continue;
    q[lane] = {static_cast<float*>(cx.arena.f32({n, int64_t{q[0].n_heads} * q[0].head_dim}).raw()),
               int64_t{q[0].n_heads} * q[0].head_dim, q[0].n_heads, q[0].head_dim};
    copy_rows(cx, q[lane], q[0], n);
    rotary(cx, q[lane], n, rows.of_q[lane].cos, rows.of_q[lane].sin);
  }
  rotate_and_append(cx, batch, layout, layer, q[0], rows.k, rows.v, rows.of_q[0], rows.of_k);
  paged_attention(cx, std::span(q).first(rows.of_q.size()), batch, layout, layer, y);
}

// What every Device of this project is.
class ComputeDevice : public Device {
 public:
  // out: [grid_h · grid_w, 3 · 2 · patch · patch]. Throws unsupported for a frame so large that a
  // patch is made of too many samples.
  virtual void frame_to_patches(Queue& queue, const FramePatches& frame, float* out) const = 0;
  // samples: [(n − 1) · 160 + 400] → out: [n, n_mels], log10 of the power of each band.
  virtual void mel_frames(Queue& queue, const MelFrames& how, const float* samples, int64_t n,
                          float* out) const = 0;
  virtual const Backend& backend() const = 0;
};

const Backend& backend_of(const Device* device);

namespace cpu {
const Backend& backend();
}

}  // namespace omni::ops
