// NVIDIA's libraries are opened where somebody asks for them.
#pragma once

#include <cstdlib>
#include <string>

#include "core/log.h"

namespace omni::ops::cuda {

// Library::open(), where the environment has `variable`=1; otherwise, and where there is none
// (which is logged), nullptr. To be asked once.
template <class Library>
const Library* wanted_library(const char* variable, const char* for_what) {
  const char* value = std::getenv(variable);
  if (!value || std::string(value) != "1") return nullptr;
  std::string why;
  const Library* library = Library::open(&why);
  log(library ? LogLevel::info : LogLevel::warning,
      library ? for_what : std::string(variable) + "=1, but " + why);
  return library;
}

}  // namespace omni::ops::cuda
