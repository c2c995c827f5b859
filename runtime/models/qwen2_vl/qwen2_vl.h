// Qwen2-VL: a tower in which all patches attend to all, positions by the number of the frame,
// boxes as markup in thousandths of the frame. (transformers, modeling_qwen2_vl.py)
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "interface/family.h"

namespace omni {

Family load_qwen2_vl(const ModelOptions& options, const LoadProgress& progress);

namespace qwen2_vl {
// The list of all keys of its configuration files: throws unsupported for a key whose value is not
// what is computed here, and returns the keys that are in no list.
std::vector<std::string> check_config_keys(const std::filesystem::path& folder);
}  // namespace qwen2_vl

}  // namespace omni
