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

// One stage: m = n / R groups of R transforms of length R, turned by the stage's twiddles.
template <int R>
void Fft::run(const Stage& s, const double* xr, const double* xi, double* yr, double* yi) {
  const int m = s.n / R, stride = s.stride;
  for (int p = 0; p < m; ++p)
    for (int k = 0; k < R; ++k) {
      const double wr = s.cos[size_t(p * R + k)], wi = s.sin[size_t(p * R + k)];
      double cr[R], ci[R];  // both factors at once
      for (int j = 0; j < R; ++j) {
        const double c = s.dft_cos[size_t(j * R + k)], d = s.dft_sin[size_t(j * R + k)];
        cr[j] = c * wr - d * wi;
        ci[j] = c * wi + d * wr;
      }
      const double *inr = xr + stride * p, *ini = xi + stride * p;
      double *outr = yr + stride * (R * p + k), *outi = yi + stride * (R * p + k);
#pragma omp simd
      for (int q = 0; q < stride; ++q) {
        double sr = 0, si = 0;
        for (int j = 0; j < R; ++j) {
          const double ar = inr[q + stride * m * j], ai = ini[q + stride * m * j];
          sr += ar * cr[j] - ai * ci[j];
          si += ar * ci[j] + ai * cr[j];
        }
        outr[q] = sr;
        outi[q] = si;
      }
    }
}

void Fft::forward(double* re, double* im) {
  double *xr = re, *xi = im, *yr = re_.data(), *yi = im_.data();
  for (const Stage& s : stages_) {
    switch (s.radix) {
      case 2: run<2>(s, xr, xi, yr, yi); break;
      case 3: run<3>(s, xr, xi, yr, yi); break;
      case 4: run<4>(s, xr, xi, yr, yi); break;
      default: run<5>(s, xr, xi, yr, yi); break;
    }
    std::swap(xr, yr);
    std::swap(xi, yi);
  }
  if (xr != re)
    for (int i = 0; i < n_; ++i) re[i] = xr[i], im[i] = xi[i];
}

}  // namespace omni
