// Convolutions of one stream through cuDNN, a plan a shape, where OMNI_CUDNN=1 is in the
// environment and libcudnn.so.9 is there. Off otherwise: which of cuDNN and the project's own
// kernels is faster has not been measured on any GPU (tools/gpu-check does).
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
