// A weight matrix packed for x · Wᵀ on the CPU, and the two ways to pack it (most special first; the portable one is the reference).
#pragma once

#include <memory>
#include <span>

#include "core/tensor.h"
#include "core/thread_pool.h"
#include "ops/backend.h"

namespace omni::ops::cpu {

class LinearWeight : public ops::LinearWeight {
 public:
  // True if x must be bfloat16 rows (see run).
  bool takes_bf16() const { return bf16_; }

  // y[n, n_out] (row stride n_out) = x[n, n_in] · Wᵀ (+ bias). x is float32, or bfloat16 if takes_bf16().
  virtual void run(ThreadPool& pool, const void* x, int64_t n, const float* bias, float* y) const = 0;

 protected:
  LinearWeight(int64_t n_out, int64_t n_in, bool bf16) : ops::LinearWeight(n_out, n_in), bf16_(bf16) {}

 private:
  bool bf16_;
};

std::shared_ptr<const LinearWeight> pack_portable(std::span<const Tensor> parts, bool bf16);
// Tiles of W as oneDNN packs them; each tile runs on one thread of our pool (oneDNN's own OpenMP threads would spin at barriers).
std::shared_ptr<const LinearWeight> pack_onednn(std::span<const Tensor> parts, bool bf16);

}  // namespace omni::ops::cpu
