// Reader of one safetensors file: 8 bytes header size, a JSON header, tensor bytes
// (huggingface.co/docs/safetensors). The file is mapped; nothing in it is trusted: every size and
// offset is checked against the file before a tensor is handed out.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace omni {

class Safetensors {
 public:
  // Throws not_found or corrupt_file.
  static std::shared_ptr<const Safetensors> open(const std::filesystem::path& path);
  // The same of bytes that are in memory for as long as the program runs; `path` is for messages.
  static std::shared_ptr<const Safetensors> of(std::span<const std::byte> bytes,
                                               const std::filesystem::path& path);

  // True for a tensor of any type, also one that nobody here computes with.
  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  // A view into the mapped file that keeps it open. Throws not_found, or unsupported for a type
  // that nobody here computes with.
  Tensor get(const std::string& name) const;
  // The same for one of type F8_E4M3, as U8. Throws corrupt_file for one of another type.
  Tensor get_float8(const std::string& name) const;
  // The caller has copied what it needs: its pages, or those of rows [begin, end), may leave memory
  // (they can be read again).
  void release(const std::string& name) const;
  void release(const std::string& name, int64_t begin, int64_t end) const;
  std::vector<std::string> names() const;
  size_t size() const { return bytes_.size(); }  // of the file
  // The type as the file spells it: "BF16", "F8_E4M3". The name must be one that has() knows.
  const std::string& type(const std::string& name) const { return entries_.at(name).type; }

 private:
  struct Entry {
    std::string type;
    std::optional<DType> dtype;  // what follows is set only with it
    Shape shape;
    size_t begin = 0, end = 0;  // bytes in the file
  };
  const Entry& entry(const std::string& name) const;
  Tensor view(const Entry& entry) const;
  Safetensors(const std::filesystem::path& path, std::span<const std::byte> bytes,
              std::shared_ptr<const class MappedFile> file);

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const MappedFile> file_;  // nullptr: the bytes are nobody's to let go of
  std::map<std::string, Entry> entries_;
};

}  // namespace omni
