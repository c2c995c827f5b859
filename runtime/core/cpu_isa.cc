#include "core/cpu_isa.h"

#include <cstdlib>
#include <cstring>

namespace omni {

CpuIsa cpu_isa() {
  static const CpuIsa isa = [] {
#if defined(__x86_64__)
    const char* forced = std::getenv("OMNI_CPU_ISA");
    if (forced && std::strcmp(forced, "portable") == 0) return CpuIsa::portable;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      return CpuIsa::avx512;
#endif
    return CpuIsa::portable;
  }();
  return isa;
}

bool cpu_has_bf16() {
#if defined(__x86_64__)
  return cpu_isa() == CpuIsa::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace omni
