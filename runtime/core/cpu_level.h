// Which instruction sets the kernels may use. A level is a set that processors have as a whole;
// OMNI_CPU_ISA=portable|avx2|avx512|neon asks for one of them instead of the best.
#pragma once

#include <string>

namespace omni {

enum class CpuLevel {
  // what the compiler makes of plain loops for any processor of this architecture: the reference
  portable,
  avx2,    // x86-64-v3: AVX2, FMA, F16C
  avx512,  // x86-64-v4: AVX-512 F, BW, DQ, VL
  neon,    // every AArch64
};

// Decided once. Throws invalid_argument where OMNI_CPU_ISA is no level, or one that this processor
// has not.
CpuLevel cpu_level();
// True if this processor has what code of `level` needs, whatever OMNI_CPU_ISA says.
bool cpu_supports(CpuLevel level);
// What the processor has beyond the level in use: dot products of pairs of bfloat16 (AVX512_BF16),
// of four bytes (AVX512_VNNI, AVX_VNNI; AArch64: dotprod).
bool cpu_has_bf16();
bool cpu_has_vnni();

const char* name_of(CpuLevel level);
// "avx512 (bf16, vnni)": the level in use and what this processor has beyond it.
std::string describe_cpu_level();

}  // namespace omni
