// A checkpoint folder of the fixtures whose files may be changed: their copies stand beside links
// to the rest.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "io/safetensors.h"
#include "io/safetensors_writer.h"

namespace omni {

using Tensors = std::map<std::string, Tensor>;

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

  // model.safetensors: in place of each tensor of the original what `change` puts there.
  void rewrite(const std::function<void(const std::string&, const Tensor&, Tensors&)>& change) {
    Tensors tensors;
    const auto file = Safetensors::open(original_ / "model.safetensors");
    for (const std::string& name : file->names()) change(name, file->get(name), tensors);
    std::filesystem::remove(folder_ / "model.safetensors");
    write_safetensors(folder_ / "model.safetensors", tensors);
  }
  // The same without the one whose name ends with `end`, or with a row less in it.
  void lose(const std::string& end, bool is_missing) {
    rewrite([&](const std::string& name, const Tensor& t, Tensors& tensors) {
      if (!name.ends_with(end))
        tensors[name] = t;
      else if (!is_missing)
        tensors[name] = t.rows(1, t.dim(0));
    });
  }

 private:
  std::filesystem::path original_, folder_;
};

}  // namespace omni
