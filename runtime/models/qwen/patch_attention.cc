#include "qwen/patch_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace omni::qwen {

namespace {

constexpr double kRopeTheta = 10000;

}  // namespace

Tensor rotary_table(std::span<const int64_t> tokens, int merged_w, int merge, int head_dim) {
  const int quarter = head_dim / 4, half = head_dim / 2;
  const int64_t n = int64_t(tokens.size()) * merge * merge,
                merged_h = (int64_t(tokens.size()) + merged_w - 1) / merged_w;
  // of each row or column: [most, quarter]
  std::vector<float> cos, sin;
  for (int64_t at = 0; at < std::max<int64_t>(merged_h, merged_w) * merge; ++at)
    for (int f = 0; f < quarter; ++f) {
      const float frequency = 1.f / float(std::pow(float(kRopeTheta), float(2 * f) / float(half)));
      const float angle = float(at) * frequency;
      cos.push_back(std::cos(angle));
      sin.push_back(std::sin(angle));
    }
  Tensor table = Tensor::zeros(DType::f32, {2, n, half});  // [2, n, half]
  float *c = table.f32(), *s = c + n * half;
  for (int64_t token : tokens)
    for (int mh = 0; mh < merge; ++mh)
      for (int mw = 0; mw < merge; ++mw) {
        const int64_t place[2] = {token / merged_w * merge + mh, token % merged_w * merge + mw};
        for (int64_t at : place) {
          c = std::copy_n(cos.begin() + at * quarter, quarter, c);
          s = std::copy_n(sin.begin() + at * quarter, quarter, s);
        }
      }
  return table;
}

void add_attention(ops::Context& cx, Tensor& x, const Tensor& normed, const Linear& qkv,
                   const Linear& proj, int n_heads, const Tensor& rotary,
                   std::span<const int64_t> spans) {
  const int64_t n = x.dim(0), hidden = x.dim(1);
  const int head_dim = int(hidden) / n_heads;
  const Tensor y = qkv(cx, normed);  // [n, 3 · hidden]
  const ops::Heads q = heads_of(y, 0, n_heads, head_dim),
                   k = heads_of(y, hidden, n_heads, head_dim),
                   v = heads_of(y, 2 * hidden, n_heads, head_dim);
  const auto *cos = static_cast<const float*>(rotary.raw()), *sin = cos + rotary.numel() / 2;
  ops::rotary_(cx, q, n, cos, sin);
  ops::rotary_(cx, k, n, cos, sin);
  proj.add_to(cx, x, ops::attention(cx, q, k, v, spans, proj.operand()));
}

}  // namespace omni::qwen
