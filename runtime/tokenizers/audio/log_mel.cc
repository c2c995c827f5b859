#include "audio/log_mel.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "omni/error.h"

namespace omni {

namespace {

constexpr int kHalf = LogMel::kFftSize / 2, kTogether = 2 * Fft::kLanes;
constexpr size_t kTrimAt = 16384;

// Slaney's mel scale: linear to 1 kHz, logarithmic above.
double mel_of(double hz) {
  return hz < 1000 ? 3 * hz / 200 : 15 + std::log(hz / 1000) * 27 / std::log(6.4);
}
double hz_of(double mel) {
  return mel < 15 ? 200 * mel / 3 : 1000 * std::exp(std::log(6.4) / 27 * (mel - 15));
}

}  // namespace

LogMel::LogMel(int n_mels, Frames frames, Tail tail)
    : n_mels_(n_mels),
      fft_(kFftSize),
      window_(kFftSize),
      re_(kFftSize * Fft::kLanes),
      im_(re_),
      elsewhere_(std::move(frames)),
      tail_(tail) {
  // periodic Hann
  for (int i = 0; i < kFftSize; ++i)
    window_[size_t(i)] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / kFftSize);
  const double top = mel_of(kSampleRate / 2.0);
  auto edge = [&](int i) { return hz_of(top * i / (n_mels + 1)); };
  for (int m = 0; m < n_mels; ++m) {
    const double low = edge(m), middle = edge(m + 1), high = edge(m + 2), norm = 2 / (high - low);
    Band f{-1, {}};
    for (int k = 0; k <= kHalf; ++k) {
      const double hz = double(k) * kSampleRate / kFftSize;
      const double w = std::min((hz - low) / (middle - low), (high - hz) / (high - middle));
      if (w <= 0) continue;
      if (f.first < 0) f.first = k;
      f.weight.push_back(double(float(w * norm)));
    }
    f.first = std::max(f.first, 0);
    bands_.push_back(std::move(f));
  }
}

void LogMel::reset() {
  samples_.clear();
  first_ = n_samples_ = next_frame_ = 0;
}

void LogMel::push(std::span<const float> samples, std::vector<float>& out) {
  for (size_t i = 0; i < samples.size(); ++i)
    if (!std::isfinite(samples[i]))
      throw Error(ErrorCode::corrupt_file, "sample " + std::to_string(n_samples_ + int64_t(i)) +
                                               " of the sound is not a finite number");
  samples_.insert(samples_.end(), samples.begin(), samples.end());
  n_samples_ += int64_t(samples.size());
  // The first frame mirrors samples 1 … 200.
  const int64_t ready = n_samples_ <= kHalf ? 0 : (n_samples_ - kHalf) / kHop + 1;
  frames_until(ready, out);
  const int64_t needed = std::max<int64_t>(0, next_frame_ * kHop - kHalf);
  if (next_frame_ > 1 && needed - first_ > int64_t(kTrimAt)) {
    samples_.erase(samples_.begin(), samples_.begin() + (needed - first_));
    first_ = needed;
  }
}

void LogMel::finish(std::vector<float>& out) {
  const int64_t begun = tail_ == Tail::zeros ? kHop - 1 : 0;  // of a frame, that counts
  frames_until((n_samples_ + begun) / kHop, out);
  reset();
}

float LogMel::sample(int64_t i) const {
  if (i < 0) i = -i;
  if (i >= n_samples_ && tail_ == Tail::reflects) i = 2 * (n_samples_ - 1) - i;
  return i < n_samples_ ? samples_[size_t(i - first_)] : 0.f;
}

void LogMel::frames_until(int64_t end, std::vector<float>& out) {
  const int64_t n = end - next_frame_;
  if (n <= 0) return;
  std::vector<float> samples(size_t((n - 1) * kHop + kFftSize));
  for (size_t i = 0; i < samples.size(); ++i)
    samples[i] = sample(next_frame_ * kHop - kHalf + int64_t(i));
  next_frame_ = end;
  if (elsewhere_) return elsewhere_(samples, n, out);
  out.resize(out.size() + size_t(n * n_mels_));
  float* to = out.data() + out.size() - n * n_mels_;
  for (int64_t f = 0; f < n; f += kTogether, to += kTogether * n_mels_)
    some_frames(samples.data() + f * kHop, int(std::min<int64_t>(kTogether, n - f)), to);
}

// Two real frames ride in each of the complex transforms that are done together: frame f is the
// real part of transform f, or the imaginary part of transform f − kLanes.
void LogMel::some_frames(const float* samples, int n, float* out) {
  constexpr int kLanes = Fft::kLanes;
  std::fill(re_.begin(), re_.end(), 0);
  std::fill(im_.begin(), im_.end(), 0);
  for (int f = 0; f < n; ++f) {
    double* to = f < kLanes ? &re_[size_t(f)] : &im_[size_t(f - kLanes)];
    for (int i = 0; i < kFftSize; ++i) to[i * kLanes] = window_[size_t(i)] * samples[f * kHop + i];
  }
  fft_.forward(re_.data(), im_.data());
  double power[kHalf + 1][kTogether];
  for (int k = 0; k <= kHalf; ++k) {
    const size_t a = size_t(k) * kLanes, b = size_t((kFftSize - k) % kFftSize) * kLanes;
#pragma omp simd
    for (int l = 0; l < kLanes; ++l) {
      const double ar = re_[a + l], ai = im_[a + l], br = re_[b + l], bi = im_[b + l];
      power[k][l] = ((ar + br) * (ar + br) + (ai - bi) * (ai - bi)) / 4;
      power[k][kLanes + l] = ((ai + bi) * (ai + bi) + (br - ar) * (br - ar)) / 4;
    }
  }
  for (const Band& band : bands_) {
    double sum[kTogether] = {};
    for (size_t j = 0; j < band.weight.size(); ++j)
      for (int f = 0; f < kTogether; ++f)
        sum[f] += band.weight[j] * power[size_t(band.first) + j][f];
    for (int f = 0; f < n; ++f) out[f * n_mels_] = std::log10(float(std::max(sum[f], 1e-10)));
    ++out;
  }
}

void LogMel::normalise(std::span<float> frames, float highest) {
  for (float& x : frames) x = (std::max(x, highest - 8.f) + 4.f) / 4.f;
}

}  // namespace omni
