// A checkpoint folder of the fixtures whose configuration files may be changed: their copies stand
// beside links to the rest.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace omni {

class CheckpointCopy {
 public:
  // `name` is the test's own among those that run at the same time.
  CheckpointCopy(const std::filesystem::path& original, const std::string& name)
      : original_(original),
        folder_(std::filesystem::temp_directory_path() /
                ("omni_" + name + "_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    for (const auto& file : std::filesystem::directory_iterator(original_))
      std::filesystem::create_symlink(file.path(), folder_ / file.path().filename());
  }
  ~CheckpointCopy() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  CheckpointCopy(const CheckpointCopy&) = delete;
  CheckpointCopy& operator=(const CheckpointCopy&) = delete;

  const std::filesystem::path& folder() const { return folder_; }

  // An empty object where the original has no such file.
  nlohmann::json original(const std::string& file) const {
    std::ifstream in(original_ / file);
    return in ? nlohmann::json::parse(in) : nlohmann::json::object();
  }
  void write(const std::string& file, const std::string& text) {
    std::filesystem::remove(folder_ / file);  // a link, at first
    std::ofstream(folder_ / file, std::ios::binary) << text;
  }
  void restore(const std::string& file) {
    std::filesystem::remove(folder_ / file);
    if (std::filesystem::exists(original_ / file))
      std::filesystem::create_symlink(original_ / file, folder_ / file);
  }

 private:
  std::filesystem::path original_, folder_;
};

}  // namespace omni
