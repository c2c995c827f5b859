// What a thread computes its tiles in, of the process (core/free_list.h).
#pragma once

#include "core/free_list.h"
#include "core/tensor.h"

namespace omni::ops::cpu {

// Lent for as long as this object lives; any thread, one at a time.
class Scratch {
 public:
  // n floats, uninitialised; what was there before is gone.
  float* f32(int64_t n) {
    if (!memory_->defined() || memory_->numel() < n) *memory_ = Tensor::zeros(DType::f32, {n});
    return memory_->f32();
  }

 private:
  static FreeList<Tensor>& free() {
    static FreeList<Tensor> of_process;
    return of_process;
  }
  Loan<Tensor> memory_{free()};
};

}  // namespace omni::ops::cpu
