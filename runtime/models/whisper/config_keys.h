// The list of all keys of Whisper's configuration files, and what becomes of each.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace omni::whisper {

// Throws unsupported for a key whose value is not what is computed here. → the keys that are in no
// list.
std::vector<std::string> check_config_keys(const std::filesystem::path& folder);

}  // namespace omni::whisper
