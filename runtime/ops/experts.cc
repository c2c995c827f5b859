// Rows by expert, and for each expert that has rows its products at once.
#include "ops/experts.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ops/backend.h"

namespace omni::ops {

namespace {

const Backend& backend(Context& cx) { return backend_of(cx.arena.device()); }

std::vector<int32_t> on_host(Context& cx, const Tensor& experts) {
  std::vector<int32_t> out(size_t(experts.numel()));
  if (experts.device())
    cx.arena.queue().download(out.data(), experts.raw(), experts.nbytes());
  else
    std::copy_n(static_cast<const int32_t*>(experts.raw()), out.size(), out.begin());
  return out;
}

// The places in `experts` [n · top_k] of each expert, side by side, rows in their order.
struct Groups {
  std::vector<int64_t> slots;
  std::vector<int64_t> ends;  // of each expert's slots

  Groups(const std::vector<int32_t>& experts, size_t n_experts)
      : slots(experts.size()), ends(n_experts) {
    for (const int32_t e : experts) ++ends.at(size_t(e));
    int64_t begin = 0;
    for (int64_t& end : ends) begin += std::exchange(end, begin);
    for (size_t slot = 0; slot < experts.size(); ++slot)
      slots[size_t(ends[size_t(experts[slot])]++)] = int64_t(slot);
  }
  std::span<const int64_t> of(size_t expert) const {
    const auto begin = size_t(expert ? ends[expert - 1] : 0);
    return std::span(slots).subspan(begin, size_t(ends[expert]) - begin);
  }
};

void check(const Tensor& y, const Tensor& x, const Routes& routes,
           std::span<const Expert> experts) {
  const bool fits = x.rank() == 2 && y.shape() == x.shape() && routes.experts.rank() == 2 &&
                    routes.experts.dim(0) == x.dim(0) &&
                    routes.weights.shape() == routes.experts.shape() &&
                    std::all_of(experts.begin(), experts.end(), [&](const Expert& e) {
                      return e.gate_up->n_in() == x.dim(1) && e.down->n_out() == x.dim(1) &&
                             e.gate_up->n_out() == 2 * e.down->n_in();
                    });
  if (!fits)
    throw Error(ErrorCode::internal, "add_experts_: y " + y.shape().str() + " and x " +
                                         x.shape().str() + " with routes " +
                                         routes.experts.shape().str() + " to " +
                                         std::to_string(experts.size()) + " experts");
}

}  // namespace

Routes route(Context& cx, const Tensor& logits, int top_k, bool normalize) {
  if (logits.rank() != 2 || top_k < 1 || top_k > logits.dim(1))
    throw Error(ErrorCode::internal,
                "route: logits " + logits.shape().str() + " to " + std::to_string(top_k));
  const Shape shape{logits.dim(0), top_k};
  Routes routes{cx.arena.tensor(DType::i32, shape), cx.arena.f32(shape)};
  backend(cx).route(cx, logits, normalize, routes);
  return routes;
}

void add_experts_(Context& cx, Tensor& y, const Tensor& x, const Routes& routes,
                  std::span<const Expert> experts) {
  check(y, x, routes, experts);
  const int64_t top_k = routes.experts.dim(1);
  const Groups groups(on_host(cx, routes.experts), experts.size());
  std::vector<int64_t> rows;
  for (size_t e = 0; e < experts.size(); ++e) {
    const std::span<const int64_t> slots = groups.of(e);
    if (slots.empty()) continue;
    Arena::Scope scope(cx.arena);
    rows.resize(slots.size());
    std::transform(slots.begin(), slots.end(), rows.begin(), [&](int64_t s) { return s / top_k; });
    const Tensor inner =  // [rows of the expert, m]
        linear_silu_mul(cx, index_select(cx, x, rows), *experts[e].gate_up, Tensor(),
                        operand_of(*experts[e].down));
    backend(cx).add_routed(cx, linear(cx, inner, *experts[e].down, Tensor()), routes.weights, slots,
                           y);
  }
}

}  // namespace omni::ops
