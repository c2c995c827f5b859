// Writer of one safetensors file (io/safetensors.h reads it).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "core/tensor.h"

namespace omni {

// Tensors of the host. The file is there whole or not at all: it is written beside `path` and
// renamed. Throws not_found with the path and the system's reason.
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, Tensor>& tensors);

}  // namespace omni
