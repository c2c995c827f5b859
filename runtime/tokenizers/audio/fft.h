// Discrete Fourier transform of any length whose prime factors are 2, 3 and 5: Stockham's
// self-sorting form in double precision, of a few sequences side by side so that every step is one
// of vectors.
#pragma once

#include <vector>

namespace omni {

class Fft {
 public:
  static constexpr int kLanes = 4;  // sequences side by side

  explicit Fft(int n);
  int size() const { return n_; }
  // X[k] = Σ x[j] e^(−2πi jk/n) of each sequence, in place. re, im: [n, kLanes]. One thread at a
  // time.
  void forward(double* re, double* im);

 private:
  struct Stage {
    int radix, n, stride;          // n = length of the transforms of this stage
    std::vector<double> cos, sin;  // e^(−2πi pk/n) for p < n/radix, k < radix
  };
  template <int R>
  static void run(const Stage& stage, const double* xr, const double* xi, double* yr, double* yi);

  int n_;
  std::vector<Stage> stages_;
  std::vector<double> re_, im_;
};

}  // namespace omni
