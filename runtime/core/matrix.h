// A weight matrix, for y = x · Wᵀ: as a checkpoint stores it, or as `precision` asks for it.
#pragma once

#include "core/tensor.h"

namespace omni {

enum class WeightFormat { f32, f16, bf16, int8, int4 };

constexpr bool is_quantized(WeightFormat f) {
  return f == WeightFormat::int8 || f == WeightFormat::int4;
}

constexpr const char* name_of(WeightFormat f) {
  switch (f) {
    case WeightFormat::f32:
      return "float32";
    case WeightFormat::f16:
      return "float16";
    case WeightFormat::bf16:
      return "bfloat16";
    case WeightFormat::int8:
      return "int8";
    case WeightFormat::int4:
      return "int4";
  }
  return "?";
}

// W[o, i] = values[o, i], or where it is quantized (values[o, i] − zeros[o, i / group]) · scales[o,
// i / group]. On the host.
struct Matrix {
  Matrix() = default;
  // A dense one: F32, F16 or BF16 [n_out, n_in]; any other type throws unsupported.
  Matrix(const Tensor& dense);

  WeightFormat format = WeightFormat::f32;
  int64_t n_out = 0, n_in = 0;
  Tensor values;  // dense: [n_out, n_in]. int8: I8 [n_out, n_in]. int4: U8 [n_out, n_in / 2], the
                  // even column in the low half
  Tensor scales;  // F32 [n_out, n_in / group]
  Tensor zeros;   // U8 [n_out, n_in / group], of int4 only; undefined: 8 (of int8 always 0)
  int64_t group = 0;  // columns that share a scale: n_in for a whole row
  // Where not undefined, I32 [n_in]: column i multiplies x[inputs[i]] (GPTQ's act-order).
  Tensor inputs;
  // Who packs it is the last to read it and may let rows go as it does, so that the largest matrix
  // of a checkpoint is never in memory twice.
  bool read_once = false;
};

// Rows [begin, end) of W as float32 [end − begin, n_in], columns in the order of x.
Tensor dequantize(const Matrix& w, int64_t begin, int64_t end);

// Where w is read once: the values of rows [begin, end) leave memory. They are undefined then.
void let_go(const Matrix& w, int64_t begin, int64_t end);

// Rows [begin, end) of W, without a copy.
Matrix rows_of(const Matrix& w, int64_t begin, int64_t end);

}  // namespace omni
