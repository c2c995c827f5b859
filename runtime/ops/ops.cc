// Checks shapes, cuts the work into tiles for the pool and calls the kernels.
#include "ops/ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/cpu_isa.h"
#include "cpu/kernels.h"
#include "cpu/linear_weight.h"

namespace omni::ops {

using cpu::kernels;

namespace {

constexpr double kNsPerElement = 0.4;  // of a pass over float32 rows; only to judge whether waking a worker pays

void require(bool ok, const char* op, const Tensor& a, const Tensor& b) {
  if (!ok) throw Error(ErrorCode::internal, std::string(op) + ": shapes " + a.shape().str() + " and " + b.shape().str() + " do not fit");
}

int64_t last(const Tensor& x) { return x.dim(x.rank() - 1); }
int64_t n_rows(const Tensor& x) { return last(x) ? x.numel() / last(x) : 0; }

// Calls row(i) for all rows, some at a time.
template <class Row>
void for_rows(Context& cx, int64_t rows, int64_t width, const Row& row) {
  constexpr int64_t kTile = 16;
  cx.pool.parallel_for((rows + kTile - 1) / kTile, kNsPerElement * double(rows * width), [&](int64_t tile) {
    for (int64_t i = tile * kTile; i < std::min(rows, (tile + 1) * kTile); ++i) row(i);
  });
}

}  // namespace

std::shared_ptr<const LinearWeight> pack_linear(std::span<const Tensor> parts, MatmulPrecision precision) {
  for (const Tensor& p : parts) require(p.rank() == 2 && p.dim(1) == parts[0].dim(1), "pack_linear", p, parts[0]);
  const bool bf16 = precision == MatmulPrecision::bf16;
  if (cpu_isa() == CpuIsa::portable || (bf16 && !cpu_has_bf16())) return cpu::pack_portable(parts, bf16);
  return cpu::pack_onednn(parts, bf16);
}

Tensor linear(Context& cx, const Tensor& x, const LinearWeight& weight, const Tensor& bias) {
  if (x.rank() != 2 || x.dim(1) != weight.n_in())
    throw Error(ErrorCode::internal, "linear: x " + x.shape().str() + " with a weight of " + std::to_string(weight.n_in()) + " inputs");
  const int64_t n = x.dim(0);
  Tensor y = cx.arena.f32({n, weight.n_out()});
  const float* b = bias.defined() ? bias.f32() : nullptr;
  if (!weight.takes_bf16()) {
    weight.run(cx.pool, x.f32(), n, b, y.f32());
    return y;
  }
  Tensor rounded = cx.arena.tensor(DType::bf16, x.shape());
  BFloat16* r = static_cast<BFloat16*>(rounded.raw());
  const int64_t width = x.dim(1);
  for_rows(cx, n, width, [&](int64_t i) { kernels().round_bf16(x.f32() + i * width, width, r + i * width); });
  weight.run(cx.pool, rounded.raw(), n, b, y.f32());
  return y;
}

Tensor rms_norm(Context& cx, const Tensor& x, const Tensor& weight, float eps) {
  const int64_t n = last(x);
  require(weight.numel() == n, "rms_norm", x, weight);
  Tensor y = cx.arena.f32(x.shape());
  for_rows(cx, n_rows(x), n, [&](int64_t i) { kernels().rms_norm(x.f32() + i * n, weight.f32(), eps, n, y.f32() + i * n); });
  return y;
}

Tensor layer_norm(Context& cx, const Tensor& x, const Tensor& weight, const Tensor& bias, float eps) {
  const int64_t n = last(x);
  require(weight.numel() == n && bias.numel() == n, "layer_norm", x, weight);
  Tensor y = cx.arena.f32(x.shape());
  for_rows(cx, n_rows(x), n, [&](int64_t i) { kernels().layer_norm(x.f32() + i * n, weight.f32(), bias.f32(), eps, n, y.f32() + i * n); });
  return y;
}

Tensor silu_mul(Context& cx, const Tensor& x) {
  const int64_t rows = n_rows(x), m = last(x) / 2;
  require(last(x) == 2 * m, "silu_mul", x, x);
  Tensor y = cx.arena.f32({rows, m});
  for_rows(cx, rows, 4 * m, [&](int64_t i) { kernels().silu_mul(x.f32() + i * 2 * m, x.f32() + i * 2 * m + m, m, y.f32() + i * m); });
  return y;
}

void gelu_(Context& cx, Tensor& x) {
  const int64_t n = last(x);
  for_rows(cx, n_rows(x), 2 * n, [&](int64_t i) { kernels().gelu(x.f32() + i * n, n); });
}

void gelu_tanh_(Context& cx, Tensor& x) {
  const int64_t n = last(x);
  for_rows(cx, n_rows(x), 2 * n, [&](int64_t i) { kernels().gelu_tanh(x.f32() + i * n, n); });
}

void add_scaled_(Context& cx, Tensor& x, const Tensor& y, const float* scale) {
  require(x.numel() == y.numel(), "add_scaled_", x, y);
  const int64_t n = last(x);
  for_rows(cx, n_rows(x), n, [&](int64_t i) {
    float* a = x.f32() + i * n;
    const float* b = y.f32() + i * n;
    for (int64_t c = 0; c < n; ++c) a[c] += b[c] * scale[c];
  });
}

void add_(Context& cx, Tensor& x, const Tensor& y) {
  require(x.numel() == y.numel(), "add_", x, y);
  const int64_t n = last(x);
  for_rows(cx, n_rows(x), n, [&](int64_t i) { kernels().add(x.f32() + i * n, y.f32() + i * n, n); });
}

Tensor embedding(Context& cx, std::span<const int32_t> ids, const Tensor& table) {
  const int64_t hidden = table.dim(1);
  Tensor y = cx.arena.f32({int64_t(ids.size()), hidden});
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= table.dim(0))
      throw Error(ErrorCode::invalid_argument, "token id " + std::to_string(ids[i]) + " outside the embedding table " + table.shape().str());
    float* out = y.f32() + int64_t(i) * hidden;
    const int64_t first = ids[i] * hidden;
    const void* t = table.raw();
    if (table.dtype() == DType::f32) std::memcpy(out, static_cast<const float*>(t) + first, size_t(hidden) * 4);
    else if (table.dtype() == DType::bf16) for (int64_t d = 0; d < hidden; ++d) out[d] = to_float(static_cast<const BFloat16*>(t)[first + d]);
    else for (int64_t d = 0; d < hidden; ++d) out[d] = to_float(static_cast<const Float16*>(t)[first + d]);
  }
  return y;
}

Tensor conv1d_k3(Context& cx, const Tensor& x, const LinearWeight& weight, const Tensor& bias, int stride) {
  const int64_t n = x.dim(0), c = x.dim(1), n_out = (n - 1) / stride + 1;
  Tensor columns = cx.arena.f32({n_out, 3 * c});
  for_rows(cx, n_out, 3 * c, [&](int64_t i) {
    for (int64_t tap = 0; tap < 3; ++tap) {
      const int64_t at = i * stride + tap - 1;
      float* out = columns.f32() + (i * 3 + tap) * c;
      if (at < 0 || at >= n) std::memset(out, 0, size_t(c) * 4);
      else std::memcpy(out, x.f32() + at * c, size_t(c) * 4);
    }
  });
  return linear(cx, columns, weight, bias);
}

Tensor conv1d(Context& cx, const Tensor& x, const LinearWeight& weight, const Tensor& bias, int kernel, int dilation, Padding padding) {
  const int64_t n = x.dim(0), c = x.dim(1), before = int64_t{kernel / 2} * dilation;
  if (weight.n_in() != kernel * c) throw Error(ErrorCode::internal, "conv1d: x " + x.shape().str() + " with a weight of " + std::to_string(weight.n_in()) + " inputs");
  if (padding == Padding::reflect && n <= before) throw Error(ErrorCode::invalid_argument, "conv1d: " + std::to_string(n) + " frames are too few to be reflected");
  Tensor y = cx.arena.f32({n, weight.n_out()});
  constexpr int64_t kMost = 4096;  // rows whose columns are laid out at a time
  for (int64_t begin = 0; begin < n; begin += kMost) {
    Arena::Scope scope(cx.arena);
    const int64_t rows = std::min(kMost, n - begin);
    Tensor columns = cx.arena.f32({rows, kernel * c});
    for_rows(cx, rows, kernel * c, [&](int64_t i) {
      for (int64_t tap = 0; tap < kernel; ++tap) {
        int64_t at = begin + i + tap * dilation - before;
        float* out = columns.f32() + (i * kernel + tap) * c;
        if (padding == Padding::reflect) at = at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
        if (at < 0 || at >= n) std::memset(out, 0, size_t(c) * 4);
        else std::memcpy(out, x.f32() + at * c, size_t(c) * 4);
      }
    });
    const Tensor part = linear(cx, columns, weight, bias);
    std::memcpy(y.f32() + begin * weight.n_out(), part.f32(), part.nbytes());
  }
  return y;
}

Tensor conv_transpose1d(Context& cx, const Tensor& x, const LinearWeight& weight, const Tensor& bias, int kernel, int stride, int padding) {
  const int64_t n = x.dim(0), c = weight.n_out() / kernel, n_out = (n - 1) * stride + kernel - 2 * padding;
  require(bias.numel() == c, "conv_transpose1d", x, bias);
  Tensor y = cx.arena.f32({n_out, c});
  Arena::Scope scope(cx.arena);
  const Tensor columns = linear(cx, x, weight, Tensor());
  for_rows(cx, n_out, (kernel / stride + 1) * c, [&](int64_t o) {
    float* out = y.f32() + o * c;
    std::memcpy(out, bias.f32(), size_t(c) * 4);
    for (int64_t tap = (o + padding) % stride; tap < kernel; tap += stride) {
      const int64_t i = (o + padding - tap) / stride;
      if (o + padding < tap || i >= n) continue;
      const float* in = columns.f32() + (i * kernel + tap) * c;
      for (int64_t k = 0; k < c; ++k) out[k] += in[k];
    }
  });
  return y;
}

Tensor snake_beta(Context& cx, const Tensor& x, const Tensor& alpha, const Tensor& beta_reciprocal, const float* filter) {
  const int64_t n = x.dim(0), c = x.dim(1);
  require(alpha.numel() == c && beta_reciprocal.numel() == c, "snake_beta", x, alpha);
  Tensor y = cx.arena.f32({n, c});
  constexpr int64_t kTile = 64;
  constexpr double kNsPerValue = 12;
  cx.pool.parallel_for((n + kTile - 1) / kTile, kNsPerValue * double(n * c), [&](int64_t tile) {
    const int64_t begin = tile * kTile, end = std::min(n, begin + kTile);
    // Upsampled rows [first, last) that the tile's outputs see.
    const int64_t first = std::max<int64_t>(0, 2 * begin - 5), last = std::min(2 * n, 2 * (end - 1) + 7);
    std::vector<float> up(size_t((last - first) * c));
    for (int64_t m = first; m < last; ++m) {
      float* u = up.data() + (m - first) * c;
      const int64_t j = m / 2, odd = m % 2;
      for (int64_t t = 0; t < 6; ++t) {
        const float f = 2 * filter[2 * t + 1 - odd];
        const float* in = x.f32() + std::clamp<int64_t>(j + 2 + odd - t, 0, n - 1) * c;
        for (int64_t k = 0; k < c; ++k) u[k] += f * in[k];
      }
      kernels().snake(u, alpha.f32(), beta_reciprocal.f32(), c);
    }
    for (int64_t j = begin; j < end; ++j) {
      float* out = y.f32() + j * c;
      std::memset(out, 0, size_t(c) * 4);
      for (int64_t t = 0; t < 12; ++t) {
        const float* u = up.data() + (std::clamp<int64_t>(2 * j + t - 5, 0, 2 * n - 1) - first) * c;
        for (int64_t k = 0; k < c; ++k) out[k] += filter[t] * u[k];
      }
    }
  });
  return y;
}

void rotary_(Context& cx, Heads x, int64_t n, const float* cos, const float* sin) {
  const int64_t half = x.head_dim / 2;
  for_rows(cx, n, x.n_heads * x.head_dim, [&](int64_t i) {
    for (int h = 0; h < x.n_heads; ++h) kernels().rotate(x.data + i * x.stride + h * x.head_dim, cos + i * half, sin + i * half, half);
  });
}

namespace {

constexpr int64_t kQueryTile = 32;

// Scratch of the calling thread: grows to what the largest tile needs and stays.
float* thread_scratch(int64_t n) {
  thread_local Tensor scratch;
  if (!scratch.defined() || scratch.numel() < n) scratch = Tensor::zeros(DType::f32, {n});
  return scratch.f32();
}

struct QueryTile {
  int64_t begin, end;    // queries
  int64_t first_key;     // of their span
  int64_t n_keys;        // that the first of them sees
};

Tensor run_attention(Context& cx, Heads q, Heads k, Heads v, std::span<const QueryTile> tiles, int64_t n, double most_keys, bool causal) {
  if (k.n_heads <= 0 || q.n_heads % k.n_heads || q.head_dim != k.head_dim || v.head_dim != k.head_dim)
    throw Error(ErrorCode::internal, "attention: " + std::to_string(q.n_heads) + " query heads over " + std::to_string(k.n_heads) + " key heads");
  const int group = q.n_heads / k.n_heads, head_dim = q.head_dim;
  Tensor y = cx.arena.f32({n, int64_t(q.n_heads) * head_dim});
  const int64_t n_tiles = int64_t(tiles.size()) * k.n_heads;
  // Tiles that look at the same keys share them in the layout that the kernel wants.
  const bool shared = !causal && tiles.size() > 1 && std::all_of(tiles.begin(), tiles.end(), [&](const QueryTile& t) { return t.first_key == tiles[0].first_key && t.n_keys == tiles[0].n_keys; });
  const int64_t turned_size = shared ? (tiles[0].n_keys + 31) / 32 * 32 * head_dim : 0;
  float* turned = shared ? cx.arena.f32({k.n_heads, turned_size}).f32() : nullptr;
  if (shared)
    cx.pool.parallel_for(k.n_heads, double(turned_size * k.n_heads), [&](int64_t h) {
      cpu::turn_keys(k.data + tiles[0].first_key * k.stride + h * head_dim, k.stride, tiles[0].n_keys, head_dim, turned + h * turned_size);
    });
  const double work = 0.1 * double(n) * most_keys * double(q.n_heads * head_dim);
  cx.pool.parallel_for(n_tiles, work, [&](int64_t i) {
    const QueryTile& t = tiles[size_t(i / k.n_heads)];
    const int64_t h = i % k.n_heads;
    cpu::AttentionTile tile{q.data + t.begin * q.stride + h * group * head_dim, t.end - t.begin, q.stride, t.n_keys, causal,
                         k.data + t.first_key * k.stride + h * head_dim, v.data + t.first_key * v.stride + h * head_dim, k.stride, group, head_dim,
                         1.f / std::sqrt(float(head_dim)), y.f32() + (t.begin * q.n_heads + h * group) * head_dim, int64_t(q.n_heads) * head_dim,
                         nullptr};
    if (shared) tile.turned = turned + h * turned_size;
    tile.scratch = thread_scratch(cpu::attention_scratch(tile.n_rows(), tile.most_visible(), head_dim));
    kernels().attention(tile);
  });
  return y;
}

}  // namespace

Tensor attention(Context& cx, Heads q, Heads k, Heads v, std::span<const AttentionRange> ranges) {
  size_t n_tiles = 0;
  int64_t most_keys = 0;
  for (const AttentionRange& r : ranges) {
    n_tiles += size_t((r.end - r.begin + kQueryTile - 1) / kQueryTile);
    most_keys = std::max(most_keys, r.n_keys);
  }
  auto* tiles = static_cast<QueryTile*>(cx.arena.allocate(n_tiles * sizeof(QueryTile)));
  size_t t = 0;
  for (const AttentionRange& r : ranges)
    for (int64_t begin = r.begin; begin < r.end; begin += kQueryTile) tiles[t++] = {begin, std::min(r.end, begin + kQueryTile), r.first_key, r.n_keys};
  return run_attention(cx, q, k, v, {tiles, n_tiles}, ranges.empty() ? 0 : ranges.back().end, double(most_keys), false);
}

Tensor attention(Context& cx, Heads q, Heads k, Heads v, std::span<const int64_t> spans) {
  const size_t n = spans.empty() ? 0 : spans.size() - 1;
  auto* ranges = static_cast<AttentionRange*>(cx.arena.allocate((n + 1) * sizeof(AttentionRange)));
  for (size_t s = 0; s < n; ++s) ranges[s] = {spans[s], spans[s + 1], spans[s], spans[s + 1] - spans[s]};
  return attention(cx, q, k, v, {ranges, n});
}

Tensor causal_attention(Context& cx, Heads q, int64_t n, Heads k, Heads v, int64_t n_past) {
  const auto n_tiles = size_t((n + kQueryTile - 1) / kQueryTile);
  auto* tiles = static_cast<QueryTile*>(cx.arena.allocate(n_tiles * sizeof(QueryTile)));
  for (size_t t = 0; t < n_tiles; ++t) {
    const int64_t begin = int64_t(t) * kQueryTile;
    tiles[t] = {begin, std::min(n, begin + kQueryTile), 0, n_past + begin + 1};
  }
  return run_attention(cx, q, k, v, {tiles, n_tiles}, n, double(n_past + n), true);
}

}  // namespace omni::ops
