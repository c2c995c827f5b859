#include "ops/cuda/convolutions.h"

#include <string>

#include "core/log.h"
#include "ops/cuda/wanted_library.h"

namespace omni::ops::cuda {

const Cudnn* Convolutions::wanted() {
  static const Cudnn* library = wanted_library<Cudnn>("OMNI_CUDNN", "convolutions through cuDNN");
  return library;
}

Convolutions::Convolutions(const Cudnn& cudnn, cudaStream_t stream) : cudnn_(cudnn) {
  if (const int status = cudnn.create(&handle_))
    throw Error(ErrorCode::device, "cudnnCreate: status " + std::to_string(status));
  if (const int status = cudnn.set_stream(handle_, stream))
    throw Error(ErrorCode::device, "cudnnSetStream: status " + std::to_string(status));
}

Convolutions::~Convolutions() {
  plans_.clear();
  cudnn_.destroy(handle_);
}

const ConvolutionPlan* Convolutions::plan(const ConvolutionShape& shape) {
  const auto [it, is_new] = plans_.try_emplace(shape);
  if (is_new) {
    try {
      it->second = std::make_unique<const ConvolutionPlan>(cudnn_, shape, handle_);
    } catch (const Error& e) {
      log(LogLevel::info, std::string(e.what()) + "; through the project's own kernels");
    }
  }
  return it->second.get();
}

}  // namespace omni::ops::cuda
