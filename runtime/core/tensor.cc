#include "core/tensor.h"

#include <cstring>

#include "core/host_memory.h"

namespace omni {

Shape::Shape(std::initializer_list<int64_t> dims) : Shape(dims.begin(), int(dims.size())) {}

Shape::Shape(const int64_t* dims, int rank) : rank_(rank) {
  if (rank > kMaxRank)
    throw Error(ErrorCode::unsupported,
                "a tensor of rank " + std::to_string(rank) + " (at most 5)");
  for (int i = 0; i < rank; ++i) dims_[i] = dims[i];
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int i = 0; i < rank_; ++i) n *= dims_[i];
  return n;
}

std::string Shape::str() const {
  std::string s = "[";
  for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(dims_[i]);
  return s + "]";
}

bool Shape::operator==(const Shape& o) const {
  if (rank_ != o.rank_) return false;
  for (int i = 0; i < rank_; ++i)
    if (dims_[i] != o.dims_[i]) return false;
  return true;
}

Tensor Tensor::zeros(DType dtype, Shape shape) {
  const size_t bytes = size_t(shape.numel()) * size_of(dtype);
  void* data = allocate_host_zeroed(bytes);
  if (!data)
    throw Error(ErrorCode::out_of_memory,
                "no memory for a tensor " + shape.str() + " " + name_of(dtype));
  return view(data, dtype, shape, std::shared_ptr<const void>(data, [bytes](const void* p) {
                release_host(const_cast<void*>(p), bytes);
              }));
}

Tensor Tensor::on(const Device* device, DType dtype, Shape shape) {
  if (!device) return zeros(dtype, shape);
  const size_t bytes = size_t(shape.numel()) * size_of(dtype);
  void* data =
      device->allocate(bytes ? bytes : 1, "a tensor " + shape.str() + " " + name_of(dtype));
  return view(data, dtype, shape,
              std::shared_ptr<const void>(
                  data, [device](const void* p) { device->release(const_cast<void*>(p)); }),
              device);
}

Tensor Tensor::view(void* data, DType dtype, Shape shape, std::shared_ptr<const void> owner,
                    const Device* device) {
  Tensor t;
  t.data_ = data;
  t.device_ = device;
  t.dtype_ = dtype;
  t.shape_ = shape;
  t.owner_ = std::move(owner);
  return t;
}

void Tensor::refuse(DType expected) const {
  if (device_)
    throw Error(ErrorCode::internal,
                "tensor " + shape_.str() + " is on " + device_->name() + ", not on the host");
  throw Error(ErrorCode::internal, std::string("tensor ") + shape_.str() + " is " +
                                       name_of(dtype_) + ", not " + name_of(expected));
}

Tensor Tensor::reshape(Shape shape) const {
  if (shape.numel() != numel())
    throw Error(ErrorCode::internal, "reshape " + shape_.str() + " to " + shape.str());
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  if (begin < 0 || end < begin || end > dim(0))
    throw Error(ErrorCode::internal, "rows " + std::to_string(begin) + " to " +
                                         std::to_string(end) + " of " + shape_.str());
  Tensor t = *this;
  const int64_t row = dim(0) ? numel() / dim(0) : 0;
  t.data_ = static_cast<char*>(data_) + size_t(begin * row) * size_of(dtype_);
  t.shape_[0] = end - begin;
  return t;
}

Tensor to_device(const Tensor& x, const Device* device) {
  if (x.device() == device) return x;
  if (x.device() && device) return to_device(to_device(x, nullptr), device);
  Tensor y = Tensor::on(device, x.dtype(), x.shape());
  if (device)
    device->write(y.raw(), x.raw(), x.nbytes());
  else
    x.device()->read(y.raw(), x.raw(), x.nbytes());
  return y;
}

Tensor to_f32(const Tensor& x) {
  Tensor y = Tensor::zeros(DType::f32, x.shape());
  float* out = y.f32();
  const int64_t n = x.numel();
  const void* in = x.raw();
  switch (x.dtype()) {
    case DType::f32:
      std::memcpy(out, in, size_t(n) * 4);
      break;
    case DType::bf16:
      for (int64_t i = 0; i < n; ++i) out[i] = to_float(static_cast<const BFloat16*>(in)[i]);
      break;
    case DType::f16:
      for (int64_t i = 0; i < n; ++i) out[i] = to_float(static_cast<const Float16*>(in)[i]);
      break;
    default:
      throw Error(ErrorCode::unsupported, std::string("weights of type ") + name_of(x.dtype()));
  }
  return y;
}

}  // namespace omni
