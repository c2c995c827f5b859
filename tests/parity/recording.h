// What tools/fixtures/make_fixtures.py recorded: the pictures and sound that transformers was
// given, and what it computed from them at each boundary.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "omni/video.h"
#include "parity/parity.h"

namespace omni::parity {

struct Input {
  int width = 0, height = 0, frames = 0;
  Rational fps{2, 1};
  std::string rgb;
  std::vector<float> audio;
  struct Image {
    int width, height;
    std::string rgb;
  };
  std::vector<Image> images;
};

Input read_input(const std::filesystem::path& dir);

// Picture `index` of packed RGB bytes, which must outlive it.
VideoFrame rgb_frame(const std::string& bytes, int width, int height, int index, Nanoseconds time);

// The expected values, and a line for each of ours that was compared with them.
class Expected {
 public:
  explicit Expected(const std::filesystem::path& file) : tensors_(Safetensors::open(file)) {}

  bool has(const std::string& boundary) const { return tensors_->has(boundary); }
  Tensor f32(const std::string& boundary) const { return to_f32(tensors_->get(boundary)); }
  std::vector<int64_t> ids(const std::string& boundary) const;

  Line& add(const std::string& boundary, double error, double tolerance, const std::string& worst);
  // Nothing where it was not recorded. `absolute`: tolerance is that of |a − b|.
  void compare(const std::string& boundary, const float* a, int64_t n, double tolerance,
               bool absolute = false);
  void compare(const std::string& boundary, std::span<const int32_t> a,
               const std::vector<int64_t>& b);

  std::vector<Line> take_lines() { return std::move(lines_); }

 private:
  std::shared_ptr<const Safetensors> tensors_;
  std::vector<Line> lines_;
};

}  // namespace omni::parity
