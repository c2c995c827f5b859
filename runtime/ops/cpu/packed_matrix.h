// A weight matrix packed for x · Wᵀ on the CPU, and the implementations that pack and multiply it.
#pragma once

#include <memory>
#include <span>

#include "core/matrix.h"
#include "ops/backend.h"

namespace omni::ops::cpu {

class CpuMatrix : public ops::PackedMatrix {
 public:
  // What becomes of x: it is multiplied as it is, rounded to bfloat16, or rounded to int8 with a
  // scale for some columns of a row.
  enum class Rounding { none, bf16, int8 };
  virtual Rounding rounding() const { return Rounding::none; }

  // y[n, n_out] = x[n, n_in] · Wᵀ (+ bias)
  virtual void run(Context& cx, const float* x, int64_t n, const float* bias, float* y) const = 0;

 protected:
  explicit CpuMatrix(std::span<const Matrix> parts)
      : ops::PackedMatrix(n_rows(parts), parts[0].n_in) {}

 private:
  static int64_t n_rows(std::span<const Matrix> parts) {
    int64_t n = 0;
    for (const Matrix& p : parts) n += p.n_out;
    return n;
  }
};

// One way to multiply. Of one list of parts all have the same format and order of inputs.
struct LinearImplementation {
  const char* name;
  bool (*accepts)(const Matrix& like, MatmulPrecision precision);  // at cpu_level()
  std::shared_ptr<const CpuMatrix> (*pack)(std::span<const Matrix> parts,
                                           MatmulPrecision precision);
};

// Best first; the last is the portable reference, which accepts everything.
std::span<const LinearImplementation> linear_implementations();
// By the first that accepts.
std::shared_ptr<const CpuMatrix> pack_linear(std::span<const Matrix> parts,
                                             MatmulPrecision precision);
// How many matrices of this process the implementation of that name has packed.
int64_t n_packed(const char* name);

std::shared_ptr<const CpuMatrix> pack_portable(std::span<const Matrix> parts,
                                               MatmulPrecision precision);
std::shared_ptr<const CpuMatrix> pack_panels(std::span<const Matrix> parts,
                                             MatmulPrecision precision);
std::shared_ptr<const CpuMatrix> pack_quantized_floats(std::span<const Matrix> parts,
                                                       MatmulPrecision precision);
std::shared_ptr<const CpuMatrix> pack_quantized_dots(std::span<const Matrix> parts,
                                                     MatmulPrecision precision);
std::shared_ptr<const CpuMatrix> pack_quantized_pairs(std::span<const Matrix> parts,
                                                      MatmulPrecision precision);
// Tiles of W as oneDNN packs them; each tile runs on one thread of our pool (oneDNN's own OpenMP
// threads would spin at barriers).
std::shared_ptr<const CpuMatrix> pack_onednn(std::span<const Matrix> parts,
                                             MatmulPrecision precision);

}  // namespace omni::ops::cpu
