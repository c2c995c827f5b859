// What the level of instructions does to rows ahead of quantized weights.
#pragma once

#include "cpu/packed_matrix.h"

namespace omni {

// Whether they are rounded to int8.
inline bool rounds_rows() {
  Matrix w;
  w.format = WeightFormat::int8, w.n_out = 1, w.n_in = w.group = 8;
  w.values = Tensor::zeros(DType::i8, {1, 8}), w.scales = Tensor::zeros(DType::f32, {1, 1});
  const auto packed = ops::cpu::pack_linear({&w, 1}, ops::MatmulPrecision::f32);
  return packed->rounding() != ops::cpu::CpuMatrix::Rounding::none;
}

}  // namespace omni
