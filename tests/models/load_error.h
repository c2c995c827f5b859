// The error of a checkpoint that does not load.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "omni/engine.h"

namespace omni {

// Its words, "loaded" where there is none; expects it to have `code`.
inline std::string error_of(const std::filesystem::path& folder, ErrorCode code) {
  try {
    Engine::open({.model_path = folder.string(), .threads = 1});
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(code)) << e.what();
    return e.what();
  }
  return "loaded";
}

}  // namespace omni
