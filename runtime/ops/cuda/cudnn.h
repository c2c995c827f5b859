// Convolutions through cuDNN's backend API, loaded at run time: a graph of one convolution and its
// bias, and the first of the engines that cuDNN recommends which keeps to the precision. cuDNN 9.8
// or later, whose plans can be made for a device that is only described (tests/cuda/cudnn_test.cc
// makes all of the project's).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <string>

#include "omni/error.h"

namespace omni::ops::cuda {

// x [n, c_in] → y [n_out, c_out], float32; weight [c_out, kernel, c_in]; zeros before the first
// frame and behind the last.
struct ConvolutionShape {
  int64_t n, n_out;
  int c_in, c_out, kernel, stride, dilation;
  int64_t before;  // zeros ahead of the first frame
  // products of factors rounded to TF32 will do (10 bits of mantissa; bfloat16 has 7)
  bool tensor_cores;
  auto operator<=>(const ConvolutionShape&) const = default;
};

class Cudnn {
 public:
  // nullptr, with the reason: no libcudnn.so.9, or an older one.
  static const Cudnn* open(std::string* why);

  using Descriptor = void*;
  using Handle = void*;
  // All return 0 or a cudnnStatus_t.
  int (*create)(Handle*);
  int (*destroy)(Handle);
  int (*set_stream)(Handle, cudaStream_t);
  int (*create_descriptor)(int type, Descriptor*);
  int (*destroy_descriptor)(Descriptor);
  int (*set_attribute)(Descriptor, int name, int type, int64_t n, const void* values);
  int (*get_attribute)(Descriptor, int name, int type, int64_t most, int64_t* n, void* values);
  int (*finalize)(Descriptor);
  int (*execute)(Handle, Descriptor plan, Descriptor variant_pack);
  void (*last_error)(char* message, size_t size);
  size_t version = 0;
};

class ConvolutionPlan {
 public:
  // For the device of `handle`; without one, for the device that `description` (JSON) describes,
  // and never to be run. Throws unsupported where cuDNN has no engine for it.
  ConvolutionPlan(const Cudnn& cudnn, const ConvolutionShape& shape, Cudnn::Handle handle,
                  const std::string& description = "");
  ~ConvolutionPlan();
  ConvolutionPlan(const ConvolutionPlan&) = delete;

  int64_t workspace() const { return workspace_; }  // bytes
  // On the handle's stream. Throws device.
  void run(Cudnn::Handle handle, const float* x, const float* weight, const float* bias, float* y,
           void* workspace) const;

 private:
  const Cudnn& cudnn_;
  Cudnn::Descriptor plan_ = nullptr;
  int64_t workspace_ = 0;
};

}  // namespace omni::ops::cuda
