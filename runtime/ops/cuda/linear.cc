#include "ops/cuda/linear.h"

#include <algorithm>

#include "kernels/elementwise.h"
#include "kernels/linear.h"
#include "kernels/linear_quantized_tiles.h"
#include "kernels/rows.h"
#include "kernels/silu_mul.h"
#include "ops/cuda/tensors.h"

namespace omni::ops::cuda {

namespace {

using omni::cuda::Into;

// x in bfloat16, in rows as long as those of w and in its order.
Tensor narrow(Context& cx, const Tensor& x, const CudaWeight& w) {
  const int* columns = w.integers() ? w.integers()->inputs() : nullptr;
  if (x.dtype() == DType::bf16 && !columns) return x;
  Tensor y = cx.arena.tensor(DType::bf16, {x.dim(0), w.row()});
  auto* to = static_cast<bf16*>(y.raw());
  if (!columns)
    check(omni::cuda::narrow(data(x), to, x.dim(0), width(x), w.row(), stream(cx)), "narrow");
  else if (x.dtype() == DType::bf16)
    check(omni::cuda::select_columns(narrow_data(x), columns, to, x.dim(0), width(x), stream(cx)),
          "select_columns");
  else
    check(omni::cuda::select_columns(data(x), columns, to, x.dim(0), width(x), stream(cx)),
          "select_columns");
  return y;
}

void few_rows_of_integers(Context& cx, const Tensor& x, const omni::cuda::QuantizedWeight& w,
                          const Tensor& bias, Into into, Tensor& y) {
  const float* b = bias.defined() ? data(bias) : nullptr;
  if (x.dim(0) <= omni::cuda::kMostFewRows)
    return check(omni::cuda::linear_few_quantized(narrow_data(x), w, b, into, y.raw(),
                                                  int(x.dim(0)), stream(cx)),
                 "linear_few_quantized");
  for (int64_t first = 0; first < x.dim(0); first += omni::cuda::kMostTileRows) {
    const int64_t end = std::min(first + omni::cuda::kMostTileRows, x.dim(0)),
                  n_parts = omni::cuda::n_tile_parts(w, end - first);
    Arena::Scope scope(cx.arena);
    Tensor parts = cx.arena.f32({n_parts});
    check(omni::cuda::linear_tiles_quantized(narrow_data(x.rows(first, end)), w, b, into,
                                             y.rows(first, end).raw(), data(parts), end - first,
                                             stream(cx)),
          "linear_tiles_quantized");
  }
}

void few_rows(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias, Into into,
              Tensor& y) {
  if (w.integers()) return few_rows_of_integers(cx, x, w.integers()->get(), bias, into, y);
  check(omni::cuda::linear_few(narrow_data(x), static_cast<const bf16*>(w.values()),
                               bias.defined() ? data(bias) : nullptr, into, y.raw(), int(x.dim(0)),
                               w.row(), int(w.n_out()), stream(cx)),
        "linear_few");
}

bool few_normed_rows(Context& cx, const Normed& x, const CudaWeight& w, const Tensor& bias,
                     Into into, Tensor& y) {
  const auto is_aligned = [](const Tensor& t) {
    return reinterpret_cast<uintptr_t>(t.raw()) % 16 == 0;
  };
  if (w.operand() != DType::bf16 || !is_aligned(x.x) || !is_aligned(x.weight)) return false;
  const omni::cuda::NormedRows rows{data(x.x), data(x.weight), x.eps};
  const float* b = bias.defined() ? data(bias) : nullptr;
  const int64_t n = x.x.dim(0);
  if (w.integers()) {
    const omni::cuda::QuantizedWeight integers = w.integers()->get();
    if (w.integers()->inputs() || (into == Into::silu_mul && !w.halves_are_blocks()) ||
        !omni::cuda::can_norm_few(n, integers))
      return false;
    check(omni::cuda::linear_few_quantized(rows, integers, b, into, y.raw(), int(n), stream(cx)),
          "linear_few_quantized");
    return true;
  }
  if (!omni::cuda::can_norm_few(n, w.row())) return false;
  check(omni::cuda::linear_few(rows, static_cast<const bf16*>(w.values()), b, into, y.raw(), int(n),
                               w.row(), int(w.n_out()), stream(cx)),
        "linear_few");
  return true;
}

// What is multiplied with many rows; of integers in memory of the arena.
const void* values_of(Context& cx, const CudaWeight& w) {
  if (!w.integers()) return w.values();
  Tensor wide = cx.arena.tensor(DType::bf16, {w.n_out(), w.n_in()});
  check(omni::cuda::dequantize(w.integers()->get(), static_cast<bf16*>(wide.raw()), stream(cx)),
        "dequantize");
  return wide.raw();
}

// Through cuBLASLt, if it is there and can.
bool through_library(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias,
                     Tensor& y, Products::Into into) {
  Products* products = static_cast<Stream&>(cx.arena.queue()).products();
  if (!products || y.numel() == 0) return false;
  const float* b = bias.defined() ? data(bias) : nullptr;
  Arena::Scope scope(cx.arena);
  const void* values = values_of(cx, w);
  for (const void* p :
       {x.raw(), values, static_cast<const void*>(y.raw()), static_cast<const void*>(b)})
    if (reinterpret_cast<uintptr_t>(p) % Products::kAlign) return false;
  void* workspace = cx.arena.allocate(Products::kWorkspace);
  return products->run({x.dim(0), w.row(), int(w.n_out()), w.precision(), y.dtype() == DType::bf16,
                        b != nullptr, into},
                       x.raw(), values, b, y.raw(), workspace, stream(cx));
}

void on_tensor_cores(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias,
                     Tensor& y) {
  if (x.dim(0) <= w.most_few_rows()) return few_rows(cx, x, w, bias, Into::y, y);
  if (through_library(cx, x, w, bias, y, Products::Into::y)) return;
  check(omni::cuda::linear_tensor(narrow_data(x), static_cast<const bf16*>(values_of(cx, w)),
                                  bias.defined() ? data(bias) : nullptr, data(y), x.dim(0), w.row(),
                                  int(w.n_out()), stream(cx)),
        "linear_tensor");
}

}  // namespace

void linear(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias, Tensor& y) {
  Arena::Scope scope(cx.arena);
  if (w.is_bf16()) return on_tensor_cores(cx, narrow(cx, x, w), w, bias, y);
  if (x.dim(0) > omni::cuda::kFewRows && through_library(cx, x, w, bias, y, Products::Into::y))
    return;
  check(omni::cuda::linear(data(x), static_cast<const float*>(w.values()),
                           bias.defined() ? data(bias) : nullptr, data(y), x.dim(0), int(w.n_in()),
                           int(w.n_out()), stream(cx)),
        "linear");
}

bool add_linear(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias, Tensor& y) {
  if (!w.is_bf16()) return false;
  const Tensor operand = narrow(cx, x, w);
  if (x.dim(0) > w.most_few_rows())
    return through_library(cx, operand, w, bias, y, Products::Into::sum);
  few_rows(cx, operand, w, bias, Into::sum, y);
  return true;
}

bool linear_silu_mul(Context& cx, const Tensor& x, const CudaWeight& w, const Tensor& bias,
                     Tensor& y) {
  const bool is_few = x.dim(0) <= w.most_few_rows();
  if (!w.is_bf16() || y.dtype() != DType::bf16 || !w.halves_are_blocks()) return false;
  if (!is_few && bias.defined()) return false;  // no epilogue adds one to a bfloat16 result
  const Tensor operand = narrow(cx, x, w);
  if (is_few) {
    few_rows(cx, operand, w, bias, Into::silu_mul, y);
    return true;
  }
  Tensor gate_up = cx.arena.tensor(DType::bf16, {x.dim(0), w.n_out()});
  if (!through_library(cx, operand, w, bias, gate_up, Products::Into::y)) return false;
  check(omni::cuda::silu_mul(narrow_data(gate_up), static_cast<bf16*>(y.raw()), n_rows(y), width(y),
                             stream(cx)),
        "silu_mul");
  return true;
}

bool normed_linear(Context& cx, const Normed& x, const CudaWeight& w, const Tensor& bias,
                   Tensor& y) {
  return few_normed_rows(cx, x, w, bias, Into::y, y);
}

bool normed_linear_silu_mul(Context& cx, const Normed& x, const CudaWeight& w, const Tensor& bias,
                            Tensor& y) {
  return y.dtype() == DType::bf16 && few_normed_rows(cx, x, w, bias, Into::silu_mul, y);
}

}  // namespace omni::ops::cuda
