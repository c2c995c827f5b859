// The operations on a CUDA device: each a kernel of cuda/kernels on the arena's stream.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/attention.h"
#include "kernels/attention_decode.h"
#include "kernels/attention_ranges.h"
#include "kernels/convolution.h"
#include "kernels/elementwise.h"
#include "kernels/experts.h"
#include "kernels/layer_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary_table.h"
#include "kernels/rotate.h"
#include "kernels/rows.h"
#include "kernels/sample.h"
#include "kernels/silu_mul.h"
#include "kernels/snake_beta.h"
#include "ops/cuda/linear.h"
#include "ops/cuda/paged.h"
#include "ops/cuda/tensors.h"

namespace omni::ops::cuda {

namespace {

using omni::cuda::half;

static_assert(omni::cuda::WeightedTerms::kMost == kMostTerms);

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const Device* device) : device_(device) {}

  std::shared_ptr<const PackedMatrix> pack_linear(std::span<const Matrix> parts,
                                                  MatmulPrecision precision) const override {
    return std::make_shared<CudaWeight>(parts, precision, device_);
  }

  void linear(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
              Tensor& y) const override {
    cuda::linear(cx, x, static_cast<const CudaWeight&>(weight), bias, y);
  }
  void add_linear(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
                  Tensor& y) const override {
    if (!cuda::add_linear(cx, x, static_cast<const CudaWeight&>(weight), bias, y))
      Backend::add_linear(cx, x, weight, bias, y);
  }
  void linear_silu_mul(Context& cx, const Tensor& x, const PackedMatrix& weight, const Tensor& bias,
                       Tensor& y) const override {
    if (!cuda::linear_silu_mul(cx, x, static_cast<const CudaWeight&>(weight), bias, y))
      Backend::linear_silu_mul(cx, x, weight, bias, y);
  }

  void normed_linear(Context& cx, const Normed& x, const PackedMatrix& weight, const Tensor& bias,
                     Tensor& y) const override {
    if (!cuda::normed_linear(cx, x, static_cast<const CudaWeight&>(weight), bias, y))
      Backend::normed_linear(cx, x, weight, bias, y);
  }
  void normed_linear_silu_mul(Context& cx, const Normed& x, const PackedMatrix& weight,
                              const Tensor& bias, Tensor& y) const override {
    if (!cuda::normed_linear_silu_mul(cx, x, static_cast<const CudaWeight&>(weight), bias, y))
      Backend::normed_linear_silu_mul(cx, x, weight, bias, y);
  }

  void rms_norm(Context& cx, const Tensor& x, const Tensor& weight, float eps,
                Tensor& y) const override {
    with_type(y, [&](auto* to) {
      check(omni::cuda::rms_norm(data(x), data(weight), to, n_rows(x), width(x), eps, stream(cx)),
            "rms_norm");
    });
  }
  void rms_norm_heads(Context& cx, Heads x, int64_t n, const Tensor& weight,
                      float eps) const override {
    check(omni::cuda::rms_norm_heads(x.data, x.stride, data(weight), n, x.n_heads, x.head_dim, eps,
                                     stream(cx)),
          "rms_norm_heads");
  }
  void layer_norm(Context& cx, const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  Tensor& y) const override {
    with_type(y, [&](auto* to) {
      check(omni::cuda::layer_norm(data(x), data(weight), data(bias), to, n_rows(x), width(x), eps,
                                   stream(cx)),
            "layer_norm");
    });
  }
  void silu_mul(Context& cx, const Tensor& x, Tensor& y) const override {
    if (x.dtype() == DType::bf16)
      return check(omni::cuda::silu_mul(narrow_data(x), static_cast<bf16*>(y.raw()), n_rows(y),
                                        width(y), stream(cx)),
                   "silu_mul");
    with_type(y, [&](auto* to) {
      check(omni::cuda::silu_mul(data(x), to, n_rows(y), width(y), stream(cx)), "silu_mul");
    });
  }
  void gelu(Context& cx, const Tensor& x, Tensor& y) const override {
    with_type(
        y, [&](auto* to) { check(omni::cuda::gelu(data(x), to, x.numel(), stream(cx)), "gelu"); });
  }
  void gelu_tanh(Context& cx, const Tensor& x, Tensor& y) const override {
    with_type(y, [&](auto* to) {
      check(omni::cuda::gelu_tanh(data(x), to, x.numel(), stream(cx)), "gelu_tanh");
    });
  }
  void quick_gelu(Context& cx, const Tensor& x, Tensor& y) const override {
    with_type(y, [&](auto* to) {
      check(omni::cuda::quick_gelu(data(x), to, x.numel(), stream(cx)), "quick_gelu");
    });
  }
  void silu(Context& cx, Tensor& x) const override {
    check(omni::cuda::silu(data(x), x.numel(), stream(cx)), "silu");
  }
  void div(Context& cx, Tensor& x, float divisor) const override {
    check(omni::cuda::div(data(x), divisor, x.numel(), stream(cx)), "div");
  }
  void add(Context& cx, Tensor& x, const Tensor& y) const override {
    check(omni::cuda::add(data(x), data(y), x.numel(), stream(cx)), "add");
  }
  void add_scaled(Context& cx, Tensor& x, const Tensor& y, const float* scale) const override {
    check(omni::cuda::add_scaled(data(x), data(y), scale, n_rows(x), width(x), stream(cx)),
          "add_scaled");
  }
  void add_gated(Context& cx, Tensor& x, const Tensor& y, const Tensor& gate) const override {
    check(omni::cuda::add_gated(data(x), data(y), data(gate), n_rows(x), width(x), stream(cx)),
          "add_gated");
  }
  void snake(Context& cx, Tensor& x, const Tensor& alpha,
             const Tensor& beta_reciprocal) const override {
    check(omni::cuda::snake(data(x), data(alpha), data(beta_reciprocal), n_rows(x), width(x),
                            stream(cx)),
          "snake");
  }
  void add_scaled_norm(Context& cx, Tensor& x, const Tensor& y, const float* scale,
                       const Tensor& weight, const Tensor& bias, float eps,
                       Tensor& normed) const override {
    with_type(normed, [&](auto* to) {
      check(omni::cuda::add_scaled_norm(data(x), data(y), scale, data(weight), data(bias), to,
                                        n_rows(x), width(x), eps, stream(cx)),
            "add_scaled_norm");
    });
  }
  void weighted_sum(Context& cx, Tensor& y, std::span<const Term> terms) const override {
    omni::cuda::WeightedTerms t{};
    for (const Term& term : terms) {
      t.x[t.n] = data(term.x);
      t.weight[t.n++] = term.weight;
    }
    check(omni::cuda::weighted_sum(data(y), t, y.numel(), stream(cx)), "weighted_sum");
  }

  void embedding(Context& cx, std::span<const int32_t> ids, const Tensor& table,
                 Tensor& y) const override {
    const std::vector<int64_t> rows(ids.begin(), ids.end());
    select(cx, table, rows, y);
  }
  void index_select(Context& cx, const Tensor& x, std::span<const int64_t> rows,
                    Tensor& y) const override {
    select(cx, x, rows, y);
  }
  void route(Context& cx, const Tensor& logits, bool normalize, Routes& routes) const override {
    check(omni::cuda::route(data(logits), width(logits), width(routes.experts), normalize,
                            static_cast<int*>(routes.experts.raw()), data(routes.weights),
                            n_rows(logits), stream(cx)),
          "route");
  }
  void add_routed(Context& cx, const Tensor& x, const Tensor& weights,
                  std::span<const int64_t> slots, Tensor& y) const override {
    check(omni::cuda::add_routed(data(x), data(weights), uploaded(cx, slots.data(), slots.size()),
                                 data(y), n_rows(x), width(x), width(weights), stream(cx)),
          "add_routed");
  }
  void copy_rows(Context& cx, Heads to, Heads from, int64_t n) const override {
    check(omni::cuda::copy_rows(to.data, to.stride, from.data, from.stride, n,
                                from.n_heads * from.head_dim, stream(cx)),
          "copy_rows");
  }
  void avg_pool_pairs(Context& cx, const Tensor& x, Tensor& y) const override {
    check(omni::cuda::avg_pool_pairs(data(x), data(y), y.dim(0), width(y), stream(cx)),
          "avg_pool_pairs");
  }

  bool convolution(Context& cx, const Tensor& x, const PackedMatrix& packed, const Tensor& bias,
                   const Unfold& u, Tensor& y) const override {
    Convolutions* convolutions = static_cast<Stream&>(cx.arena.queue()).convolutions();
    if (!convolutions || !bias.defined() || y.numel() == 0) return false;
    const auto& w = static_cast<const CudaWeight&>(packed);
    if (w.integers()) return false;
    const ConvolutionPlan* plan =
        convolutions->plan({x.dim(0), u.n, width(x), int(w.n_out()), u.kernel, u.stride, u.dilation,
                            u.before, w.precision() != MatmulPrecision::f32});
    if (!plan) return false;
    Arena::Scope scope(cx.arena);
    plan->run(convolutions->handle(), data(x), w.in_f32(), data(bias), data(y),
              cx.arena.allocate(size_t(std::max<int64_t>(1, plan->workspace()))));
    return true;
  }
  void unfold(Context& cx, const Tensor& x, const Unfold& u, Tensor& columns) const override {
    check(omni::cuda::unfold(data(x), data(columns), x.dim(0), width(x), u.first, u.n, u.kernel,
                             u.stride, u.dilation, u.before, u.padding == Padding::reflect,
                             stream(cx)),
          "unfold");
  }
  void fold(Context& cx, const Tensor& columns, const Tensor& bias, int kernel, int stride,
            int padding, Tensor& y) const override {
    check(omni::cuda::fold(data(columns), data(bias), data(y), columns.dim(0), y.dim(0), width(y),
                           kernel, stride, padding, cuda::stream(cx)),
          "fold");
  }
  void snake_beta(Context& cx, const Tensor& x, const Tensor& alpha, const Tensor& beta_reciprocal,
                  const float* filter, Tensor& y) const override {
    check(omni::cuda::snake_beta(data(x), data(alpha), data(beta_reciprocal), filter, data(y),
                                 x.dim(0), width(x), stream(cx)),
          "snake_beta");
  }

  void rotary(Context& cx, Heads x, int64_t n, const float* cos, const float* sin) const override {
    check(omni::cuda::rotate(x.data, x.stride, cos, sin, n, x.n_heads, x.head_dim, stream(cx)),
          "rotate");
  }

  void rotary_table(Context& cx, const RotaryPosition* positions, const Tensor& frequency,
                    const Tensor& axis, Tensor& y) const override {
    const int64_t n = y.dim(1), n_frequencies = y.dim(2);
    check(omni::cuda::rotary_table(as<omni::cuda::RotaryPosition>(positions), n, data(frequency),
                                   static_cast<const int*>(axis.raw()), int(n_frequencies), data(y),
                                   data(y) + n * n_frequencies, stream(cx)),
          "rotary_table");
  }

  void attention_weights(Context& cx, Heads q, Heads k, Tensor& y) const override {
    check(omni::cuda::attention_weights(q.data, q.stride, k.data, k.stride, data(y), y.dim(0),
                                        int(y.dim(1)), q.head_dim, stream(cx)),
          "attention_weights");
  }

  void attention(Context& cx, Heads q, Heads k, Heads v, std::span<const AttentionRange> ranges,
                 Tensor& y) const override {
    using namespace omni::cuda;
    // one query, such as a step's over the states of a sound
    if (y.dtype() == DType::f32 && ranges.size() == 1 && ranges[0].end == 1 &&
        q.head_dim <= kDecodeHead && k.stride == v.stride && ranges[0].n_keys > 0) {
      const AttentionRange& r = ranges[0];
      return one_over(cx, q, k.from(r.first_key), v.from(r.first_key), r.n_keys, y);
    }
    const AttentionShape shape = {q.stride, k.stride, v.stride, q.n_heads, k.n_heads, q.head_dim};
    const bool rounded = y.dtype() == DType::bf16 && can_attend_to_ranges(shape);
    int64_t most_queries = 0;
    for (const AttentionRange& r : ranges) most_queries = std::max(most_queries, r.end - r.begin);
    const int at_a_time = rounded ? range_tile_queries(most_queries) : kTileQueries;
    std::vector<AttentionTile> tiles;
    for (const AttentionRange& r : ranges)
      for (int64_t begin = r.begin; begin < r.end; begin += at_a_time)
        tiles.push_back(
            {begin, r.first_key, int(std::min<int64_t>(at_a_time, r.end - begin)), int(r.n_keys)});
    const AttentionTile* there = uploaded(cx, tiles.data(), tiles.size());
    if (rounded)
      return check(attention_ranges(q.data, k.data, v.data, static_cast<bf16*>(y.raw()), there,
                                    int(tiles.size()), at_a_time, shape, stream(cx)),
                   "attention_ranges");
    with_type(y, [&](auto* to) {
      check(omni::cuda::attention(q.data, k.data, v.data, to, there, int(tiles.size()), shape,
                                  stream(cx)),
            "attention");
    });
  }

  void append_to_pages(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                       Heads k, Heads v) const override {
    cuda::append_to_pages(cx, batch, layout, layer, k, v);
  }
  void rotate_and_append(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                         Heads q, Heads k, Heads v, const Rotary& of_q,
                         const Rotary& of_k) const override {
    cuda::rotate_and_append(cx, batch, layout, layer, q, k, v, of_q, of_k);
  }
  void paged_attention(Context& cx, std::span<const Heads> q, const PagedBatch& batch,
                       const KvLayout& layout, int layer, Tensor& y) const override {
    cuda::paged_attention(cx, q, batch, layout, layer, y);
  }
  void rotary_paged_attention(Context& cx, const UnrotatedRows& rows, const PagedBatch& batch,
                              const KvLayout& layout, int layer, Tensor& y) const override {
    if (!cuda::paged_step(cx, rows, batch, layout, layer, y))
      Backend::rotary_paged_attention(cx, rows, batch, layout, layer, y);
  }

  std::vector<SampledToken> sample(Context& cx, const Tensor& logits,
                                   std::span<const Sampling> samplings) const override {
    using omni::cuda::SampleOptions;
    const int n = int(samplings.size()), vocabulary = width(logits);
    // One upload: the options, and behind them the bits.
    constexpr size_t kWords = sizeof(SampleOptions) / sizeof(uint32_t);
    std::vector<uint32_t> words(kWords * samplings.size());
    const auto append = [&](const std::vector<uint32_t>& bits) {
      const size_t at = words.size() - kWords * samplings.size();
      words.insert(words.end(), bits.begin(), bits.end());
      return bits.empty() ? -1 : int(at);
    };
    for (size_t i = 0; i < samplings.size(); ++i) {
      const Sampling& s = samplings[i];
      const SampleOptions o{s.temperature, s.top_p,    s.penalty,         s.draw,
                            s.top_k,       int(s.row), append(s.allowed), append(s.seen)};
      std::memcpy(&words[kWords * i], &o, sizeof o);
    }
    const uint32_t* there = uploaded(cx, words.data(), words.size());
    auto* tokens = static_cast<omni::cuda::SampledToken*>(
        cx.arena.allocate(samplings.size() * sizeof(omni::cuda::SampledToken)));
    check(omni::cuda::sample(
              data(logits), vocabulary, reinterpret_cast<const SampleOptions*>(there),
              there + kWords * samplings.size(), n,
              cx.arena.allocate(omni::cuda::sample_room(vocabulary, n)), tokens, stream(cx)),
          "sample");
    std::vector<omni::cuda::SampledToken> results(samplings.size());
    cx.arena.queue().download(results.data(), tokens,
                              results.size() * sizeof(omni::cuda::SampledToken));
    std::vector<SampledToken> out;
    for (const auto& r : results) out.push_back({r.id, r.probability});
    return out;
  }

 private:
  // One query's attention over n_keys keys.
  static void one_over(Context& cx, Heads q, Heads k, Heads v, int64_t n_keys, Tensor& y) {
    using namespace omni::cuda;
    const int64_t n_stretches = (n_keys + kDecodeKeys - 1) / kDecodeKeys;
    auto* partial = static_cast<float*>(
        cx.arena.allocate(size_t(q.n_heads * n_stretches * (q.head_dim + 2)) * sizeof(float)));
    with_type(y, [&](auto* to) {
      check(
          attention_decode(q.data, k.data, v.data, k.stride, to, partial, q.n_heads, k.n_heads,
                           q.head_dim, int(n_keys), 1.f / std::sqrt(float(q.head_dim)), stream(cx)),
          "attention_decode");
    });
  }

  void select(Context& cx, const Tensor& table, std::span<const int64_t> rows, Tensor& y) const {
    const int64_t* there = uploaded(cx, rows.data(), rows.size());
    const int64_t n = int64_t(rows.size());
    switch (table.dtype()) {
      case DType::f32:
        return check(omni::cuda::index_select(static_cast<const float*>(table.raw()), there,
                                              data(y), n, width(y), stream(cx)),
                     "index_select");
      case DType::bf16:
        return check(omni::cuda::index_select(static_cast<const bf16*>(table.raw()), there, data(y),
                                              n, width(y), stream(cx)),
                     "index_select");
      case DType::f16:
        return check(omni::cuda::index_select(static_cast<const half*>(table.raw()), there, data(y),
                                              n, width(y), stream(cx)),
                     "index_select");
      default:
        throw Error(ErrorCode::internal,
                    std::string("index_select: a table of ") + name_of(table.dtype()));
    }
  }

  const Device* device_;
};

}  // namespace

std::unique_ptr<const Backend> make_backend(const Device* device) {
  return std::make_unique<CudaBackend>(device);
}

}  // namespace omni::ops::cuda
