// What is given as a checkpoint and is none that is read here: told apart, so that the error says
// what is there and what to do, and not what is missing.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace omni {

// Throws unsupported if `path`, a file or a folder, holds weights in a layout of other programs and
// no safetensors, or is a media file; not_found if it is the hub's cache around a checkpoint.
void refuse_foreign_weights(const std::filesystem::path& path);

// Throws not_found if `bytes`, those of `file`, are what git-lfs leaves in place of a large file.
void refuse_lfs_pointer(const std::filesystem::path& file, std::string_view bytes);

// What to do about a path that leads nowhere: a name of the hub, a ~ that no shell has replaced.
// Begins with ": "; empty where nothing is known.
std::string advice_for_missing(const std::string& path);

}  // namespace omni
