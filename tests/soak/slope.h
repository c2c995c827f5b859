// A straight line through measurements: how fast a figure grows, and how sure that is.
#pragma once

#include <vector>

namespace omni_test {

struct Slope {
  double per_hour = 0;
  double error = 0;  // standard error of it

  // Whether the figure grows by more than `allowed` an hour beyond its noise: the bound that lies
  // under the slope with a probability of 99.9 %.
  bool grows(double allowed) const { return per_hour - 3.1 * error > allowed; }
};

// Least squares of `values` at `hours`. Neighbours resemble each other, so the standard error is
// that of fewer values: n (1 - r) / (1 + r), r the correlation of a residual with the one before
// it.
Slope fit_slope(const std::vector<double>& hours, const std::vector<double>& values);

}  // namespace omni_test
