// The list of all keys of Qwen2.5-Omni's configuration files, and what becomes of each.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace omni::qwen2_5_omni {

// Each throws unsupported for a key whose value is not what is computed here, and returns the keys
// that are in no list.
std::vector<std::string> check_thinker_keys(const std::filesystem::path& folder);
std::vector<std::string> check_voice_keys(const std::filesystem::path& folder);

}  // namespace omni::qwen2_5_omni
