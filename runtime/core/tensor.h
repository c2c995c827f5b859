// A Tensor is a view of contiguous row-major memory, of the host or of a device, and, where it owns
// any, a share in that memory. Copying copies the view.
#pragma once

#include <array>
#include <initializer_list>
#include <memory>
#include <string>

#include "core/device.h"
#include "core/dtype.h"
#include "omni/error.h"

namespace omni {

class Shape {
 public:
  static constexpr int kMaxRank = 5;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  Shape(const int64_t* dims, int rank);

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t& operator[](int i) { return dims_[i]; }
  int64_t numel() const;
  std::string str() const;  // "[3, 4]"
  bool operator==(const Shape& o) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

class Tensor {
 public:
  Tensor() = default;

  // Zeroed memory of its own, aligned to 64 bytes. Throws out_of_memory.
  static Tensor zeros(DType dtype, Shape shape);
  // Uninitialised memory of its own on a device, zeroed on the host. The device must live as long.
  static Tensor on(const Device* device, DType dtype, Shape shape);
  // Borrows `data`; `owner`, if given, is kept alive as long as any view of it.
  static Tensor view(void* data, DType dtype, Shape shape,
                     std::shared_ptr<const void> owner = nullptr, const Device* device = nullptr);

  bool defined() const { return data_ != nullptr; }
  const Device* device() const { return device_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t numel() const { return shape_.numel(); }
  size_t nbytes() const { return size_t(numel()) * size_of(dtype_); }

  // Wherever it is: never to be looked into by code that runs on the host alone.
  void* raw() { return data_; }
  const void* raw() const { return data_; }
  // Of the host; a tensor on a device throws internal.
  float* f32() { return static_cast<float*>(typed(DType::f32)); }
  const float* f32() const {
    return static_cast<const float*>(const_cast<Tensor*>(this)->typed(DType::f32));
  }
  int64_t* i64() { return static_cast<int64_t*>(typed(DType::i64)); }
  const int64_t* i64() const {
    return static_cast<const int64_t*>(const_cast<Tensor*>(this)->typed(DType::i64));
  }

  // The same memory under another shape of equal size.
  Tensor reshape(Shape shape) const;
  // Rows [begin, end) of the first dimension, without a copy.
  Tensor rows(int64_t begin, int64_t end) const;

 private:
  void* typed(DType expected) {
    if (device_ || dtype_ != expected) refuse(expected);
    return data_;
  }
  [[noreturn]] void refuse(DType expected) const;

  void* data_ = nullptr;
  const Device* device_ = nullptr;
  DType dtype_ = DType::f32;
  Shape shape_;
  std::shared_ptr<const void> owner_;
};

// A new float32 tensor with the same values (F32, F16 and BF16 are converted; other types throw
// unsupported).
Tensor to_f32(const Tensor& x);
// The same values on a device (or, for nullptr, on the host), complete when it returns: x itself if
// it is there already.
Tensor to_device(const Tensor& x, const Device* device);

}  // namespace omni
