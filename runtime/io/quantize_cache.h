// Quantized matrices of a checkpoint, kept between starts: a folder a checkpoint, a safetensors
// file a matrix, so that what was made before a start was cancelled is kept too. Everything in it
// can be deleted at any time.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>

#include "core/matrix.h"

namespace omni {

class QuantizeCache {
 public:
  // An empty folder: nothing is kept.
  explicit QuantizeCache(std::filesystem::path folder) : folder_(std::move(folder)) {}
  // $XDG_CACHE_HOME/gst-omni/<fingerprint>, else below ~/.cache; empty where there is neither.
  static std::filesystem::path folder_of(const std::string& fingerprint);

  // The matrix that was made of this very tensor, mapped; or else what make() returns, kept for the
  // next time and mapped. A file that is damaged or of something else is made anew; that none can
  // be written is no error.
  Matrix get(const std::string& name, const Tensor& dense, WeightFormat format,
             const std::function<Matrix()>& make);

  int n_made() const { return n_made_; }
  int n_found() const { return n_found_; }

 private:
  bool keep(const std::filesystem::path& file, const Matrix& w, int64_t source);

  std::filesystem::path folder_;
  std::atomic<int> n_made_{0}, n_found_{0};
  std::atomic<bool> cannot_write_{false};
};

}  // namespace omni
