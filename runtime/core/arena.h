// Memory for the intermediate results of one computation: taken by bumping a pointer, given back all at once by leaving a Scope.
// After the first pass over a model an Arena allocates nothing. One thread at a time; the blocks stay until the Arena goes.
#pragma once

#include <cstddef>
#include <vector>

#include "core/tensor.h"

namespace omni {

class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Uninitialised memory, aligned to 64 bytes, valid until the innermost Scope ends.
  void* allocate(size_t bytes);
  Tensor tensor(DType dtype, Shape shape) { return Tensor::view(allocate(size_t(shape.numel()) * size_of(dtype)), dtype, shape); }
  Tensor f32(Shape shape) { return tensor(DType::f32, shape); }

  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), block_(arena.block_), used_(arena.used_) {}
    ~Scope() { arena_.block_ = block_, arena_.used_ = used_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_, used_;
  };

 private:
  struct Block {
    void* data;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t block_ = 0;  // index of the block in use
  size_t used_ = 0;   // bytes used of it
};

}  // namespace omni
