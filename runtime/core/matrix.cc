#include "core/matrix.h"

#include <algorithm>
#include <string>

#include "core/mapped_file.h"

namespace omni {

namespace {

WeightFormat format_of(const Tensor& dense) {
  switch (dense.dtype()) {
    case DType::f32:
      return WeightFormat::f32;
    case DType::f16:
      return WeightFormat::f16;
    case DType::bf16:
      return WeightFormat::bf16;
    default:
      throw Error(ErrorCode::unsupported, std::string("weights of type ") + name_of(dense.dtype()));
  }
}

// values[o, i] as the number that is multiplied by the scale.
float step(const Matrix& w, int64_t o, int64_t i) {
  const int64_t at = o * w.n_in + i;
  if (w.format == WeightFormat::int8) return float(static_cast<const int8_t*>(w.values.raw())[at]);
  const uint8_t pair = static_cast<const uint8_t*>(w.values.raw())[at / 2];
  const int zero =
      w.zeros.defined()
          ? static_cast<const uint8_t*>(w.zeros.raw())[o * (w.n_in / w.group) + i / w.group]
          : 8;
  return float((at % 2 ? pair >> 4 : pair & 15) - zero);
}

}  // namespace

Matrix::Matrix(const Tensor& dense)
    : format(format_of(dense)),
      n_out(dense.dim(0)),
      n_in(dense.dim(1)),
      values(dense),
      group(dense.dim(1)) {}

Tensor dequantize(const Matrix& w, int64_t begin, int64_t end) {
  if (!is_quantized(w.format)) return to_f32(w.values.rows(begin, end));
  Tensor out = Tensor::zeros(DType::f32, {end - begin, w.n_in});
  const auto* inputs = static_cast<const int32_t*>(w.inputs.raw());
  for (int64_t o = begin; o < end; ++o)
    for (int64_t i = 0; i < w.n_in; ++i) {
      const float scale = w.scales.f32()[o * (w.n_in / w.group) + i / w.group];
      out.f32()[(o - begin) * w.n_in + (inputs ? inputs[i] : i)] = step(w, o, i) * scale;
    }
  return out;
}

void let_go(const Matrix& w, int64_t begin, int64_t end) {
  if (!w.read_once) return;
  const size_t row = w.values.nbytes() / size_t(std::max<int64_t>(1, w.n_out));
  MappedFile::release_pages(static_cast<const char*>(w.values.raw()) + size_t(begin) * row,
                            size_t(end - begin) * row);
}

Matrix rows_of(const Matrix& w, int64_t begin, int64_t end) {
  Matrix some = w;
  some.n_out = end - begin;
  for (Tensor* t : {&some.values, &some.scales, &some.zeros})
    if (t->defined()) *t = t->rows(begin, end);
  return some;
}

}  // namespace omni
