#include "soak/slope.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace omni_test {
namespace {

double mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / double(v.size());
}

// Correlation of each with the one before it, in [0, 1).
double correlation(const std::vector<double>& residuals, double sum_of_squares) {
  if (sum_of_squares <= 0) return 0;
  double sum = 0;
  for (size_t i = 1; i < residuals.size(); ++i) sum += residuals[i] * residuals[i - 1];
  return std::clamp(sum / sum_of_squares, 0.0, 0.95);
}

}  // namespace

Slope fit_slope(const std::vector<double>& hours, const std::vector<double>& values) {
  const size_t n = hours.size();
  if (n < 8) return {0, std::numeric_limits<double>::infinity()};
  const double x0 = mean(hours), y0 = mean(values);
  double xx = 0, xy = 0;
  for (size_t i = 0; i < n; ++i) {
    xx += (hours[i] - x0) * (hours[i] - x0);
    xy += (hours[i] - x0) * (values[i] - y0);
  }
  const double slope = xy / xx;
  std::vector<double> residuals;
  double squares = 0;
  for (size_t i = 0; i < n; ++i) {
    residuals.push_back(values[i] - y0 - slope * (hours[i] - x0));
    squares += residuals.back() * residuals.back();
  }
  const double r = correlation(residuals, squares);
  const double n_independent = std::max(3.0, double(n) * (1 - r) / (1 + r));
  return {slope, std::sqrt(squares / (n_independent - 2) / xx)};
}

}  // namespace omni_test
