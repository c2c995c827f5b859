#include "audio/fft.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "omni/error.h"

namespace omni {

namespace {

struct Complex {
  double re, im;
};
inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
inline Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
inline Complex operator*(double s, Complex a) { return {s * a.re, s * a.im}; }
inline Complex times_minus_i(Complex a) { return {a.im, -a.re}; }

// Transforms of 2, 3, 4 and 5 values, in place.
inline void transform(Complex (&x)[2]) {
  const Complex a = x[0], b = x[1];
  x[0] = a + b;
  x[1] = a - b;
}

inline void transform(Complex (&x)[3]) {
  constexpr double kSin = 0.86602540378443864676;  // sin 2π/3
  const Complex sum = x[1] + x[2], side = times_minus_i(kSin * (x[1] - x[2])),
                middle = x[0] - 0.5 * sum;
  x[0] = x[0] + sum;
  x[1] = middle + side;
  x[2] = middle - side;
}

inline void transform(Complex (&x)[4]) {
  const Complex even = x[0] + x[2], odd = x[1] + x[3], a = x[0] - x[2],
                b = times_minus_i(x[1] - x[3]);
  x[0] = even + odd;
  x[1] = a + b;
  x[2] = even - odd;
  x[3] = a - b;
}

inline void transform(Complex (&x)[5]) {
  constexpr double kCos1 = 0.30901699437494742410, kSin1 = 0.95105651629515357212;   // of 2π/5
  constexpr double kCos2 = -0.80901699437494742410, kSin2 = 0.58778525229247312917;  // of 4π/5
  const Complex sum1 = x[1] + x[4], sum2 = x[2] + x[3], difference1 = x[1] - x[4],
                difference2 = x[2] - x[3];
  const Complex middle1 = x[0] + kCos1 * sum1 + kCos2 * sum2,
                middle2 = x[0] + kCos2 * sum1 + kCos1 * sum2;
  const Complex side1 = times_minus_i(kSin1 * difference1 + kSin2 * difference2);
  const Complex side2 = times_minus_i(kSin2 * difference1 - kSin1 * difference2);
  x[0] = x[0] + sum1 + sum2;
  x[1] = middle1 + side1;
  x[2] = middle2 + side2;
  x[3] = middle2 - side2;
  x[4] = middle1 - side1;
}

}  // namespace

Fft::Fft(int n) : n_(n), re_(size_t(n) * kLanes), im_(size_t(n) * kLanes) {
  const double tau = 2 * std::numbers::pi;
  int left = n, stride = kLanes;
  for (int radix : {5, 3, 4, 2}) {
    while (left % radix == 0 && left > 1) {
      Stage s{radix, left, stride, {}, {}};
      for (int p = 0; p < left / radix; ++p)
        for (int k = 0; k < radix; ++k) {
          s.cos.push_back(std::cos(tau * p * k / left));
          s.sin.push_back(-std::sin(tau * p * k / left));
        }
      stages_.push_back(std::move(s));
      left /= radix, stride *= radix;
    }
  }
  if (left != 1)
    throw Error(ErrorCode::unsupported, "a Fourier transform of length " + std::to_string(n));
}

// One stage: m = n / R groups of R transforms of length R, turned by the stage's twiddles.
template <int R>
void Fft::run(const Stage& s, const double* xr, const double* xi, double* yr, double* yi) {
  const int stride = s.stride, step = s.n / R * stride;
  for (int p = 0; p < s.n / R;
       ++p, xr += stride, xi += stride, yr += R * stride, yi += R * stride) {
    const double *cos = &s.cos[size_t(p * R)], *sin = &s.sin[size_t(p * R)];
#pragma omp simd
    for (int q = 0; q < stride; ++q) {
      Complex x[R];
      for (int j = 0; j < R; ++j) x[j] = {xr[q + step * j], xi[q + step * j]};
      transform(x);
      yr[q] = x[0].re;
      yi[q] = x[0].im;
      for (int k = 1; k < R; ++k) {
        yr[q + stride * k] = x[k].re * cos[k] - x[k].im * sin[k];
        yi[q + stride * k] = x[k].re * sin[k] + x[k].im * cos[k];
      }
    }
  }
}

void Fft::forward(double* re, double* im) {
  double *xr = re, *xi = im, *yr = re_.data(), *yi = im_.data();
  for (const Stage& s : stages_) {
    switch (s.radix) {
      case 2:
        run<2>(s, xr, xi, yr, yi);
        break;
      case 3:
        run<3>(s, xr, xi, yr, yi);
        break;
      case 4:
        run<4>(s, xr, xi, yr, yi);
        break;
      default:
        run<5>(s, xr, xi, yr, yi);
        break;
    }
    std::swap(xr, yr);
    std::swap(xi, yi);
  }
  if (xr == re) return;
  std::copy(re_.begin(), re_.end(), re);
  std::copy(im_.begin(), im_.end(), im);
}

}  // namespace omni
