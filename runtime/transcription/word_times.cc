#include "transcription/word_times.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace omni {

namespace {

constexpr int kMedian = 7;  // states

// The rows of one head, standardised over the tokens and smoothed over time, are added to `cost`,
// negated.
void add_head(std::span<const float> attention, int64_t head, int64_t n_tokens, int64_t n_heads,
              int64_t n_states, int64_t valid, std::vector<double>& cost) {
  std::vector<float> x(size_t(n_tokens * valid));
  for (int64_t s = 0; s < valid; ++s) {
    double sum = 0, squares = 0;
    for (int64_t t = 0; t < n_tokens; ++t) {
      const double v = attention[size_t((t * n_heads + head) * n_states + s)];
      sum += v, squares += v * v;
    }
    const double mean = sum / double(n_tokens),
                 deviation = std::sqrt(std::max(0.0, squares / double(n_tokens) - mean * mean));
    for (int64_t t = 0; t < n_tokens; ++t)
      x[size_t(t * valid + s)] =
          float((double(attention[size_t((t * n_heads + head) * n_states + s)]) - mean) /
                std::max(deviation, 1e-12));
  }
  std::array<float, kMedian> window;
  for (int64_t t = 0; t < n_tokens; ++t)
    for (int64_t s = 0; s < valid; ++s) {
      for (int k = 0; k < kMedian; ++k) {  // the ends reflect
        int64_t at = s + k - kMedian / 2;
        if (valid > kMedian / 2) at = at < 0 ? -at : at >= valid ? 2 * (valid - 1) - at : at;
        window[size_t(k)] = x[size_t(t * valid + std::clamp<int64_t>(at, 0, valid - 1))];
      }
      std::nth_element(window.begin(), window.begin() + kMedian / 2, window.end());
      cost[size_t(t * valid + s)] -= double(window[kMedian / 2]) / double(n_heads);
    }
}

}  // namespace

std::vector<int64_t> token_states(std::span<const float> attention, int64_t n_tokens,
                                  int64_t n_heads, int64_t n_states, int64_t valid) {
  valid = std::clamp<int64_t>(valid, 1, n_states);
  std::vector<int64_t> begins(size_t(n_tokens) + 1, 0);
  if (n_tokens == 0) return begins;
  std::vector<double> cost(size_t(n_tokens * valid), 0);
  for (int64_t h = 0; h < n_heads; ++h)
    add_head(attention, h, n_tokens, n_heads, n_states, valid, cost);

  // The cheapest monotone path: one token on, one state on, or both.
  const int64_t width = valid + 1;
  std::vector<double> total(size_t((n_tokens + 1) * width),
                            std::numeric_limits<double>::infinity());
  std::vector<int8_t> from(total.size(), 0);
  total[0] = 0;
  for (int64_t t = 1; t <= n_tokens; ++t)
    for (int64_t s = 1; s <= valid; ++s) {
      const double both = total[size_t((t - 1) * width + s - 1)],
                   token = total[size_t((t - 1) * width + s)],
                   state = total[size_t(t * width + s - 1)];
      const int8_t way = both < token && both < state ? 0 : token < both && token < state ? 1 : 2;
      from[size_t(t * width + s)] = way;
      total[size_t(t * width + s)] = cost[size_t((t - 1) * valid + s - 1)] + (way == 0   ? both
                                                                              : way == 1 ? token
                                                                                         : state);
    }
  int64_t t = n_tokens, s = valid;
  begins[size_t(n_tokens)] = valid;
  while (t > 0 && s > 0) {
    begins[size_t(t - 1)] = s - 1;
    const int8_t way = from[size_t(t * width + s)];
    t -= way != 2;
    s -= way != 1;
  }
  return begins;
}

void spread(std::span<int64_t> bounds, int64_t least) {
  const auto n = int64_t(bounds.size()) - 1;
  if (n < 1) return;
  least = std::min(least, (bounds.back() - bounds.front()) / n);
  for (size_t i = bounds.size() - 1; i-- > 1;)
    bounds[i] = std::min(bounds[i], bounds[i + 1] - least);
  for (size_t i = 1; i + 1 < bounds.size(); ++i)
    bounds[i] = std::max(bounds[i], bounds[i - 1] + least);
}

}  // namespace omni
