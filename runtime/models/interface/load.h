// How a checkpoint is to be loaded.
#pragma once

#include <filesystem>
#include <functional>

#include "io/weights.h"

namespace omni {

struct ModelOptions {
  std::filesystem::path folder;
  Precision precision;             // not automatic
  const Device* device = nullptr;  // must live as long as what is loaded
  Quantizing quantizing;           // for as long as it loads
};

struct LoadProgress {
  std::function<void(double fraction)> report;  // may be empty
  void operator()(double fraction) const {
    if (report) report(fraction);
  }
  // Of a step that begins at `from` and ends at `to`; must not outlive this.
  LoadProgress part(double from, double to) const {
    return {[this, from, to](double f) { (*this)(from + (to - from) * f); }};
  }
};

}  // namespace omni
