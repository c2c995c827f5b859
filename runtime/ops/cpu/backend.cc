// The operations on the host: the work cut into tiles for the pool, the kernels of the best
// instruction set.
#include "ops/backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/experts.h"
#include "cpu/kernels.h"
#include "cpu/packed_matrix.h"
#include "cpu/scratch.h"

namespace omni::ops::cpu {

namespace {

// of a pass over float32 rows; only to judge whether waking a worker pays
constexpr double kNsPerElement = 0.4;

int64_t last(const Tensor& x) { return x.dim(x.rank() - 1); }
int64_t n_rows(const Tensor& x) { return last(x) ? x.numel() / last(x) : 0; }

// Calls row(i) for all rows, some at a time.
template <class Row>
void for_rows(Context& cx, int64_t rows, int64_t width, const Row& row) {
  constexpr int64_t kTile = 16;
  cx.pool.parallel_for((rows + kTile - 1) / kTile, kNsPerElement * double(rows * width),
                       [&](int64_t tile) {
                         for (int64_t i = tile * kTile; i < std::min(rows, (tile + 1) * kTile); ++i)
                           row(i);
                       });
}

;

// queries times the heads that share a key head, of a tile
constexpr int64_t kRowTile = 96;
constexpr double kNsPerProduct = 0.1;  // of a component of a query, with a key and a value

int64_t queries_of_tile(int n_heads, int n_kv_heads) {
  return std::max<int64_t>(1, kRowTile * n_kv_heads / n_heads);
}

void run_tile(AttentionTile& tile, Scratch& scratch) {
  tile.scratch = scratch.f32(attention_scratch(tile.n_rows(), tile.n_keys(), tile.head_dim));
  kernels().attention(tile);
}

struct QueryTile {
  int64_t begin, end;  // queries
  int64_t first_key;   // of their range
  int32_t n_keys;
};

// A key head of the rows of a lane that queries up to `last` see.
void collect_runs(const PagedBatch& batch, int64_t last, int lane, const KvLayout& layout,
                  int layer, int64_t head, std::vector<KeyRun>& runs) {
  const PagedBatch::Seen& seen = batch.seen(last, lane);
  const size_t bytes = size_of(layout.dtype);
  for (int64_t row = seen.first; row < seen.end;) {
    const auto* page =
        static_cast<const char*>(batch.tables()[size_t(seen.table + row / kPageRows)]);
    const int64_t in_page = row % kPageRows,
                  n = std::min<int64_t>(kPageRows - in_page, seen.end - row),
                  at = in_page * layout.row() + head * layout.head_dim;
    runs.push_back({page + size_t(layout.keys(layer) + at) * bytes,
                    page + size_t(layout.values(layer) + at) * bytes, n});
    row += n;
  }
}

class CpuBackend final : public Backend {
 public:
  std::shared_ptr<const ops::PackedMatrix> pack_linear(std::span<const Matrix> parts,
                                                       MatmulPrecision precision) const override {
    return cpu::pack_linear(parts, precision);
  }

  void linear(Context& cx, const Tensor& x, const ops::PackedMatrix& packed, const Tensor& bias,
              Tensor& y) const override {
    static_cast<const CpuMatrix&>(packed).run(cx, x.f32(), x.dim(0),
                                              bias.defined() ? bias.f32() : nullptr, y.f32());
  }

  void rms_norm(Context& cx, const Tensor& x, const Tensor& weight, float eps,
                Tensor& y) const override {
    const int64_t n = last(x);
    const float *in = x.f32(), *w = weight.f32();
    float* out = y.f32();
    for_rows(cx, n_rows(x), n,
             [&](int64_t i) { kernels().rms_norm(in + i * n, w, eps, n, out + i * n); });
  }

  void rms_norm_heads(Context& cx, Heads x, int64_t n, const Tensor& weight,
                      float eps) const override {
    const float* w = weight.f32();
    for_rows(cx, n, int64_t{x.n_heads} * x.head_dim, [&](int64_t i) {
      for (int h = 0; h < x.n_heads; ++h) {
        float* head = x.data + i * x.stride + h * x.head_dim;
        kernels().rms_norm(head, w, eps, x.head_dim, head);
      }
    });
  }

  void layer_norm(Context& cx, const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  Tensor& y) const override {
    const int64_t n = last(x);
    const float *in = x.f32(), *w = weight.f32(), *b = bias.f32();
    float* out = y.f32();
    for_rows(cx, n_rows(x), n,
             [&](int64_t i) { kernels().layer_norm(in + i * n, w, b, eps, n, out + i * n); });
  }

  void silu_mul(Context& cx, const Tensor& x, Tensor& y) const override {
    const int64_t m = last(y);
    const float* in = x.f32();
    float* out = y.f32();
    for_rows(cx, n_rows(y), 4 * m, [&](int64_t i) {
      kernels().silu_mul(in + i * 2 * m, in + i * 2 * m + m, m, out + i * m);
    });
  }

  void gelu(Context& cx, const Tensor&, Tensor& y) const override {  // in place
    const int64_t n = last(y);
    float* values = y.f32();
    for_rows(cx, n_rows(y), 2 * n, [&](int64_t i) { kernels().gelu(values + i * n, n); });
  }

  void gelu_tanh(Context& cx, const Tensor&, Tensor& y) const override {  // in place
    const int64_t n = last(y);
    float* values = y.f32();
    for_rows(cx, n_rows(y), 2 * n, [&](int64_t i) { kernels().gelu_tanh(values + i * n, n); });
  }

  void quick_gelu(Context& cx, const Tensor&, Tensor& y) const override {  // in place
    const int64_t n = last(y);
    float* values = y.f32();
    for_rows(cx, n_rows(y), 2 * n, [&](int64_t i) { kernels().quick_gelu(values + i * n, n); });
  }

  void silu(Context& cx, Tensor& x) const override {
    const int64_t n = last(x);
    float* values = x.f32();
    for_rows(cx, n_rows(x), 2 * n, [&](int64_t i) { kernels().silu(values + i * n, n); });
  }

  void div(Context& cx, Tensor& x, float divisor) const override {
    const int64_t n = last(x);
    float* values = x.f32();
    for_rows(cx, n_rows(x), n, [&](int64_t i) { kernels().div(values + i * n, divisor, n); });
  }

  void add(Context& cx, Tensor& x, const Tensor& y) const override {
    const int64_t n = last(x);
    float* to = x.f32();
    const float* from = y.f32();
    for_rows(cx, n_rows(x), n, [&](int64_t i) { kernels().add(to + i * n, from + i * n, n); });
  }

  void add_gated(Context& cx, Tensor& x, const Tensor& y, const Tensor& gate) const override {
    const int64_t n = last(x);
    float* to = x.f32();
    const float *from = y.f32(), *gates = gate.f32();
    for_rows(cx, n_rows(x), n, [&](int64_t i) {
      const float weight = 1.f / (1.f + std::exp(-gates[i]));
      for (int64_t c = 0; c < n; ++c) to[i * n + c] += from[i * n + c] * weight;
    });
  }

  void weighted_sum(Context& cx, Tensor& y, std::span<const Term> terms) const override {
    const int64_t n = last(y);
    float* to = y.f32();
    for_rows(cx, n_rows(y), n, [&](int64_t row) {
      for (int64_t i = row * n; i < (row + 1) * n; ++i) {
        float sum = 0;
        for (const Term& t : terms) sum += t.weight * t.x.f32()[i];
        to[i] = sum;
      }
    });
  }
  void add_scaled(Context& cx, Tensor& x, const Tensor& y, const float* scale) const override {
    const int64_t n = last(x);
    float* to = x.f32();
    const float* from = y.f32();
    for_rows(cx, n_rows(x), n,
             [&](int64_t i) { kernels().add_scaled(to + i * n, from + i * n, scale, n); });
  }

  void embedding(Context& cx, std::span<const int32_t> ids, const Tensor& table,
                 Tensor& y) const override {
    const int64_t hidden = table.dim(1);
    for (size_t i = 0; i < ids.size(); ++i) {
      float* out = y.f32() + int64_t(i) * hidden;
      const int64_t first = ids[i] * hidden;
      const void* t = table.raw();
      if (table.dtype() == DType::f32)
        std::memcpy(out, static_cast<const float*>(t) + first, size_t(hidden) * 4);
      else if (table.dtype() == DType::bf16)
        kernels().widen_bf16(static_cast<const BFloat16*>(t) + first, hidden, out);
      else
        kernels().widen_f16(static_cast<const Float16*>(t) + first, hidden, out);
    }
  }

  void index_select(Context&, const Tensor& x, std::span<const int64_t> rows,
                    Tensor& y) const override {
    const int64_t n = last(x);
    for (size_t i = 0; i < rows.size(); ++i)
      std::memcpy(y.f32() + int64_t(i) * n, x.f32() + rows[i] * n, size_t(n) * 4);
  }

  void route(Context& cx, const Tensor& logits, bool normalize, Routes& routes) const override {
    const int64_t n = last(logits), top_k = last(routes.experts);
    const float* from = logits.f32();
    auto* experts = static_cast<int32_t*>(routes.experts.raw());
    float* weights = routes.weights.f32();
    const Arena::Scope scope(cx.arena);
    float* scratch = cx.arena.f32(logits.shape()).f32();
    for_rows(cx, n_rows(logits), (2 + top_k) * n, [&](int64_t i) {
      route_row(from + i * n, n, top_k, normalize, scratch + i * n, experts + i * top_k,
                weights + i * top_k);
    });
  }

  void add_routed(Context& cx, const Tensor& x, const Tensor& weights,
                  std::span<const int64_t> slots, Tensor& y) const override {
    const int64_t n = last(x), top_k = last(weights);
    const float *from = x.f32(), *w = weights.f32();
    float* to = y.f32();
    for_rows(cx, int64_t(slots.size()), n, [&](int64_t i) {
      const int64_t slot = slots[size_t(i)];
      for (int64_t c = 0; c < n; ++c) to[slot / top_k * n + c] += from[i * n + c] * w[slot];
    });
  }

  void copy_rows(Context&, Heads to, Heads from, int64_t n) const override {
    for (int64_t i = 0; i < n; ++i)
      std::memcpy(to.data + i * to.stride, from.data + i * from.stride,
                  size_t(from.n_heads) * size_t(from.head_dim) * 4);
  }

  void avg_pool_pairs(Context&, const Tensor& x, Tensor& y) const override {
    const int64_t c = last(x);
    const float* in = x.f32();
    for (int64_t i = 0; i < n_rows(y); ++i)
      kernels().mean(in + 2 * i * c, in + (2 * i + 1) * c, c, y.f32() + i * c);
  }

  void unfold(Context& cx, const Tensor& x, const Unfold& u, Tensor& columns) const override {
    const int64_t n = x.dim(0), c = x.dim(1);
    const float* in = x.f32();
    float* all = columns.f32();
    for_rows(cx, u.n, u.kernel * c, [&](int64_t i) {
      float* out = all + i * u.kernel * c;
      const int64_t begin = (u.first + i) * u.stride - u.before;
      if (u.dilation == 1 && begin >= 0 && begin + u.kernel <= n) {  // rows as they lie
        std::memcpy(out, in + begin * c, size_t(u.kernel * c) * 4);
        return;
      }
      for (int64_t tap = 0; tap < u.kernel; ++tap, out += c) {
        int64_t at = begin + tap * u.dilation;
        if (u.padding == Padding::reflect) at = at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
        if (at < 0 || at >= n)
          std::memset(out, 0, size_t(c) * 4);
        else
          std::memcpy(out, in + at * c, size_t(c) * 4);
      }
    });
  }

  void fold(Context& cx, const Tensor& columns, const Tensor& bias, int kernel, int stride,
            int padding, Tensor& y) const override {
    const int64_t n = columns.dim(0), c = last(y);
    const float *all = columns.f32(), *b = bias.f32();
    float* sums = y.f32();
    for_rows(cx, y.dim(0), (kernel / stride + 1) * c, [&](int64_t o) {
      float* out = sums + o * c;
      std::memcpy(out, b, size_t(c) * 4);
      for (int64_t tap = (o + padding) % stride; tap < kernel; tap += stride) {
        const int64_t i = (o + padding - tap) / stride;
        if (o + padding < tap || i >= n) continue;
        kernels().add(out, all + (i * kernel + tap) * c, c);
      }
    });
  }

  void snake_beta(Context& cx, const Tensor& x, const Tensor& alpha, const Tensor& beta_reciprocal,
                  const float* filter, Tensor& y) const override {
    const int64_t n = x.dim(0), c = x.dim(1);
    constexpr int64_t kTileValues = 8192, kFewestRows = 32;
    constexpr double kNsPerValue = 4;
    if (x.numel() == 0) return;
    const int64_t rows = std::max(kFewestRows, kTileValues / c);
    const SnakeTile all{x.f32(), n,       c,      0, n, alpha.f32(), beta_reciprocal.f32(),
                        filter,  y.f32(), nullptr};
    const double work = kNsPerValue * double(n * c);
    cx.pool.share((n + rows - 1) / rows, work, [&](ThreadPool::Tiles& shared) {
      Scratch scratch;
      for (int64_t i; shared.take(i);) {
        SnakeTile tile = all;
        tile.begin = i * rows;
        tile.end = std::min(n, tile.begin + rows);
        tile.scratch = scratch.f32(tile.scratch_size());
        kernels().snake_beta(tile);
      }
    });
  }

  void snake(Context& cx, Tensor& x, const Tensor& alpha,
             const Tensor& beta_reciprocal) const override {
    const int64_t n = last(x);
    float* values = x.f32();
    for_rows(cx, n_rows(x), 2 * n, [&](int64_t i) {
      kernels().snake(values + i * n, alpha.f32(), beta_reciprocal.f32(), n);
    });
  }

  void rotary(Context& cx, Heads x, int64_t n, const float* cos, const float* sin) const override {
    const int64_t half = x.head_dim / 2;
    for_rows(cx, n, x.n_heads * x.head_dim, [&](int64_t i) {
      for (int h = 0; h < x.n_heads; ++h)
        kernels().rotate(x.data + i * x.stride + h * x.head_dim, cos + i * half, sin + i * half,
                         half);
    });
  }

  void attention_weights(Context& cx, Heads q, Heads k, Tensor& y) const override {
    const int64_t n_keys = y.dim(1);
    const float scale = 1.f / std::sqrt(float(q.head_dim));
    for_rows(cx, y.dim(0), n_keys * q.head_dim, [&](int64_t i) {
      float* row = y.f32() + i * n_keys;
      kernels().scores(q.data + i * q.stride, k.data, k.stride, n_keys, q.head_dim, scale, row);
      kernels().softmax(row, n_keys);
    });
  }

  std::vector<SampledToken> sample(Context&, const Tensor&,
                                   std::span<const Sampling>) const override {
    throw Error(ErrorCode::internal, "sample: on the host");
  }

  void attention(Context& cx, Heads q, Heads k, Heads v, std::span<const AttentionRange> ranges,
                 Tensor& y) const override {
    const int64_t query_tile = queries_of_tile(q.n_heads, k.n_heads);
    std::vector<QueryTile> tiles;
    int64_t most_keys = 0;
    for (const AttentionRange& r : ranges) {
      most_keys = std::max(most_keys, r.n_keys);
      for (int64_t begin = r.begin; begin < r.end; begin += query_tile)
        tiles.push_back(
            {begin, std::min(r.end, begin + query_tile), r.first_key, int32_t(r.n_keys)});
    }
    const int group = q.n_heads / k.n_heads, head_dim = q.head_dim;
    const double work =
        kNsPerProduct * double(y.dim(0)) * double(most_keys) * double(q.n_heads * head_dim);
    const auto run = [&](int64_t i, Scratch& scratch) {
      const QueryTile& t = tiles[size_t(i / k.n_heads)];
      const int64_t h = i % k.n_heads, n_q = t.end - t.begin;
      const KeyRun keys{k.data + t.first_key * k.stride + h * head_dim,
                        v.data + t.first_key * v.stride + h * head_dim, t.n_keys};
      const AttentionLane lane{q.data + t.begin * q.stride + h * group * head_dim,
                               q.stride,
                               &t.n_keys,
                               0,
                               0,
                               {&keys, 1}};
      AttentionTile tile{{&lane, 1},
                         DType::f32,
                         k.stride,
                         n_q,
                         group,
                         head_dim,
                         1.f / std::sqrt(float(head_dim)),
                         y.f32() + (t.begin * q.n_heads + h * group) * head_dim,
                         int64_t{q.n_heads} * head_dim,
                         nullptr};
      run_tile(tile, scratch);
    };
    cx.pool.share(int64_t(tiles.size()) * k.n_heads, work, [&](ThreadPool::Tiles& shared) {
      Scratch scratch;
      for (int64_t i; shared.take(i);) run(i, scratch);
    });
  }

  void rotary_table(Context& cx, const RotaryPosition* positions, const Tensor& frequency,
                    const Tensor& axis, Tensor& y) const override {
    const int64_t n = y.dim(1), half = y.dim(2);
    const auto* axis_of = static_cast<const int32_t*>(axis.raw());
    constexpr double kAsPasses = 100;  // a cosine and a sine, in passes over a value
    for_rows(cx, n, int64_t(kAsPasses) * half, [&](int64_t i) {
      float *cos = y.f32() + i * half, *sin = cos + n * half;
      for (int64_t k = 0; k < half; ++k) {
        const double angle = double(positions[i][size_t(axis_of[k])]) * double(frequency.f32()[k]);
        cos[k] = float(std::cos(angle));
        sin[k] = float(std::sin(angle));
      }
    });
  }

  void append_to_pages(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                       Heads k, Heads v) const override {
    const int64_t row = layout.row();
    const auto put = [&](const float* from, char* page, int64_t at) {
      char* to = page + size_t(at) * size_of(layout.dtype);
      if (layout.dtype == DType::bf16)
        kernels().round_bf16(from, row, reinterpret_cast<BFloat16*>(to));
      else
        std::memcpy(to, from, size_t(row) * sizeof(float));
    };
    for_rows(cx, batch.n_tokens(), 2 * row, [&](int64_t i) {
      const PagedBatch::Slot& slot = batch.slots()[size_t(i)];
      auto* page = static_cast<char*>(slot.page);
      put(k.data + i * k.stride, page, layout.keys(layer) + slot.row * row);
      put(v.data + i * v.stride, page, layout.values(layer) + slot.row * row);
    });
  }

  // A tile never holds queries of two sequences: what a query gets is not the neighbours' affair.
  void paged_attention(Context& cx, std::span<const Heads> q, const PagedBatch& batch,
                       const KvLayout& layout, int layer, Tensor& y) const override {
    const int n_heads = q[0].n_heads, n_kv_heads = layout.n_kv_heads, head_dim = layout.head_dim,
              group = n_heads / n_kv_heads, n_lanes = batch.n_lanes();
    const auto query_tile = int32_t(queries_of_tile(n_heads, n_kv_heads));
    std::vector<PagedBatch::Span> tiles;  // of queries of one sequence
    double products = 0;
    for (const PagedBatch::Span& s : batch.spans())
      for (int32_t begin = s.begin; begin < s.end; begin += query_tile) {
        const int32_t end = std::min(s.end, begin + query_tile);
        tiles.push_back({begin, end});
        for (int l = 0; l < n_lanes; ++l)
          products +=
              double(end - begin) * (batch.seen(end - 1, l).end - batch.seen(end - 1, l).first);
      }
    const double work = kNsPerProduct * products * double(n_heads * head_dim);
    const auto run = [&](int64_t i, Scratch& scratch, std::vector<KeyRun>& runs) {
      const PagedBatch::Span& t = tiles[size_t(i / n_kv_heads)];
      const int64_t h = i % n_kv_heads;
      runs.clear();
      size_t ends[PagedBatch::kMostLanes];
      for (int l = 0; l < n_lanes; ++l) {
        collect_runs(batch, t.end - 1, l, layout, layer, h, runs);
        ends[l] = runs.size();
      }
      AttentionLane lanes[PagedBatch::kMostLanes];
      for (int l = 0; l < n_lanes; ++l) {
        const PagedBatch::Seen& seen = batch.seen(t.begin, l);
        const size_t first = l ? ends[l - 1] : 0;
        lanes[l] = {q[size_t(l)].data + t.begin * q[size_t(l)].stride + h * group * head_dim,
                    q[size_t(l)].stride,
                    &seen.end,
                    int64_t{n_lanes} * int64_t(sizeof seen / sizeof seen.end),
                    seen.first,
                    {runs.data() + first, ends[l] - first}};
      }
      AttentionTile tile{{lanes, size_t(n_lanes)},
                         layout.dtype,
                         layout.row(),
                         t.end - t.begin,
                         group,
                         head_dim,
                         1.f / std::sqrt(float(head_dim)),
                         y.f32() + (t.begin * n_heads + h * group) * head_dim,
                         int64_t{n_heads} * head_dim,
                         nullptr};
      run_tile(tile, scratch);
    };
    cx.pool.share(int64_t(tiles.size()) * n_kv_heads, work, [&](ThreadPool::Tiles& shared) {
      Scratch scratch;
      std::vector<KeyRun> runs;
      for (int64_t i; shared.take(i);) run(i, scratch, runs);
    });
  }
};

}  // namespace

const Backend& backend() {
  static const CpuBackend the;
  return the;
}

}  // namespace omni::ops::cpu
