// Checks shapes, makes room for the result and hands the work to the backend of the arena's device.
#include "ops/ops.h"

#include <algorithm>
#include <cstring>

#include "ops/backend.h"
#include "ops/paged_attention.h"

namespace omni::ops {

namespace {

void require(bool ok, const char* op, const Tensor& a, const Tensor& b) {
  if (!ok)
    throw Error(ErrorCode::internal, std::string(op) + ": shapes " + a.shape().str() + " and " +
                                         b.shape().str() + " do not fit");
}

int64_t last(const Tensor& x) { return x.dim(x.rank() - 1); }
int64_t n_rows(const Tensor& x) { return last(x) ? x.numel() / last(x) : 0; }
const Backend& backend(Context& cx) { return backend_of(cx.arena.device()); }

}  // namespace

const Backend& backend_of(const Device* device) {
  return device ? static_cast<const ComputeDevice*>(device)->backend() : cpu::backend();
}

Tensor from_host(Context& cx, const Tensor& x) {
  if (x.device() == cx.arena.device()) return x;
  Tensor y = cx.arena.tensor(x.dtype(), x.shape());
  cx.arena.queue().upload(y.raw(), x.raw(), x.nbytes());
  return y;
}

std::span<const float> to_host(Context& cx, const Tensor& x, std::vector<float>& room) {
  if (!x.device()) return {x.f32(), size_t(x.numel())};
  room.resize(size_t(x.numel()));
  cx.arena.queue().download(room.data(), x.raw(), x.nbytes());
  return room;
}

void copy_(Context& cx, Tensor& x, const Tensor& y) {
  require(x.nbytes() == y.nbytes() && x.device() == y.device(), "copy_", x, y);
  if (cx.arena.device())
    cx.arena.queue().copy(x.raw(), y.raw(), x.nbytes());
  else
    std::memcpy(x.raw(), y.raw(), x.nbytes());
}

Tensor clone(Context& cx, const Tensor& x) {
  Tensor y = cx.arena.tensor(x.dtype(), x.shape());
  copy_(cx, y, x);
  return y;
}

std::shared_ptr<const PackedMatrix> pack_linear(std::span<const Matrix> parts,
                                                MatmulPrecision precision, const Device* device) {
  for (const Matrix& p : parts) {
    require(p.n_in == parts[0].n_in, "pack_linear", p.values, parts[0].values);
    if (p.values.device())
      throw Error(ErrorCode::internal, "pack_linear: a matrix on " + p.values.device()->name());
  }
  if (!device && precision == MatmulPrecision::tf32) precision = MatmulPrecision::f32;
  return backend_of(device).pack_linear(parts, precision);
}

DType operand_of(const PackedMatrix& weight) { return weight.operand(); }

namespace {

void check_linear(const Tensor& x, const PackedMatrix& weight) {
  if (x.rank() != 2 || x.dim(1) != weight.n_in() ||
      (x.dtype() != DType::f32 && x.dtype() != weight.operand()))
    throw Error(ErrorCode::internal, "linear: x " + x.shape().str() + " of " + name_of(x.dtype()) +
                                         " with a weight of " + std::to_string(weight.n_in()) +
                                         " inputs");
}

void check_normed(const Normed& x, const PackedMatrix& weight) {
  check_linear(x.x, weight);
  require(x.x.dtype() == DType::f32 && x.weight.numel() == last(x.x), "rms_norm", x.x, x.weight);
}

}  // namespace

Tensor linear(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias) {
  check_linear(x, weight);
  Tensor y = cx.arena.f32({x.dim(0), weight.n_out()});
  backend(cx).linear(cx, x, weight, bias, y);
  return y;
}

Tensor linear(Context& cx, const Normed& x, const PackedMatrix& weight, const Tensor& bias) {
  check_normed(x, weight);
  Tensor y = cx.arena.f32({x.x.dim(0), weight.n_out()});
  Arena::Scope scope(cx.arena);
  backend(cx).normed_linear(cx, x, weight, bias, y);
  return y;
}

void add_linear_(Context& cx, Tensor& y, const Tensor& x, const PackedMatrix& weight,
                 const Tensor& bias) {
  check_linear(x, weight);
  if (y.rank() != 2 || y.dim(0) != x.dim(0) || y.dim(1) != weight.n_out())
    throw Error(ErrorCode::internal, "add_linear_: y " + y.shape().str() + " and x " +
                                         x.shape().str() + " with a weight of " +
                                         std::to_string(weight.n_out()) + " outputs");
  Arena::Scope scope(cx.arena);
  backend(cx).add_linear(cx, x, weight, bias, y);
}

Tensor linear_silu_mul(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
                       DType out) {
  check_linear(x, weight);
  Tensor y = cx.arena.tensor(out, {x.dim(0), weight.n_out() / 2});
  Arena::Scope scope(cx.arena);
  backend(cx).linear_silu_mul(cx, x, weight, bias, y);
  return y;
}

Tensor linear_silu_mul(Context& cx, const Normed& x, const PackedMatrix& weight, const Tensor& bias,
                       DType out) {
  check_normed(x, weight);
  Tensor y = cx.arena.tensor(out, {x.x.dim(0), weight.n_out() / 2});
  Arena::Scope scope(cx.arena);
  backend(cx).normed_linear_silu_mul(cx, x, weight, bias, y);
  return y;
}

Tensor rms_norm(Context& cx, const Tensor& x, const Tensor& weight, float eps, DType out) {
  require(weight.numel() == last(x), "rms_norm", x, weight);
  Tensor y = cx.arena.tensor(out, x.shape());
  backend(cx).rms_norm(cx, x, weight, eps, y);
  return y;
}

Tensor layer_norm(Context& cx, const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  DType out) {
  require(weight.numel() == last(x) && bias.numel() == last(x), "layer_norm", x, weight);
  Tensor y = cx.arena.tensor(out, x.shape());
  backend(cx).layer_norm(cx, x, weight, bias, eps, y);
  return y;
}

Tensor silu_mul(Context& cx, const Tensor& x, DType out) {
  const int64_t m = last(x) / 2;
  require(last(x) == 2 * m, "silu_mul", x, x);
  Tensor y = cx.arena.tensor(out, {n_rows(x), m});
  backend(cx).silu_mul(cx, x, y);
  return y;
}

namespace {

void activate(Context& cx, Tensor& x, DType out,
              void (Backend::*activation)(Context&, const Tensor&, Tensor&) const) {
  Tensor y = out == x.dtype() ? x : cx.arena.tensor(out, x.shape());
  (backend(cx).*activation)(cx, x, y);
  x = y;
}

}  // namespace

void gelu_(Context& cx, Tensor& x, DType out) { activate(cx, x, out, &Backend::gelu); }
void gelu_tanh_(Context& cx, Tensor& x, DType out) { activate(cx, x, out, &Backend::gelu_tanh); }
void quick_gelu_(Context& cx, Tensor& x, DType out) { activate(cx, x, out, &Backend::quick_gelu); }

void silu_(Context& cx, Tensor& x) { backend(cx).silu(cx, x); }
void div_(Context& cx, Tensor& x, float divisor) { backend(cx).div(cx, x, divisor); }

void add_scaled_(Context& cx, Tensor& x, const Tensor& y, const float* scale) {
  require(x.numel() == y.numel(), "add_scaled_", x, y);
  backend(cx).add_scaled(cx, x, y, scale);
}

void add_gated_(Context& cx, Tensor& x, const Tensor& y, const Tensor& gate) {
  require(x.numel() == y.numel() && gate.numel() * last(x) == x.numel(), "add_gated_", y, gate);
  backend(cx).add_gated(cx, x, y, gate);
}

void add_scaled_norm_(Context& cx, Tensor& x, const Tensor& y, const float* scale,
                      const Tensor& weight, const Tensor& bias, float eps, Tensor& normed) {
  require(x.numel() == y.numel() && x.numel() == normed.numel(), "add_scaled_norm_", x, y);
  require(weight.numel() == last(x) && bias.numel() == last(x), "add_scaled_norm_", x, weight);
  backend(cx).add_scaled_norm(cx, x, y, scale, weight, bias, eps, normed);
}

void weighted_sum(Context& cx, Tensor& y, std::span<const Term> terms) {
  if (terms.empty() || terms.size() > kMostTerms)
    throw Error(ErrorCode::internal, "weighted_sum: " + std::to_string(terms.size()) + " terms");
  for (const Term& t : terms) require(t.x.numel() == y.numel(), "weighted_sum", y, t.x);
  backend(cx).weighted_sum(cx, y, terms);
}

void add_(Context& cx, Tensor& x, const Tensor& y) {
  require(x.numel() == y.numel(), "add_", x, y);
  backend(cx).add(cx, x, y);
}

Tensor embedding(Context& cx, std::span<const int32_t> ids, const Tensor& table) {
  for (int32_t id : ids)
    if (id < 0 || id >= table.dim(0))
      throw Error(
          ErrorCode::invalid_argument,
          "token id " + std::to_string(id) + " outside the embedding table " + table.shape().str());
  Tensor y = cx.arena.f32({int64_t(ids.size()), table.dim(1)});
  backend(cx).embedding(cx, ids, table, y);
  return y;
}

Tensor index_select(Context& cx, const Tensor& x, std::span<const int64_t> rows) {
  for (int64_t row : rows)
    if (row < 0 || row >= x.dim(0))
      throw Error(ErrorCode::internal,
                  "index_select: row " + std::to_string(row) + " of " + x.shape().str());
  Tensor y = cx.arena.f32({int64_t(rows.size()), last(x)});
  backend(cx).index_select(cx, x, rows, y);
  return y;
}

Tensor avg_pool_pairs(Context& cx, const Tensor& x) {
  Tensor y = cx.arena.f32({x.dim(0) / 2, last(x)});
  backend(cx).avg_pool_pairs(cx, x, y);
  return y;
}

namespace {

// By the backend at once, or as products of unfolded columns, some rows at a time.
void convolve(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
              const Unfold& whole, bool recurs, Tensor& y) {
  if (recurs && whole.padding == Padding::zeros &&
      backend(cx).convolution(cx, x, weight, bias, whole, y))
    return;
  // what caches hold, or a device's memory
  constexpr int64_t kRows = 384, kMostValues = int64_t{16} << 20;
  const int64_t most =
      cx.arena.device() ? std::max(kRows, kMostValues / (whole.kernel * x.dim(1))) : kRows;
  for (int64_t begin = 0; begin < whole.n; begin += most) {
    Arena::Scope scope(cx.arena);
    Unfold some = whole;
    some.first = begin, some.n = std::min(most, whole.n - begin);
    Tensor columns = cx.arena.f32({some.n, whole.kernel * x.dim(1)}),
           part = y.rows(begin, begin + some.n);
    backend(cx).unfold(cx, x, some, columns);
    backend(cx).linear(cx, columns, weight, bias, part);
  }
}

}  // namespace

Tensor conv1d(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
              const Conv1dOptions& o) {
  const bool is_bare = o.padding == Padding::none;
  const int64_t n = x.dim(0), c = x.dim(1), reach = int64_t{o.kernel - 1} * o.dilation,
                before = is_bare ? 0 : int64_t{o.kernel / 2} * o.dilation,
                n_out = is_bare ? n - reach : (n - 1) / o.stride + 1;
  if (weight.n_in() != o.kernel * c)
    throw Error(ErrorCode::internal, "conv1d: x " + x.shape().str() + " with a weight of " +
                                         std::to_string(weight.n_in()) + " inputs");
  if (o.padding == Padding::reflect && n <= before)
    throw Error(ErrorCode::invalid_argument,
                "conv1d: " + std::to_string(n) + " frames are too few to be reflected");
  if (is_bare && (n_out < 1 || o.stride != 1))
    throw Error(ErrorCode::internal, "conv1d: " + std::to_string(n) + " frames for " +
                                         std::to_string(reach + 1) + " at a time");
  Tensor y = cx.arena.f32({n_out, weight.n_out()});
  convolve(cx, x, weight, bias, {0, n_out, o.kernel, o.stride, o.dilation, before, o.padding},
           o.recurs, y);
  return y;
}

Tensor conv_transpose1d(Context& cx, const Tensor& x, const PackedMatrix& weight,
                        const Tensor& bias, int kernel, int stride, int padding) {
  const int64_t n = x.dim(0), c = weight.n_out() / kernel,
                n_out = (n - 1) * stride + kernel - 2 * padding;
  require(bias.numel() == c, "conv_transpose1d", x, bias);
  Tensor y = cx.arena.f32({n_out, c});
  Arena::Scope scope(cx.arena);
  backend(cx).fold(cx, linear(cx, x, weight, Tensor()), bias, kernel, stride, padding, y);
  return y;
}

Tensor snake_beta(Context& cx, const Tensor& x, const Tensor& alpha, const Tensor& beta_reciprocal,
                  const float* filter) {
  require(alpha.numel() == last(x) && beta_reciprocal.numel() == last(x), "snake_beta", x, alpha);
  Tensor y = cx.arena.f32(x.shape());
  backend(cx).snake_beta(cx, x, alpha, beta_reciprocal, filter, y);
  return y;
}

void snake_(Context& cx, Tensor& x, const Tensor& alpha, const Tensor& beta_reciprocal) {
  require(alpha.numel() == last(x) && beta_reciprocal.numel() == last(x), "snake_", x, alpha);
  backend(cx).snake(cx, x, alpha, beta_reciprocal);
}

std::vector<SampledToken> sample(Context& cx, const Tensor& logits,
                                 std::span<const Sampling> samplings) {
  const auto fits = [&](const std::vector<uint32_t>& bits) {
    return bits.empty() || int64_t(bits.size()) == (last(logits) + 31) / 32;
  };
  for (const Sampling& s : samplings)
    if (!logits.device() || s.row < 0 || s.row >= logits.dim(0) || s.top_k < 1 ||
        s.top_k > Sampling::kMostChoices || !(s.temperature > 0) || !fits(s.allowed) ||
        !fits(s.seen))
      throw Error(ErrorCode::internal, "sample: " + logits.shape().str() + ", row " +
                                           std::to_string(s.row) + ", top_k " +
                                           std::to_string(s.top_k));
  if (samplings.empty()) return {};
  Arena::Scope scope(cx.arena);
  return backend(cx).sample(cx, logits, samplings);
}

void copy_rows(Context& cx, Heads to, Heads from, int64_t n) {
  if (to.n_heads != from.n_heads || to.head_dim != from.head_dim)
    throw Error(ErrorCode::internal, "copy_rows: " + std::to_string(from.n_heads) + " heads to " +
                                         std::to_string(to.n_heads));
  backend(cx).copy_rows(cx, to, from, n);
}

void rms_norm_(Context& cx, Heads x, int64_t n, const Tensor& weight, float eps) {
  if (weight.numel() != x.head_dim)
    throw Error(ErrorCode::internal, "rms_norm: heads of " + std::to_string(x.head_dim) +
                                         " with a weight of " + weight.shape().str());
  backend(cx).rms_norm_heads(cx, x, n, weight, eps);
}

void rotary_(Context& cx, Heads x, int64_t n, const float* cos, const float* sin) {
  backend(cx).rotary(cx, x, n, cos, sin);
}

Tensor rotary_table(Context& cx, const RotaryPosition* positions, int64_t n,
                    const Tensor& frequency, const Tensor& axis) {
  require(frequency.numel() == axis.numel(), "rotary_table", frequency, axis);
  Tensor y = cx.arena.f32({2, n, frequency.numel()});
  backend(cx).rotary_table(cx, positions, frequency, axis, y);
  return y;
}

namespace {

void check_heads(Heads q, Heads k, Heads v) {
  if (k.n_heads <= 0 || q.n_heads % k.n_heads || q.head_dim != k.head_dim ||
      v.head_dim != k.head_dim)
    throw Error(ErrorCode::internal, "attention: " + std::to_string(q.n_heads) +
                                         " query heads over " + std::to_string(k.n_heads) +
                                         " key heads");
}

// The host knows float32 only.
Tensor result_of(Context& cx, DType out, Shape shape) {
  if (out != DType::f32 && (out != DType::bf16 || !cx.arena.device()))
    throw Error(ErrorCode::internal, std::string("a result in ") + name_of(out) +
                                         (cx.arena.device() ? "" : " on the host"));
  return cx.arena.tensor(out, shape);
}

}  // namespace

Tensor attention(Context& cx, Heads q, Heads k, Heads v, std::span<const AttentionRange> ranges,
                 DType out) {
  check_heads(q, k, v);
  Tensor y =
      result_of(cx, out, {ranges.empty() ? 0 : ranges.back().end, int64_t(q.n_heads) * q.head_dim});
  backend(cx).attention(cx, q, k, v, ranges, y);
  return y;
}

Tensor attention(Context& cx, Heads q, Heads k, Heads v, std::span<const int64_t> spans,
                 DType out) {
  std::vector<AttentionRange> ranges;
  for (size_t s = 1; s < spans.size(); ++s)
    ranges.push_back({spans[s - 1], spans[s], spans[s - 1], spans[s] - spans[s - 1]});
  return attention(cx, q, k, v, std::span<const AttentionRange>(ranges), out);
}

Tensor attention_weights(Context& cx, Heads q, int64_t n, Heads k, int64_t n_keys) {
  Tensor y = cx.arena.f32({n, n_keys});
  backend(cx).attention_weights(cx, q, k, y);
  return y;
}

namespace {

void check_pages(const PagedBatch& batch, const KvLayout& layout, int layer, Heads kv) {
  if (kv.n_heads != layout.n_kv_heads || kv.head_dim != layout.head_dim || layer < 0 ||
      layer >= layout.n_layers || (layout.dtype != DType::f32 && layout.dtype != DType::bf16))
    throw Error(ErrorCode::internal, "pages of " + std::to_string(layout.n_layers) + " layers of " +
                                         std::to_string(layout.n_kv_heads) + " heads of " +
                                         std::to_string(layout.head_dim) + " in " +
                                         name_of(layout.dtype) + ": layer " +
                                         std::to_string(layer) + ", " + std::to_string(kv.n_heads) +
                                         " heads of " + std::to_string(kv.head_dim));
  if (batch.shape().n_tokens != batch.n_tokens())
    throw Error(ErrorCode::internal, "pages: the batch was not uploaded");
}

}  // namespace

void append_to_pages(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                     Heads k, Heads v) {
  check_pages(batch, layout, layer, k);
  check_pages(batch, layout, layer, v);
  backend(cx).append_to_pages(cx, batch, layout, layer, k, v);
}

void rotate_and_append(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                       Heads q, Heads k, Heads v, const Rotary& of_q, const Rotary& of_k) {
  check_pages(batch, layout, layer, k);
  check_pages(batch, layout, layer, v);
  check_heads(q, k, v);
  backend(cx).rotate_and_append(cx, batch, layout, layer, q, k, v, of_q, of_k);
}

Tensor paged_attention(Context& cx, std::span<const Heads> q, const PagedBatch& batch,
                       const KvLayout& layout, int layer, DType out) {
  check_pages(batch, layout, layer, {nullptr, 0, layout.n_kv_heads, layout.head_dim});
  if (int(q.size()) != batch.n_lanes())
    throw Error(ErrorCode::internal, "paged_attention: " + std::to_string(q.size()) +
                                         " variants of queries for " +
                                         std::to_string(batch.n_lanes()) + " lanes");
  const Heads kv{nullptr, 0, layout.n_kv_heads, layout.head_dim};
  for (const Heads& variant : q) {
    check_heads(variant, kv, kv);
    if (variant.n_heads != q[0].n_heads)
      throw Error(ErrorCode::internal, "paged_attention: variants of " +
                                           std::to_string(q[0].n_heads) + " and " +
                                           std::to_string(variant.n_heads) + " heads");
  }
  Tensor y = result_of(cx, out, {batch.n_tokens(), int64_t{q[0].n_heads} * q[0].head_dim});
  backend(cx).paged_attention(cx, q, batch, layout, layer, y);
  return y;
}

Tensor paged_attention(Context& cx, const UnrotatedRows& rows, const PagedBatch& batch,
                       const KvLayout& layout, int layer, DType out) {
  check_pages(batch, layout, layer, rows.k);
  check_pages(batch, layout, layer, rows.v);
  check_heads(rows.q, rows.k, rows.v);
  if (int(rows.of_q.size()) != batch.n_lanes())
    throw Error(ErrorCode::internal, "paged_attention: angles of " +
                                         std::to_string(rows.of_q.size()) + " lanes for " +
                                         std::to_string(batch.n_lanes()));
  Tensor y = result_of(cx, out, {batch.n_tokens(), int64_t{rows.q.n_heads} * rows.q.head_dim});
  Arena::Scope scope(cx.arena);
  backend(cx).rotary_paged_attention(cx, rows, batch, layout, layer, y);
  return y;
}

}  // namespace omni::ops
