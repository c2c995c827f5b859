// Which instruction sets the kernels may use: the processor's best, or less where OMNI_CPU_ISA=portable|avx512 says so.
#pragma once

namespace omni {

enum class CpuIsa { portable, avx512 };

CpuIsa cpu_isa();        // decided once
bool cpu_has_bf16();     // AVX512-BF16 dot products, and not switched off by OMNI_CPU_ISA

}  // namespace omni
