#include "ops/cuda/paged.h"

#include "kernels/paged_attention.h"
#include "kernels/paged_decode.h"
#include "kernels/paged_prefill.h"
#include "kernels/paged_step.h"
#include "kernels/rotate.h"
#include "ops/cuda/tensors.h"

namespace omni::ops::cuda {

namespace {

using omni::cuda::PagedShape;

static_assert(omni::cuda::kPageRows == kPageRows &&
              omni::cuda::kMostLanes == PagedBatch::kMostLanes &&
              omni::cuda::kPagedTileQueries == PagedBatch::kTileQueries &&
              omni::cuda::kStretchKeys == PagedBatch::kStretchKeys &&
              omni::cuda::kStepCounters == PagedBatch::kCounters);

PagedShape paged_shape(const PagedBatch& batch, const KvLayout& layout, int layer, int n_heads) {
  return {layout.keys(layer), layout.values(layer), n_heads,
          layout.n_kv_heads,  layout.head_dim,      batch.n_lanes()};
}

// Room for the parts that the tokens' keys are split into.
float* partial_room(Context& cx, const PagedBatch::Shape& work, const PagedShape& s) {
  return static_cast<float*>(cx.arena.allocate(
      size_t(work.n_singles * s.n_heads * work.most_stretches * (s.head_dim + 2)) * sizeof(float)));
}

template <class T>
void attend_to_pages(Context& cx, std::span<const Heads> q, const PagedBatch& batch,
                     const KvLayout& layout, int layer, Tensor& y) {
  using namespace omni::cuda;
  const PagedShape shape = paged_shape(batch, layout, layer, q[0].n_heads);
  const PagedBatch::Shape& work = batch.shape();
  const PagedBatch::There& there = batch.there();
  const auto* seen = as<SeenRows>(there.seen);
  LaneQueries queries{};
  for (size_t l = 0; l < q.size(); ++l) queries.lane[l] = {q[l].data, q[l].stride};
  const auto* tiles = as<QueryRange>(there.tiles);
  const int n_tiles = int(work.n_tiles);
  if (layout.dtype == DType::bf16 && y.dtype() == DType::bf16 && can_prefill(shape))
    check(paged_prefill(queries, there.tables, seen, tiles, n_tiles, static_cast<bf16*>(y.raw()),
                        shape, stream(cx)),
          "paged_prefill");
  else
    with_type(y, [&](auto* to) {
      check(omni::cuda::paged_attention<T>(queries, there.tables, seen, tiles, n_tiles, to, shape,
                                           stream(cx)),
            "paged_attention");
    });
  if (work.n_singles == 0) return;
  Arena::Scope scope(cx.arena);
  float* partial = partial_room(cx, work, shape);
  with_type(y, [&](auto* to) {
    check(paged_decode<T>(queries, there.tables, seen, there.singles, int(work.n_singles),
                          int(work.most_stretches), partial, to, shape, stream(cx)),
          "paged_decode");
  });
}

}  // namespace

void append_to_pages(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                     Heads k, Heads v) {
  const PagedShape shape = paged_shape(batch, layout, layer, layout.n_kv_heads);
  const auto* slots = as<omni::cuda::PageSlot>(batch.there().slots);
  const auto append = [&]<class T>(T) {
    check(omni::cuda::append_to_pages<T>(k.data, k.stride, v.data, v.stride, slots,
                                         batch.n_tokens(), shape, stream(cx)),
          "append_to_pages");
  };
  layout.dtype == DType::bf16 ? append(bf16()) : append(float());
}

void rotate_and_append(Context& cx, const PagedBatch& batch, const KvLayout& layout, int layer,
                       Heads q, Heads k, Heads v, const Rotary& of_q, const Rotary& of_k) {
  const PagedShape shape = paged_shape(batch, layout, layer, q.n_heads);
  const auto* slots = as<omni::cuda::PageSlot>(batch.there().slots);
  const omni::cuda::QueriesKeysValues of{q.data,
                                         q.stride,
                                         k.data,
                                         v.data,
                                         k.stride,
                                         v.stride,
                                         {of_q.cos, of_q.sin},
                                         {of_k.cos, of_k.sin}};
  check(layout.dtype == DType::bf16
            ? omni::cuda::rotate_and_append<bf16>(of, slots, batch.n_tokens(), shape, stream(cx))
            : omni::cuda::rotate_and_append<float>(of, slots, batch.n_tokens(), shape, stream(cx)),
        "rotate_and_append");
}

void paged_attention(Context& cx, std::span<const Heads> q, const PagedBatch& batch,
                     const KvLayout& layout, int layer, Tensor& y) {
  layout.dtype == DType::bf16 ? attend_to_pages<bf16>(cx, q, batch, layout, layer, y)
                              : attend_to_pages<float>(cx, q, batch, layout, layer, y);
}

bool paged_step(Context& cx, const UnrotatedRows& rows, const PagedBatch& batch,
                const KvLayout& layout, int layer, Tensor& y) {
  using namespace omni::cuda;
  const PagedShape shape = paged_shape(batch, layout, layer, rows.q.n_heads);
  const PagedBatch::Shape& work = batch.shape();
  if (layout.dtype != DType::bf16 || work.n_singles != work.n_tokens || !can_step(shape))
    return false;
  const PagedBatch::There& there = batch.there();
  StepRows of{rows.q.data,   rows.k.data,   rows.v.data, rows.q.stride,
              rows.k.stride, rows.v.stride, {},          {rows.of_k.cos, rows.of_k.sin}};
  for (size_t l = 0; l < rows.of_q.size(); ++l)
    of.q_angles[l] = {rows.of_q[l].cos, rows.of_q[l].sin};
  float* partial = partial_room(cx, work, shape);
  with_type(y, [&](auto* to) {
    check(omni::cuda::paged_step(of, as<PageSlot>(there.slots), there.tables,
                                 as<SeenRows>(there.seen), int(work.n_tokens),
                                 int(work.most_stretches), there.counters, partial, to, shape,
                                 stream(cx)),
          "paged_step");
  });
  return true;
}

}  // namespace omni::ops::cuda
