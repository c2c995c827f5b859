// One parser under arbitrary bytes. A target is built with libFuzzer (OMNI_LIBFUZZER), or with
// plain_main.cc for the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

// → 0. Whatever the bytes are, nothing but omni::Error may be thrown below it, and it is caught.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace omni::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// What must hold of any input.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
}

}  // namespace omni::fuzz
