// Compares the runtime with a directory written by tools/fixtures/make_fixtures.py: a checkpoint,
// its inputs, and what transformers computed at each module boundary. Used by tools/parity and by
// the fixture tests.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "omni/types.h"

namespace omni::parity {

struct Line {
  std::string boundary;  // "av.vision_embeds"
  double error = 0;      // max |a − b| / max |b|, or what `measure` says
  double tolerance = 0;
  std::string worst;  // index of the worst value, or the first difference
  bool pass = false;
};

// Throws omni::Error if the directory cannot be read. `device`: as the elements' property.
std::vector<Line> compare(const std::filesystem::path& dir, const std::string& device = "cpu",
                          Precision precision = Precision::float32);

std::string format(const Line& line);

}  // namespace omni::parity
