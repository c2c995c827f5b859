// The precision that OMNI_PRECISION asks a benchmark for, or another.
#pragma once

#include <cstdlib>
#include <iterator>
#include <string>

#include "omni/error.h"
#include "omni/types.h"

namespace omni {

inline Precision asked_precision(Precision otherwise) {
  const char* name = std::getenv("OMNI_PRECISION");
  if (!name) return otherwise;
  constexpr const char* kNames[] = {"auto", "float32", "bfloat16", "int8", "int4"};
  for (int i = 0; i < int(std::size(kNames)); ++i)
    if (std::string(name) == kNames[i]) return i == 0 ? otherwise : Precision(i);
  throw Error(ErrorCode::invalid_argument, std::string("OMNI_PRECISION=") + name +
                                               " is none of auto, float32, bfloat16, int8, int4");
}

}  // namespace omni
