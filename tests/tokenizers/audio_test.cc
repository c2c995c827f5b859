#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "audio/fft.h"
#include "audio/log_mel.h"
#include "omni/error.h"

namespace omni {
namespace {

TEST(Fft, EqualsTheDefinition) {
  constexpr int kLanes = Fft::kLanes;
  for (int n : {1, 2, 3, 4, 5, 12, 25, 60, 400}) {
    std::vector<double> re(static_cast<size_t>(n * kLanes)), im(re);
    for (int i = 0; i < n * kLanes; ++i)
      re[size_t(i)] = std::sin(i * 1.7), im[size_t(i)] = std::cos(i * 0.3) - 1;
    auto a = re, b = im;
    Fft(n).forward(a.data(), b.data());
    for (int k = 0; k < n; ++k)
      for (int lane = 0; lane < kLanes; ++lane) {
        double sr = 0, si = 0;
        for (int j = 0; j < n; ++j) {
          const double w = -2 * std::numbers::pi * j * k / n;
          const size_t at = size_t(j * kLanes + lane);
          sr += re[at] * std::cos(w) - im[at] * std::sin(w);
          si += re[at] * std::sin(w) + im[at] * std::cos(w);
        }
        EXPECT_NEAR(a[size_t(k * kLanes + lane)], sr, 1e-9) << n;
        EXPECT_NEAR(b[size_t(k * kLanes + lane)], si, 1e-9) << n;
      }
  }
  EXPECT_THROW(Fft(7), Error);
}

std::vector<float> noise(size_t n) {
  std::mt19937 g(1);
  std::uniform_real_distribution<float> d(-1, 1);
  std::vector<float> v(n);
  for (float& x : v) x = d(g);
  return v;
}

TEST(LogMel, AnySplitOfTheSamplesGivesTheSameFrames) {
  const auto x = noise(20077);
  std::vector<float> whole;
  LogMel mel(128);
  mel.push(x, whole);
  mel.finish(whole);
  EXPECT_EQ(whole.size(), size_t((20077 + 159) / 160 * 128));
  for (size_t piece : {1, 159, 160, 161, 4000}) {
    std::vector<float> out;
    for (size_t at = 0; at < x.size(); at += piece)
      mel.push(std::span(x).subspan(at, std::min(piece, x.size() - at)), out);
    mel.finish(out);
    EXPECT_EQ(out, whole) << piece;
  }
}

TEST(LogMel, EqualsTheDefinition) {
  const auto x = noise(160 * 20);
  LogMel mel(80);
  std::vector<float> out;
  mel.push(x, out);
  mel.finish(out);
  ASSERT_EQ(out.size(), size_t(20 * 80));
  constexpr int n = LogMel::kFftSize;
  for (int f = 0; f < 20; ++f) {
    std::vector<double> power;
    for (int k = 0; k <= n / 2; ++k) {
      double re = 0, im = 0;
      for (int i = 0; i < n; ++i) {
        const int at = std::abs(f * 160 - n / 2 + i);
        const double v = at < int(x.size()) ? x[size_t(at)] * mel.window()[size_t(i)] : 0;
        re += v * std::cos(2 * std::numbers::pi * k * i / n);
        im -= v * std::sin(2 * std::numbers::pi * k * i / n);
      }
      power.push_back(re * re + im * im);
    }
    for (size_t m = 0; m < 80; ++m) {
      const LogMel::Band& band = mel.bands()[m];
      double sum = 0;
      for (size_t j = 0; j < band.weight.size(); ++j)
        sum += band.weight[j] * power[size_t(band.first) + j];
      EXPECT_NEAR(out[size_t(f) * 80 + m], std::log10(std::max(sum, 1e-10)), 1e-6) << f << " " << m;
    }
  }
}

// As many frames as are whole, of which the last see what is before the end once more.
TEST(LogMel, ATailMayReflect) {
  for (const size_t n : {160, 201, 319, 320, 4000, 20077, 20159}) {
    auto x = noise(n);
    std::vector<float> tail, mirrored;
    LogMel reflects(80, {}, LogMel::Tail::reflects), zeros(80);
    reflects.push(x, tail);
    reflects.finish(tail);
    EXPECT_EQ(tail.size(), n / 160 * 80) << n;
    for (size_t i = 2; i < 42; ++i) x.push_back(x[n - i]);
    if (n < 201) continue;  // mirrored at the head, too
    zeros.push(x, mirrored);
    zeros.finish(mirrored);
    mirrored.resize(tail.size());
    EXPECT_EQ(tail, mirrored) << n;
  }
  LogMel mel(80, {}, LogMel::Tail::reflects);
  std::vector<float> out;
  mel.push(noise(159), out);
  mel.finish(out);
  EXPECT_TRUE(out.empty());
}

TEST(LogMel, LooksTwelveAndAHalfMillisecondsAhead) {
  const auto x = noise(1000);
  LogMel mel(80);
  std::vector<float> out;
  mel.push(std::span(x).first(200), out);
  EXPECT_EQ(out.size(), 0u);  // the first frame mirrors sample 200
  mel.push(std::span(x).subspan(200, 1), out);
  EXPECT_EQ(out.size(), 80u);
  mel.push(std::span(x).subspan(201, 159), out);
  EXPECT_EQ(out.size(), 160u);
}

TEST(LogMel, SilenceAndShortClips) {
  LogMel mel(128);
  std::vector<float> out;
  const std::vector<float> zeros(3200);
  mel.push(zeros, out);
  mel.finish(out);
  LogMel::normalise(out, -10);
  for (float v : out) EXPECT_FLOAT_EQ(v, -1.5f);
  for (size_t n : {0, 1, 100}) {
    out.clear();
    mel.push(std::vector<float>(n, 0.1f), out);
    mel.finish(out);
    EXPECT_EQ(out.size(), (n + 159) / 160 * 128);
  }
}

TEST(LogMel, RefusesWhatIsNoNumber) {
  LogMel mel(128);
  std::vector<float> out;
  EXPECT_THROW(mel.push(std::vector<float>{0, NAN}, out), Error);
  EXPECT_THROW(mel.push(std::vector<float>{INFINITY}, out), Error);
}

}  // namespace
}  // namespace omni
