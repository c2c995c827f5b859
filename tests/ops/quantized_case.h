// Random quantized matrices of any layout.
#pragma once

#include <algorithm>
#include <numeric>
#include <random>

#include "core/matrix.h"

namespace omni {

struct QuantizedCase {
  WeightFormat format;
  int64_t n_out, n_in, group;
  bool zeros, inputs;
};

inline Matrix random_quantized(const QuantizedCase& c, uint32_t seed) {
  std::mt19937 g(seed);
  Matrix w;
  w.format = c.format, w.n_out = c.n_out, w.n_in = c.n_in, w.group = c.group;
  const bool int8 = c.format == WeightFormat::int8;
  w.values = Tensor::zeros(int8 ? DType::i8 : DType::u8, {c.n_out, int8 ? c.n_in : c.n_in / 2});
  for (size_t i = 0; i < w.values.nbytes(); ++i)
    static_cast<uint8_t*>(w.values.raw())[i] = uint8_t(g() % 256);
  w.scales = Tensor::zeros(DType::f32, {c.n_out, c.n_in / c.group});
  for (int64_t i = 0; i < w.scales.numel(); ++i) w.scales.f32()[i] = float(1 + g() % 100) / 1024;
  if (c.zeros) w.zeros = Tensor::zeros(DType::u8, w.scales.shape());
  for (int64_t i = 0; c.zeros && i < w.zeros.numel(); ++i)
    static_cast<uint8_t*>(w.zeros.raw())[i] = uint8_t(g() % 17);
  if (!c.inputs) return w;
  w.inputs = Tensor::zeros(DType::i32, {c.n_in});
  auto* inputs = static_cast<int32_t*>(w.inputs.raw());
  std::iota(inputs, inputs + c.n_in, 0);
  std::shuffle(inputs, inputs + c.n_in, g);
  return w;
}

}  // namespace omni
