// Qwen2.5-VL: a tower with windows, positions by absolute time, boxes in pixels of the resized
// frame. (transformers, modeling_qwen2_5_vl.py)
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "interface/family.h"

namespace omni {

Family load_qwen2_5_vl(const ModelOptions& options, const LoadProgress& progress);

namespace qwen2_5_vl {
// The list of all keys of its configuration files: throws unsupported for a key whose value is not
// what is computed here, and returns the keys that are in no list.
std::vector<std::string> check_config_keys(const std::filesystem::path& folder);
}  // namespace qwen2_5_vl

}  // namespace omni
