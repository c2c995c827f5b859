// A libcublasLt.so.13 over the emulation: refuses what the manual forbids, and computes in double
// precision what was asked for.
#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "core/dtype.h"
#include "ops/cuda/products.h"

using namespace omni::ops::cuda::cublaslt;

namespace {

enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };

struct Desc {
  int compute, scale;
  std::map<int, std::vector<char>> attributes;
  template <class T>
  T get(int name, T otherwise) const {
    const auto it = attributes.find(name);
    if (it != attributes.end()) std::memcpy(&otherwise, it->second.data(), sizeof(T));
    return otherwise;
  }
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t leading;
};

float read(const void* p, int type, int64_t i) {
  if (type == R_32F) return static_cast<const float*>(p)[i];
  const uint32_t bits = uint32_t(static_cast<const uint16_t*>(p)[i]) << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// As tensor cores take a float32: 10 bits of mantissa.
float tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = (bits + 0xfff + ((bits >> 13) & 1)) & ~0x1fffu;
  std::memcpy(&x, &bits, 4);
  return x;
}

int check(const Desc& desc, const Layout& a, const Layout& b, const Layout& d) {
  if (desc.compute != COMPUTE_32F && desc.compute != COMPUTE_32F_FAST_TF32) return NOT_SUPPORTED;
  if (desc.scale != R_32F) return NOT_SUPPORTED;
  if (a.type != b.type || (a.type != R_32F && a.type != R_16BF)) return NOT_SUPPORTED;
  if (d.type != R_32F && (d.type != R_16BF || a.type != R_16BF)) return NOT_SUPPORTED;
  // what the project asks for
  if (desc.get<int>(MATMUL_DESC_TRANSA, 0) != OP_T) return NOT_SUPPORTED;
  if (a.rows != b.rows || a.columns != d.rows || b.columns != d.columns) return INVALID_VALUE;
  for (const Layout* l : {&a, &b, &d})
    if (l->leading < int64_t(l->rows)) return INVALID_VALUE;
  if ((desc.get<int>(MATMUL_DESC_EPILOGUE, 1) == EPILOGUE_BIAS) !=
      (desc.get<const float*>(MATMUL_DESC_BIAS_POINTER, nullptr) != nullptr))
    return INVALID_VALUE;
  // of the type of a bfloat16 result, which a float32 one is not
  if (d.type == R_16BF && desc.get<int>(MATMUL_DESC_EPILOGUE, 1) == EPILOGUE_BIAS)
    return NOT_SUPPORTED;
  return SUCCESS;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

API cublasLtCreate(void** h) { return *h = new int, SUCCESS; }
API cublasLtDestroy(int* h) { return delete h, SUCCESS; }
API cublasLtMatmulDescCreate(Desc** d, int compute, int scale) {
  return *d = new Desc{compute, scale, {}}, SUCCESS;
}
API cublasLtMatmulDescDestroy(Desc* d) { return delete d, SUCCESS; }
API cublasLtMatmulDescSetAttribute(Desc* d, int name, const void* value, size_t bytes) {
  if (bytes != (name == MATMUL_DESC_BIAS_POINTER ? sizeof(void*) : sizeof(int32_t)))
    return INVALID_VALUE;
  d->attributes[name].assign(static_cast<const char*>(value),
                             static_cast<const char*>(value) + bytes);
  return SUCCESS;
}
API cublasLtMatrixLayoutCreate(Layout** l, int type, uint64_t rows, uint64_t columns,
                               int64_t leading) {
  return *l = new Layout{type, rows, columns, leading}, SUCCESS;
}
API cublasLtMatrixLayoutDestroy(Layout* l) { return delete l, SUCCESS; }
API cublasLtMatmulPreferenceCreate(Desc** p) { return *p = new Desc{}, SUCCESS; }
API cublasLtMatmulPreferenceDestroy(Desc* p) { return delete p, SUCCESS; }
API cublasLtMatmulPreferenceSetAttribute(Desc*, int name, const void*, size_t bytes) {
  return bytes == (name == MATMUL_PREF_MAX_WORKSPACE_BYTES ? sizeof(uint64_t) : sizeof(uint32_t))
             ? SUCCESS
             : INVALID_VALUE;
}
API cublasLtMatmulAlgoGetHeuristic(void*, Desc* desc, Layout* a, Layout* b, Layout*, Layout* d,
                                   Desc*, int wanted, HeuristicResult* results, int* found) {
  *found = 0;
  if (const int status = check(*desc, *a, *b, *d)) return status;
  if (wanted && a->rows % 2 == 0) {  // odd sizes have none here, so that its twin is asked
    results[0] = {};
    results[0].workspace = 1 << 20;
    *found = 1;
  }
  return *found ? SUCCESS : NOT_SUPPORTED;
}
API cublasLtMatmul(void*, Desc* desc, const float* alpha, const void* a, Layout* la, const void* b,
                   Layout* lb, const float* beta, const void* c, Layout*, void* d, Layout* ld,
                   const void* algorithm, void* workspace, size_t workspace_bytes, void* stream) {
  if (const int status = check(*desc, *la, *lb, *ld)) return status;
  if (!algorithm || !workspace || workspace_bytes < size_t{1} << 20 || *alpha != 1 || c != d)
    return INVALID_VALUE;
  for (const void* p : {a, b, static_cast<const void*>(d)})
    if (reinterpret_cast<uintptr_t>(p) % 16) return INVALID_VALUE;  // as the preference says
  void* module = dlopen("libomni-cuda-emulated.so", RTLD_NOW | RTLD_NOLOAD);
  if (!module) module = RTLD_DEFAULT;
  const auto wait = reinterpret_cast<int (*)(void*)>(dlsym(module, "cudaStreamSynchronize"));
  const auto copy = reinterpret_cast<int (*)(void*, const void*, size_t, int, void*)>(
      dlsym(module, "cudaMemcpyAsync"));
  if (!wait || !copy) return NOT_SUPPORTED;
  wait(stream);
  const auto* bias = desc->get<const float*>(MATMUL_DESC_BIAS_POINTER, nullptr);
  const size_t size = ld->type == R_16BF ? 2 : 4;
  std::vector<char> out(ld->rows * ld->columns * size);
  const auto factor = [&](const void* p, const Layout& layout, int64_t i) {
    const float x = read(p, layout.type, i);
    return double(desc->compute == COMPUTE_32F_FAST_TF32 ? tf32(x) : x);
  };
  for (uint64_t column = 0; column < ld->columns; ++column)
    for (uint64_t row = 0; row < ld->rows; ++row) {
      const uint64_t at = column * uint64_t(ld->leading) + row;
      double sum = bias ? bias[row] : 0;
      if (*beta != 0) sum += double(*beta) * read(c, ld->type, int64_t(at));
      for (uint64_t k = 0; k < la->rows; ++k)
        sum += factor(a, *la, int64_t(row) * la->leading + int64_t(k)) *
               factor(b, *lb, int64_t(column) * lb->leading + int64_t(k));
      const auto result = float(sum);
      const auto narrow = omni::to_bfloat16(result);
      std::memcpy(out.data() + at * size, size == 4 ? static_cast<const void*>(&result) : &narrow,
                  size);
    }
  return copy(d, out.data(), out.size(), 4, stream);
}
