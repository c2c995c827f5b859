#include "layers/experts.h"

namespace omni {

// Which experts a row goes to changes in steps: the router is never rounded.
MixtureOfExperts::MixtureOfExperts(const Weights& w, const Options& options)
    : options_(options),
      gate_(w.with(Precision::float32), {{"gate", options.n_experts}}, options.hidden, Bias::none),
      experts_(size_t(options.n_experts)) {
  const Weights experts = w.scope("experts");
  experts.has("gate_up_proj") ? load_stacks(experts) : load_each(experts);
  if (options.shared_intermediate == 0) return;
  shared_expert_ =
      SwiGluMlp(w.scope("shared_expert"), options.hidden, options.shared_intermediate, Bias::none);
  shared_expert_gate_ =
      Linear(w.with(Precision::float32), {{"shared_expert_gate", 1}}, options.hidden, Bias::none);
}

void MixtureOfExperts::load_stacks(const Weights& w) {
  const auto load = [&](const char* name, int64_t n_out, int64_t n_in, auto member) {
    const Matrix all = w.stack(name, options_.n_experts, n_out, n_in);
    for (size_t e = 0; e < experts_.size(); ++e)
      experts_[e].*member = pack(w, rows_of(all, int64_t(e) * n_out, int64_t(e + 1) * n_out));
    w.release(name);
  };
  load("gate_up_proj", 2 * options_.intermediate, options_.hidden, &ops::Expert::gate_up);
  load("down_proj", options_.hidden, options_.intermediate, &ops::Expert::down);
}

void MixtureOfExperts::load_each(const Weights& w) {
  for (size_t e = 0; e < experts_.size(); ++e) {
    const Weights expert = w.scope(int64_t(e));
    const Matrix gate_up[] = {expert.matrix("gate_proj", options_.intermediate, options_.hidden),
                              expert.matrix("up_proj", options_.intermediate, options_.hidden)};
    experts_[e] = {pack(expert, gate_up), pack(expert, expert.matrix("down_proj", options_.hidden,
                                                                     options_.intermediate))};
    for (const char* name : {"gate_proj.weight", "up_proj.weight", "down_proj.weight"})
      expert.release(name);
  }
}

void MixtureOfExperts::add_to(ops::Context& cx, Tensor& y, const Tensor& x) const {
  Arena::Scope scope(cx.arena);
  const ops::Routes routes = ops::route(cx, gate_(cx, x), options_.top_k, options_.norm_topk_prob);
  ops::add_experts_(cx, y, x, routes, experts_);
  if (options_.shared_intermediate == 0) return;
  Tensor shared = ops::clone(cx, ops::from_host(cx, Tensor::zeros(DType::f32, x.shape())));
  shared_expert_.add_to(cx, shared, x);
  ops::add_gated_(cx, y, shared, shared_expert_gate_(cx, x));
}

}  // namespace omni
