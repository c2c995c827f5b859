// A file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace omni {

class MappedFile {
 public:
  // Never waits. Throws not_found with the path and the reason: the system's, or that it is no
  // regular file (a folder, a FIFO, a device).
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

  // Tells the system that these pages are no longer needed in memory (they can be read again).
  static void release_pages(const void* data, size_t bytes);

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The whole of a (small) text file. Throws not_found, or corrupt_file if it is larger than `limit`.
std::string read_text_file(const std::filesystem::path& path, size_t limit);

}  // namespace omni
