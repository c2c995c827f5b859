// The building blocks of every family, made from a Weights scope whose names are the checkpoint's.
// Immutable once made, shared by all sessions.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "io/weights.h"
#include "ops/ops.h"

namespace omni {

// Matrices of the host, one under the other, for the device and the precision of `like`. A tensor
// that is not as in the file is never quantized.
std::shared_ptr<const ops::PackedMatrix> pack(const Weights& like, std::span<const Matrix> parts);
inline std::shared_ptr<const ops::PackedMatrix> pack(const Weights& like, const Matrix& weight) {
  return pack(like, {&weight, 1});
}

// where_there: zeros stand in for a part without one (k_proj of Whisper-like towers)
enum class Bias { none, each, where_there };

// y = x · Wᵀ + b. Several parts of one input (q, k, v) are packed under one another and run as one
// product.
class Linear {
 public:
  Linear() = default;
  struct Part {
    std::string name;  // "<name>.weight", "<name>.bias"
    int64_t n_out;
  };
  Linear(const Weights& w, std::initializer_list<Part> parts, int64_t n_in, Bias bias);
  // Of tensors of the host that are not as in the file: weight [n_out, n_in], bias [n_out] or
  // undefined; for the device and the precision of `like`.
  Linear(const Tensor& weight, const Tensor& bias, const Weights& like)
      : weight_(pack(like, weight)),
        bias_(bias.defined() ? to_device(bias, like.device()) : bias) {}

  Tensor operator()(ops::Context& cx, const Tensor& x) const {
    return ops::linear(cx, x, *weight_, bias_);
  }
  Tensor operator()(ops::Context& cx, const ops::Normed& x) const {
    return ops::linear(cx, x, *weight_, bias_);
  }
  // What x is best in, for ops that make it.
  DType operand() const { return ops::operand_of(*weight_); }
  // y ← y + (*this)(x)
  void add_to(ops::Context& cx, Tensor& y, const Tensor& x) const {
    ops::add_linear_(cx, y, x, *weight_, bias_);
  }
  // silu(the first half of (*this)(x)) · the second half
  template <class X>  // Tensor or ops::Normed
  Tensor silu_mul(ops::Context& cx, const X& x, DType out) const {
    return ops::linear_silu_mul(cx, x, *weight_, bias_, out);
  }

 private:
  std::shared_ptr<const ops::PackedMatrix> weight_;
  Tensor bias_;  // [Σ n_out] or undefined
};

// Convolution over time: x[n, c_in] → y[(n − 1)/stride + 1, c_out].
class Conv1d {
 public:
  Conv1d() = default;
  Conv1d(const Weights& w, int64_t c_in, int64_t c_out, const ops::Conv1dOptions& options,
         Bias bias);
  // recurs: as ops::Conv1dOptions has it.
  Tensor operator()(ops::Context& cx, const Tensor& x, bool recurs = true) const {
    ops::Conv1dOptions options = options_;
    options.recurs = recurs;
    return ops::conv1d(cx, x, *weight_, bias_, options);
  }

 private:
  ops::Conv1dOptions options_;
  std::shared_ptr<const ops::PackedMatrix> weight_;
  Tensor bias_;  // [c_out] or undefined
};

class RmsNorm {
 public:
  RmsNorm() = default;
  RmsNorm(const Weights& w, int64_t n, float eps) : weight_(w.load_f32("weight", {n})), eps_(eps) {}
  Tensor operator()(ops::Context& cx, const Tensor& x, DType out = DType::f32) const {
    return ops::rms_norm(cx, x, weight_, eps_, out);
  }
  // The same of x for a Linear, while x lasts.
  ops::Normed of(const Tensor& x) const { return {x, weight_, eps_}; }

 private:
  Tensor weight_;
  float eps_ = 0;
};

// RmsNorm of each head, in place.
class HeadNorm {
 public:
  HeadNorm() = default;
  HeadNorm(const Weights& w, int head_dim, float eps)
      : weight_(w.load_f32("weight", {head_dim})), eps_(eps) {}
  void operator()(ops::Context& cx, const ops::Heads& x, int64_t n) const {
    ops::rms_norm_(cx, x, n, weight_, eps_);
  }

 private:
  Tensor weight_;
  float eps_ = 0;
};

class LayerNorm {
 public:
  LayerNorm() = default;
  LayerNorm(const Weights& w, int64_t n, float eps)
      : weight_(w.load_f32("weight", {n})), bias_(w.load_f32("bias", {n})), eps_(eps) {}
  Tensor operator()(ops::Context& cx, const Tensor& x, DType out = DType::f32) const {
    return ops::layer_norm(cx, x, weight_, bias_, eps_, out);
  }

 private:
  Tensor weight_, bias_;
  float eps_ = 0;
};

// down(silu(gate(x)) · up(x))
class SwiGluMlp {
 public:
  SwiGluMlp() = default;
  SwiGluMlp(const Weights& w, int64_t hidden, int64_t intermediate, Bias bias);
  DType operand() const { return gate_up_proj_.operand(); }
  // y ← y + the MLP of x
  template <class X>  // Tensor or ops::Normed
  void add_to(ops::Context& cx, Tensor& y, const X& x) const {
    down_proj_.add_to(cx, y, gate_up_proj_.silu_mul(cx, x, down_proj_.operand()));
  }

 private:
  Linear gate_up_proj_, down_proj_;
};

// fc2(activation(fc1(x)))
class Mlp {
 public:
  using Activation = void (*)(ops::Context& cx, Tensor& x, DType out);
  struct Names {
    std::string fc1 = "fc1", fc2 = "fc2";
  };
  Mlp() = default;
  Mlp(const Weights& w, int64_t n_in, int64_t intermediate, int64_t n_out, Activation activation,
      const Names& names)
      : fc1_(w, {{names.fc1, intermediate}}, n_in, Bias::each),
        fc2_(w, {{names.fc2, n_out}}, intermediate, Bias::each),
        activation_(activation) {}
  DType operand() const { return fc1_.operand(); }
  Tensor operator()(ops::Context& cx, const Tensor& x) const { return fc2_(cx, inner(cx, x)); }
  // y ← y + the MLP of x
  void add_to(ops::Context& cx, Tensor& y, const Tensor& x) const {
    fc2_.add_to(cx, y, inner(cx, x));
  }

 private:
  Tensor inner(ops::Context& cx, const Tensor& x) const {
    Tensor h = fc1_(cx, x);  // [n, intermediate]
    activation_(cx, h, fc2_.operand());
    return h;
  }

  Linear fc1_, fc2_;
  Activation activation_ = nullptr;
};

// Cosines and sines of a rotary embedding, [n, head_dim/2] each.
struct RotaryTable {
  Tensor cos, sin;
};

// Heads of a fused row q‖k‖v of `qkv`, starting at element `offset`.
ops::Heads heads_of(const Tensor& qkv, int64_t offset, int n_heads, int head_dim);

}  // namespace omni
