// Where a checkpoint is that was given by its name alone.
#pragma once

#include <filesystem>
#include <string>

namespace omni {

// A path that leads somewhere is itself. A name, such as "nano", is looked up in the folders of the
// variable OMNI_MODELS (':' between them; tools/env sets it to the checkout's), then in
// $XDG_DATA_HOME/gst-omni/models, then where gst-omni was installed. Throws not_found, which says
// where was looked for what `property` names.
std::filesystem::path find_model(const std::string& path_or_name,
                                 const char* property = "model-path");

}  // namespace omni
