// Convolutions of one stream through cuDNN, a plan a shape, where libcudnn.so.9 is there and the
// environment has no OMNI_CUDNN=0. A plan takes some milliseconds to make: ops::Conv1dOptions says
// of which shapes it is worth it.
#pragma once

#include <map>
#include <memory>

#include "ops/cuda/cudnn.h"

namespace omni::ops::cuda {

class Convolutions {
 public:
  static const Cudnn* wanted();  // nullptr: not wanted, or (which is logged once) not there

  // Throws device.
  Convolutions(const Cudnn& cudnn, cudaStream_t stream);
  ~Convolutions();
  Convolutions(const Convolutions&) = delete;

  // nullptr where cuDNN has no engine that is as exactly (which is logged once for each shape).
  const ConvolutionPlan* plan(const ConvolutionShape& shape);
  Cudnn::Handle handle() const { return handle_; }

 private:
  const Cudnn& cudnn_;
  Cudnn::Handle handle_ = nullptr;
  std::map<ConvolutionShape, std::unique_ptr<const ConvolutionPlan>> plans_;
};

}  // namespace omni::ops::cuda
