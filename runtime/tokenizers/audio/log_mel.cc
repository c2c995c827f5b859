#include "audio/log_mel.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "omni/error.h"

namespace omni {

namespace {

constexpr int kHalf = LogMel::kFftSize / 2;
constexpr size_t kTrimAt = 16384;

// Slaney's mel scale: linear to 1 kHz, logarithmic above.
double mel_of(double hz) { return hz < 1000 ? 3 * hz / 200 : 15 + std::log(hz / 1000) * 27 / std::log(6.4); }
double hz_of(double mel) { return mel < 15 ? 200 * mel / 3 : 1000 * std::exp(std::log(6.4) / 27 * (mel - 15)); }

}  // namespace

LogMel::LogMel(int n_mels, Frames frames) : n_mels_(n_mels), fft_(kFftSize), window_(kFftSize), re_(kFftSize), im_(kFftSize), elsewhere_(std::move(frames)) {
  for (int i = 0; i < kFftSize; ++i) window_[size_t(i)] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / kFftSize);  // periodic Hann
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
      throw Error(ErrorCode::corrupt_file, "sample " + std::to_string(n_samples_ + int64_t(i)) + " of the sound is not a finite number");
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
  frames_until((n_samples_ + kHop - 1) / kHop, out);
  reset();
}

float LogMel::sample(int64_t i) const {
  if (i < 0) i = -i;
  return i < n_samples_ ? samples_[size_t(i - first_)] : 0.f;
}

// Two real frames ride in one complex transform: one as its real part, one as its imaginary part.
void LogMel::frames_until(int64_t end, std::vector<float>& out) {
  if (elsewhere_ && next_frame_ < end) {
    std::vector<float> samples;
    for (int64_t i = next_frame_ * kHop - kHalf; i < (end - 1) * kHop + kHalf; ++i) samples.push_back(sample(i));
    elsewhere_(samples, end - next_frame_, out);
    next_frame_ = end;
  }
  while (next_frame_ < end) {
    const bool two = next_frame_ + 1 < end;
    const int64_t begin = next_frame_ * kHop - kHalf;
    for (int i = 0; i < kFftSize; ++i) {
      re_[size_t(i)] = window_[size_t(i)] * sample(begin + i);
      im_[size_t(i)] = two ? window_[size_t(i)] * sample(begin + kHop + i) : 0;
    }
    fft_.forward(re_.data(), im_.data());
    double power[2][kHalf + 1];
    for (int k = 0; k <= kHalf; ++k) {
      const size_t a = size_t(k), b = size_t((kFftSize - k) % kFftSize);
      const double er = (re_[a] + re_[b]) / 2, ei = (im_[a] - im_[b]) / 2, orr = (im_[a] + im_[b]) / 2, oi = (re_[b] - re_[a]) / 2;
      power[0][k] = er * er + ei * ei;
      power[1][k] = orr * orr + oi * oi;
    }
    for (int f = 0; f <= int(two); ++f) {
      for (const Band& filter : bands_) {
        double sum = 0;
        for (size_t j = 0; j < filter.weight.size(); ++j) sum += filter.weight[j] * power[f][size_t(filter.first) + j];
        out.push_back(std::log10(float(std::max(sum, 1e-10))));
      }
    }
    next_frame_ += 1 + int(two);
  }
}

void LogMel::normalise(std::span<float> frames, float highest) {
  for (float& x : frames) x = (std::max(x, highest - 8.f) + 4.f) / 4.f;
}

}  // namespace omni
