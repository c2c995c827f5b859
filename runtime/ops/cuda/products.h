// Products of many rows, of one stream, through cuBLASLt, where libcublasLt.so.13 (or .12) is there
// and OMNI_CUBLASLT=0 is not in the environment.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "ops/ops.h"

namespace omni::ops::cuda {

// The names of cublasLt.h that are used here, with their values. tests/cuda/names_test.cc compares
// them with the real header where there is one.
namespace cublaslt {
enum { R_32F = 0, R_16BF = 14, COMPUTE_32F = 68, COMPUTE_32F_FAST_TF32 = 77, OP_T = 1 };
enum {
  MATMUL_DESC_TRANSA = 3,
  MATMUL_DESC_EPILOGUE = 7,
  MATMUL_DESC_BIAS_POINTER = 8,
  EPILOGUE_BIAS = 4
};
// of B, C and D: 6, 7, 8
enum { MATMUL_PREF_MAX_WORKSPACE_BYTES = 1, MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5 };
struct HeuristicResult {
  uint64_t algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
}  // namespace cublaslt

class CublasLt {
 public:
  // nullptr, with the reason, where there is none.
  static const CublasLt* open(std::string* why);

  using Handle = void*;
  using Object = void*;  // a description, a layout, a preference
  // All return 0 or a cublasStatus_t.
  int (*create)(Handle*);
  int (*destroy)(Handle);
  int (*desc_create)(Object*, int compute_type, int scale_type);
  int (*desc_destroy)(Object);
  int (*desc_set)(Object, int name, const void* value, size_t bytes);
  int (*layout_create)(Object*, int type, uint64_t rows, uint64_t columns, int64_t leading);
  int (*layout_destroy)(Object);
  int (*preference_create)(Object*);
  int (*preference_destroy)(Object);
  int (*preference_set)(Object, int name, const void* value, size_t bytes);
  int (*heuristic)(Handle, Object desc, Object a, Object b, Object c, Object d, Object preference,
                   int wanted, cublaslt::HeuristicResult* results, int* found);
  int (*matmul)(Handle, Object desc, const void* alpha, const void* a, Object a_layout,
                const void* b, Object b_layout, const void* beta, const void* c, Object c_layout,
                void* d, Object d_layout, const void* algorithm, void* workspace,
                size_t workspace_bytes, cudaStream_t stream);
};

class Products {
 public:
  enum class Into { y, sum };  // sum: is added to what y holds
  // y [n, n_out] = x [n, n_in] · weightᵀ + bias: x and weight [n_out, n_in] both float32 (products
  // exact, or of factors rounded to TF32) or both bfloat16 (sums float32); y float32 or, without a
  // bias, bfloat16.
  struct Shape {
    int64_t n;
    int n_in, n_out;
    MatmulPrecision precision;
    bool bf16_out, biased;
    Into into;
    auto operator<=>(const Shape&) const = default;
  };

  static constexpr size_t kWorkspace = size_t{32} << 20;
  static constexpr uintptr_t kAlign = 16;  // of every pointer
  // nullptr: not wanted, or (which is logged) not there
  static const CublasLt* wanted();

  explicit Products(const CublasLt& library);  // throws device
  ~Products();
  Products(const Products&) = delete;

  // False where cuBLASLt offers no algorithm. Throws device. `workspace`: kWorkspace bytes.
  bool run(const Shape& shape, const void* x, const void* weight, const float* bias, void* y,
           void* workspace, cudaStream_t stream);

 private:
  struct Plan;
  Plan& plan_of(const Shape& shape, const float* bias);

  const CublasLt& library_;
  CublasLt::Handle handle_ = nullptr;
  std::map<Shape, std::unique_ptr<Plan>> plans_;  // of each shape that was asked for
};

}  // namespace omni::ops::cuda
