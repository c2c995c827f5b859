// The implementations of linear(), best first. A new one is a file and a line here.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "core/cpu_level.h"
#include "cpu/packed_matrix.h"

namespace omni::ops::cpu {

namespace {

[[maybe_unused]] bool at(CpuLevel level, const Matrix& w) {
  return cpu_level() == level && !is_quantized(w.format);
}

// Words hold four or eight columns, and no group divides one.
bool fills_words(const Matrix& w) {
  const int64_t columns = w.format == WeightFormat::int8 ? 4 : 8;
  return is_quantized(w.format) && w.n_in % columns == 0 && w.group % columns == 0;
}

constexpr LinearImplementation kImplementations[] = {
#if OMNI_ONEDNN
    // oneDNN multiplies float16 no faster than float32, which our own do without widening it in
    // memory.
    {"onednn_bf16",
     [](const Matrix& w, MatmulPrecision p) {
       return p == MatmulPrecision::bf16 && cpu_has_bf16() && at(CpuLevel::avx512, w);
     },
     pack_onednn},
    {"onednn_f32",
     [](const Matrix& w, MatmulPrecision p) {
       return p == MatmulPrecision::f32 && w.format == WeightFormat::f32 && at(CpuLevel::avx512, w);
     },
     pack_onednn},
#endif
    {"quantized_dots",
     [](const Matrix& w, MatmulPrecision) { return cpu_has_vnni() && fills_words(w); },
     pack_quantized_dots},
#if defined(__x86_64__)
    {"quantized_pairs",
     [](const Matrix& w, MatmulPrecision) {
       return cpu_level() == CpuLevel::avx2 && fills_words(w);
     },
     pack_quantized_pairs},
#endif
    {"quantized_floats",
     [](const Matrix& w, MatmulPrecision) {  // every AVX2 adds pairs of products of bytes
       return (cpu_level() == CpuLevel::avx512 || cpu_level() == CpuLevel::neon) && fills_words(w);
     },
     pack_quantized_floats},
    {"panels",
     [](const Matrix& w, MatmulPrecision) {
       return cpu_level() != CpuLevel::portable && !is_quantized(w.format);
     },
     pack_panels},
    {"portable", [](const Matrix&, MatmulPrecision) { return true; }, pack_portable},
};

std::array<std::atomic<int64_t>, std::size(kImplementations)> g_packed;

// For products of both factors in bfloat16 weights stored as float32 are rounded once.
Matrix rounded(const Matrix& w) {
  Tensor values = Tensor::zeros(DType::bf16, {w.n_out, w.n_in});
  const float* from = w.values.f32();
  std::transform(from, from + w.values.numel(), static_cast<BFloat16*>(values.raw()), to_bfloat16);
  return values;
}

// Parts that differ in format or in the order of their inputs have only their float32 values in
// common. Quantized ones of a shape that no word divides are multiplied as such, too.
std::vector<Matrix> alike(std::span<const Matrix> parts) {
  std::vector<Matrix> out(parts.begin(), parts.end());
  const bool same = std::all_of(parts.begin(), parts.end(), [&](const Matrix& p) {
    return p.format == parts[0].format && p.group == parts[0].group &&
           p.inputs.defined() == parts[0].inputs.defined() &&
           p.zeros.defined() == parts[0].zeros.defined() &&
           (!p.inputs.defined() ||
            std::memcmp(p.inputs.raw(), parts[0].inputs.raw(), p.inputs.nbytes()) == 0);
  });
  if (!same || (is_quantized(parts[0].format) && cpu_level() != CpuLevel::portable &&
                !fills_words(parts[0])))
    for (Matrix& p : out) p = dequantize(p, 0, p.n_out);
  return out;
}

}  // namespace

std::span<const LinearImplementation> linear_implementations() { return kImplementations; }

std::shared_ptr<const CpuMatrix> pack_linear(std::span<const Matrix> given,
                                             MatmulPrecision precision) {
  std::vector<Matrix> parts = alike(given);
  if (precision == MatmulPrecision::bf16 && parts[0].format == WeightFormat::f32)
    std::transform(parts.begin(), parts.end(), parts.begin(), rounded);
  size_t i = 0;
  while (!kImplementations[i].accepts(parts[0], precision)) ++i;
  ++g_packed[i];
  return kImplementations[i].pack(parts, precision);
}

int64_t n_packed(const char* name) {
  for (size_t i = 0; i < std::size(kImplementations); ++i)
    if (std::strcmp(kImplementations[i].name, name) == 0) return g_packed[i];
  throw Error(ErrorCode::internal, std::string("no product is called ") + name);
}

}  // namespace omni::ops::cpu
