#include "interface/text_model.h"

namespace omni {

namespace {

// Columns [column, column + hidden) of x [n, width]. → [n, hidden]
Tensor columns(ops::Context& cx, const Tensor& x, int64_t column, int hidden) {
  const int64_t n = x.dim(0), width = x.dim(1);
  Tensor y = cx.arena.f32({n, hidden});
  auto* from = static_cast<float*>(const_cast<void*>(x.raw())) + column;
  ops::copy_rows(cx, {static_cast<float*>(y.raw()), hidden, 1, hidden}, {from, width, 1, hidden},
                 n);
  return y;
}

}  // namespace

DeepFeatures deep_features(ops::Context& cx, const Tensor& media, int hidden, int64_t begin) {
  DeepFeatures deep{begin, {}};
  for (int64_t column = hidden; column < media.dim(1); column += hidden)
    deep.levels.push_back(columns(cx, media, column, hidden));
  return deep;
}

Tensor embeddings_of(ops::Context& cx, const Tensor& media, int hidden) {
  return media.dim(1) == hidden ? media : columns(cx, media, 0, hidden);
}

}  // namespace omni
