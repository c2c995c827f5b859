// A session as one file: numbers, texts and tensors, read in the order in which they were written.
// It is a safetensors file, so that its reader (io/safetensors.h) has checked every size before
// anything is looked at; each number that is read names the range that it may lie in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "io/safetensors.h"

namespace omni {

class ArchiveWriter {
 public:
  void put(int64_t x) { numbers_.push_back(x); }
  void put(double x);
  void put(const std::string& text);
  void put(const Tensor& tensor);  // of the host; it may be undefined
  void put(std::vector<int64_t> numbers);
  // Throws not_found where it cannot be written. The file is there whole or not at all.
  void write(const std::filesystem::path& path);

 private:
  std::vector<int64_t> numbers_;
  std::string texts_;
  std::map<std::string, Tensor> tensors_;
};

// Throws corrupt_file with the path for what is not there or out of its range.
class ArchiveReader {
 public:
  // Throws not_found, corrupt_file.
  explicit ArchiveReader(const std::filesystem::path& path);

  int64_t number(int64_t lowest, int64_t highest);
  int32_t small(int64_t lowest, int64_t highest) { return int32_t(number(lowest, highest)); }
  bool flag() { return number(0, 1) != 0; }
  double real(double lowest, double highest);
  std::string text();  // valid UTF-8
  // A view into the file; undefined where an undefined one was put. All together are no larger than
  // the file, however often it names the same bytes.
  Tensor tensor();
  std::vector<int64_t> numbers(int64_t lowest, int64_t highest);
  void end() { require(at_ == numbers_.size() && text_at_ == texts_.size()); }
  void require(bool holds) const;

 private:
  Tensor get(const std::string& name) const;

  std::filesystem::path path_;
  std::shared_ptr<const Safetensors> file_;
  std::vector<int64_t> numbers_;
  std::string texts_;
  size_t at_ = 0, text_at_ = 0, n_tensors_ = 0, n_bytes_ = 0;
};

}  // namespace omni
