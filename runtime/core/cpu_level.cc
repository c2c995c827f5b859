#include "core/cpu_level.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "omni/error.h"

namespace omni {

namespace {

#if defined(__x86_64__)
// Not by __builtin_cpu_supports(), to which clang 14 has no such name. That the system keeps the
// registers is said by what is asked for AVX2.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

// Nor has gcc 11 one to this.
bool has_avx_vnni() {
  constexpr unsigned kAvxVnni = 1u << 4;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnni) != 0;
}
#endif

constexpr CpuLevel kBestFirst[] = {CpuLevel::avx512, CpuLevel::avx2, CpuLevel::neon,
                                   CpuLevel::portable};

CpuLevel chosen() {
  const char* forced = std::getenv("OMNI_CPU_ISA");
  std::string known;
  for (const CpuLevel level : kBestFirst) {
    const std::string name = name_of(level);
    if (forced && *forced ? name == forced : cpu_supports(level)) {
      if (cpu_supports(level)) return level;
      throw Error(ErrorCode::invalid_argument,
                  "OMNI_CPU_ISA=" + name + ": this processor has no such instructions");
    }
    known += (known.empty() ? "" : ", ") + name;
  }
  throw Error(ErrorCode::invalid_argument,
              std::string("OMNI_CPU_ISA=") + forced + " is not one of " + known);
}

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel level = chosen();
  return level;
}

bool cpu_supports(CpuLevel level) {
  switch (level) {
    case CpuLevel::portable:
      return true;
#if defined(__x86_64__)
    case CpuLevel::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    case CpuLevel::avx512:
      return cpu_supports(CpuLevel::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
    case CpuLevel::neon:
      return true;
#endif
    default:
      return false;
  }
}

bool cpu_has_bf16() {
#if defined(__x86_64__)
  return cpu_level() == CpuLevel::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

bool cpu_has_vnni() {
#if defined(__x86_64__)
  return (cpu_level() == CpuLevel::avx512 && __builtin_cpu_supports("avx512vnni")) ||
         (cpu_level() == CpuLevel::avx2 && has_avx_vnni());
#elif defined(__aarch64__)
  return cpu_level() == CpuLevel::neon && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return false;
#endif
}

const char* name_of(CpuLevel level) {
  switch (level) {
    case CpuLevel::portable:
      return "portable";
    case CpuLevel::avx2:
      return "avx2";
    case CpuLevel::avx512:
      return "avx512";
    case CpuLevel::neon:
      return "neon";
  }
  return "?";
}

std::string describe_cpu_level() {
  const std::string more = std::string(cpu_has_bf16() ? "bf16" : "") +
                           (cpu_has_bf16() && cpu_has_vnni() ? ", " : "") +
                           (cpu_has_vnni() ? "vnni" : "");
  return name_of(cpu_level()) + (more.empty() ? more : " (" + more + ")");
}

}  // namespace omni
