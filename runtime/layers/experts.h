// A mixture of experts in the place of an MLP: a router picks some of many small ones for each row.
// (Qwen3MoeSparseMoeBlock)
#pragma once

#include <vector>

#include "layers/layers.h"
#include "ops/experts.h"

namespace omni {

class MixtureOfExperts {
 public:
  struct Options {
    int n_experts, top_k;
    int64_t hidden, intermediate;
    bool norm_topk_prob;  // the weights of a row's experts sum to one
    int64_t shared_intermediate = 0;
  };
  // gate.weight, and experts.gate_up_proj and experts.down_proj of all experts (as Qwen3-VL-MoE
  // stores them) or experts.E.{gate,up,down}_proj.weight of each (as Qwen3-MoE does). Where
  // shared_intermediate is not 0, shared_expert, which all rows go to, and shared_expert_gate,
  // whose sigmoid is its weight.
  MixtureOfExperts(const Weights& w, const Options& options);

  // y ← y + the mixture of x [n, hidden] of float32. On a device no recording can hold it.
  void add_to(ops::Context& cx, Tensor& y, const Tensor& x) const;

 private:
  void load_stacks(const Weights& w);
  void load_each(const Weights& w);

  Options options_;
  Linear gate_;
  std::vector<ops::Expert> experts_;
  SwiGluMlp shared_expert_;
  Linear shared_expert_gate_;
};

}  // namespace omni
