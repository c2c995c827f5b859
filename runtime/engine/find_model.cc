#include "engine/find_model.h"

#include <cstdlib>
#include <sstream>
#include <string_view>
#include <vector>

#include "io/foreign_weights.h"
#include "omni/error.h"

namespace omni {

namespace fs = std::filesystem;

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<fs::path> model_folders() {
  std::vector<fs::path> folders;
  std::istringstream named(variable("OMNI_MODELS"));
  for (std::string folder; std::getline(named, folder, ':');)
    if (!folder.empty()) folders.emplace_back(folder);
  const std::string data = variable("XDG_DATA_HOME"), home = variable("HOME");
  if (!data.empty())
    folders.push_back(fs::path(data) / "gst-omni/models");
  else if (!home.empty())
    folders.push_back(fs::path(home) / ".local/share/gst-omni/models");
  folders.emplace_back(OMNI_INSTALLED_MODELS);
  return folders;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.front() != '.' && text.front() != '~' &&
         text.find('/') == std::string_view::npos;
}

}  // namespace

fs::path find_model(const std::string& path_or_name, const char* property) {
  std::error_code error;
  const fs::path here = fs::canonical(path_or_name, error);
  if (!error) return here;
  std::string looked;
  if (is_name(path_or_name)) {
    for (const fs::path& folder : model_folders()) {
      std::error_code missing;
      const fs::path found = fs::canonical(folder / path_or_name, missing);
      if (!missing) return found;
      looked +=
          (looked.empty() ? "; a model of this name was looked for in " : ", ") + folder.string();
    }
  }
  throw Error(ErrorCode::not_found, std::string(property) + " " + path_or_name + ": " +
                                        error.message() + looked +
                                        advice_for_missing(path_or_name));
}

}  // namespace omni
