#include "audio/fft.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "omni/error.h"

namespace omni {

Fft::Fft(int n) : n_(n), re_(size_t(n)), im_(size_t(n)) {
  const double tau = 2 * std::numbers::pi;
  int left = n, stride = 1;
  for (int radix : {5, 3, 4, 2}) {
    while (left % radix == 0 && left > 1) {
      Stage s{radix, left, stride, {}, {}, {}, {}};
      for (int p = 0; p < left / radix; ++p)
        for (int k = 0; k < radix; ++k) s.cos.push_back(std::cos(tau * p * k / left)), s.sin.push_back(-std::sin(tau * p * k / left));
      for (int j = 0; j < radix; ++j)
        for (int k = 0; k < radix; ++k) s.dft_cos.push_back(std::cos(tau * j * k / radix)), s.dft_sin.push_back(-std::sin(tau * j * k / radix));
      stages_.push_back(std::move(s));
      left /= radix, stride *= radix;
    }
  }
  if (left != 1) throw Error(ErrorCode::unsupported, "a Fourier transform of length " + std::to_string(n));
}

void Fft::forward(double* re, double* im) {
  double *xr = re, *xi = im, *yr = re_.data(), *yi = im_.data();
  for (const Stage& s : stages_) {
    const int m = s.n / s.radix, r = s.radix;
    for (int p = 0; p < m; ++p) {
      for (int k = 0; k < r; ++k) {
        const double wr = s.cos[size_t(p * r + k)], wi = s.sin[size_t(p * r + k)];
        double* outr = yr + s.stride * (r * p + k);
        double* outi = yi + s.stride * (r * p + k);
        for (int q = 0; q < s.stride; ++q) {
          double sr = 0, si = 0;
          for (int j = 0; j < r; ++j) {
            const double ar = xr[q + s.stride * (p + m * j)], ai = xi[q + s.stride * (p + m * j)];
            const double cr = s.dft_cos[size_t(j * r + k)], ci = s.dft_sin[size_t(j * r + k)];
            sr += ar * cr - ai * ci;
            si += ar * ci + ai * cr;
          }
          outr[q] = sr * wr - si * wi;
          outi[q] = sr * wi + si * wr;
        }
      }
    }
    std::swap(xr, yr);
    std::swap(xi, yi);
  }
  if (xr != re)
    for (int i = 0; i < n_; ++i) re[i] = xr[i], im[i] = xi[i];
}

}  // namespace omni
