// Checkpoints in layouts of other programs: told apart, so that the error says what is there and
// not what is missing.
#pragma once

#include <filesystem>

namespace omni {

// Throws unsupported if `path`, a file or a folder, holds weights of such a layout and no
// safetensors.
void refuse_foreign_weights(const std::filesystem::path& path);

}  // namespace omni
