// The errors of checkpoints that do not load.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/checkpoint_copy.h"
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

// One value of a file of a checkpoint that is wrong, and what is said of it.
struct WrongValue {
  const char* file;
  const char* at;     // a JSON pointer
  const char* value;  // as JSON
  ErrorCode code;
  const char* says;
};

// `name` is the test's own, as of CheckpointCopy.
inline void expect_errors(const std::filesystem::path& checkpoint, const std::string& name,
                          const std::vector<WrongValue>& values) {
  CheckpointCopy copy(checkpoint, name);
  for (const WrongValue& v : values) {
    nlohmann::json j = copy.original(v.file);
    j[nlohmann::json::json_pointer(v.at)] = nlohmann::json::parse(v.value);
    copy.write(v.file, j.dump());
    const std::string said = error_of(copy.folder(), v.code);
    EXPECT_NE(said.find(v.says), std::string::npos) << v.at << " " << v.value << ": " << said;
    copy.restore(v.file);
  }
}

constexpr ErrorCode kCorrupt = ErrorCode::corrupt_file, kUnsupported = ErrorCode::unsupported,
                    kMissing = ErrorCode::not_found;

}  // namespace omni
