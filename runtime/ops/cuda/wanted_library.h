// NVIDIA's libraries are opened where they are, unless somebody says no; on the emulation, where
// somebody asks for them.
#pragma once

#include <cstdlib>
#include <string>

#include "core/log.h"

namespace omni::ops::cuda {

// Library::open(), where the environment has not `variable`=0 (on the emulation: where it has
// `variable`=1); otherwise, and where there is none (which is logged), nullptr. To be asked once.
template <class Library>
const Library* wanted_library(const char* variable, const char* for_what) {
#if OMNI_CUDA_TOOLKIT
  constexpr bool kOtherwise = true;
#else
  constexpr bool kOtherwise = false;
#endif
  const char* value = std::getenv(variable);
  if (!(value && *value ? std::string(value) != "0" : kOtherwise)) return nullptr;
  std::string why;
  const Library* library = Library::open(&why);
  log(library || !value ? LogLevel::info : LogLevel::warning,
      std::string(for_what) + (library ? "" : ": not available: " + why));
  return library;
}

}  // namespace omni::ops::cuda
