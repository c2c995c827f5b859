#include "omni/video.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/cpu_level.h"
#include "io/json.h"
#include "video/colour.h"
#include "video/patchify.h"
#include "video/picture_kernels.h"

namespace omni {
namespace {

// tests/fixtures/smart_resize.json: h, w, min, max [, height, width] (none: an error)
TEST(SmartResize, EqualsTransformersOnATable) {
  const Json rows = Json::parse_file(OMNI_SOURCE_DIR "/tests/fixtures/smart_resize.json");
  ASSERT_GE(rows.size(), 200u);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto r = rows.at(i).integers(0, INT64_MAX);
    if (r.size() == 4)
      EXPECT_THROW(smart_resize(int(r[0]), int(r[1]), 28, r[2], r[3]), Error);
    else
      EXPECT_EQ(smart_resize(int(r[0]), int(r[1]), 28, r[2], r[3]),
                (PictureSize{int(r[4]), int(r[5])}))
          << r[0] << "x" << r[1];
  }
  EXPECT_THROW(smart_resize(0, 10, 28, 1, 1000), Error);
}

// Bicubic with antialias in double precision, rounded to 8 bits after each of the two passes.
std::vector<uint8_t> resize_reference(const std::vector<uint8_t>& in, int w, int h, int out_w,
                                      int out_h) {
  auto weights = [](int n_in, int n_out) {
    std::vector<std::vector<double>> all;
    for (int i = 0; i < n_out; ++i) {
      const double scale = double(n_in) / n_out, f = std::max(scale, 1.0),
                   centre = (i + 0.5) * scale;
      std::vector<double> row(static_cast<size_t>(n_in));
      double sum = 0;
      for (int j = 0; j < n_in; ++j) {
        const double x = std::abs((j + 0.5 - centre) / f), a = -0.5;
        sum += row[size_t(j)] = x < 1   ? ((a + 2) * x - (a + 3)) * x * x + 1
                                : x < 2 ? (((x - 5) * x + 8) * x - 4) * a
                                        : 0;
      }
      for (double& v : row) v /= sum;
      all.push_back(row);
    }
    return all;
  };
  const auto wx = weights(w, out_w), wy = weights(h, out_h);
  std::vector<double> middle(size_t(h * out_w));
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < out_w; ++x) {
      double sum = 0;
      for (int j = 0; j < w; ++j) sum += wx[size_t(x)][size_t(j)] * in[size_t(y * w + j)];
      middle[size_t(y * out_w + x)] = double(std::clamp(std::lround(sum), 0l, 255l));
    }
  std::vector<uint8_t> out(size_t(out_w * out_h));
  for (int y = 0; y < out_h; ++y)
    for (int x = 0; x < out_w; ++x) {
      double sum = 0;
      for (int j = 0; j < h; ++j) sum += wy[size_t(y)][size_t(j)] * middle[size_t(j * out_w + x)];
      out[size_t(y * out_w + x)] = uint8_t(std::clamp(std::lround(sum), 0l, 255l));
    }
  return out;
}

struct PictureLevel {
  CpuLevel level;
  const PictureKernels& kernels;
};
const PictureLevel kPictureLevels[] = {
    {CpuLevel::portable, kPortablePictureKernels},
#if defined(__x86_64__)
    {CpuLevel::avx2, kAvx2PictureKernels},
    {CpuLevel::avx512, kAvx512PictureKernels},
#elif defined(__aarch64__)
    {CpuLevel::neon, kNeonPictureKernels},
#endif
};

template <class T>
std::vector<T> random_samples(size_t n, int low, int high) {
  std::mt19937 g(4);
  std::vector<T> v(n);
  for (T& x : v) x = T(low + int(g() % uint32_t(high - low + 1)));
  return v;
}

// Whatever a level does with n outputs, what lies behind them stays as it was.
template <class T, class Run>
void expect_same_bits(size_t n, const Run& run) {
  std::vector<T> want(n + 64, T(77)), got = want;
  run(kPortablePictureKernels, want.data());
  for (size_t i = n; i < want.size(); ++i)
    EXPECT_EQ(want[i], T(77)) << "the reference wrote behind " << n;
  for (const PictureLevel& l : kPictureLevels) {
    if (!cpu_supports(l.level)) continue;
    std::fill(got.begin(), got.end(), T(77));
    run(l.kernels, got.data());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(T)), 0)
        << name_of(l.level) << ", " << n;
  }
}

TEST(PictureKernels, RowsAndColumnsHaveTheSameBitsAtEveryLevel) {
  const auto in = random_samples<uint8_t>(4096, 0, 255);
  const auto words = random_samples<int16_t>(4096, 0, 255),
             weight = random_samples<int16_t>(4096 * 3, -9000, 11000);
  const auto first = random_samples<int>(48, 0, 3000);
  for (int precision : {14, 17, 22}) {
    for (int n_taps : {16, 32, 48, 96})
      for (int n : {16, 48})
        expect_same_bits<uint8_t>(size_t(n), [&](const PictureKernels& k, uint8_t* out) {
          k.row(words.data(), first.data(), weight.data(), n_taps, precision, n, out);
        });
    for (int n_taps : {1, 2, 7, 12})
      for (int width : {1, 15, 16, 31, 32, 33, 48, 64, 127})
        expect_same_bits<uint8_t>(size_t(width), [&](const PictureKernels& k, uint8_t* out) {
          k.column(in.data(), 150, weight.data(), n_taps, precision, width, out);
        });
  }
}

TEST(PictureKernels, ComponentsHaveTheSameBitsAtEveryLevel) {
  for (int n : {1, 15, 16, 17, 100, 131})
    for (int step = 1; step <= 4; ++step)
      for (int offset = 0; offset < step; ++offset) {
        // no byte behind the last one
        const auto in = random_samples<uint8_t>(size_t(n * step), 0, 255);
        expect_same_bits<int16_t>(size_t(n), [&](const PictureKernels& k, int16_t* out) {
          k.component(in.data(), step, offset, n, out);
          for (int i = 0; i < n; ++i)
            ASSERT_EQ(out[i], in[size_t(i * step + offset)]) << step << " " << i;
        });
      }
}

TEST(PictureKernels, ColoursHaveTheSameBitsAtEveryLevel) {
  for (const ColourMatrix matrix : {ColourMatrix::bt601, ColourMatrix::bt709, ColourMatrix::bt2020})
    for (const bool full_range : {false, true})
      for (size_t n : {1, 31, 32, 1001}) {
        const Conversion c(matrix, full_range);
        const auto yuv = random_samples<uint8_t>(3 * n, 0, 255);
        expect_same_bits<uint8_t>(3 * n, [&](const PictureKernels& k, uint8_t* out) {
          k.to_rgb(c, {&yuv[0], &yuv[n], &yuv[2 * n]}, int64_t(n), {out, out + n, out + 2 * n});
        });
      }
}

TEST(PictureKernels, NormalisedSamplesHaveTheSameBitsAtEveryLevel) {
  const auto in = random_samples<uint8_t>(60 * 20, 0, 255);
  for (int width : {1, 7, 8, 14, 16, 33})
    expect_same_bits<float>(size_t(width * 14), [&](const PictureKernels& k, float* out) {
      k.normalise(in.data(), 60, width, 14, 0.0145984f, -1.7922626f, out);
      const volatile float product =
          float(in[60 + size_t(width) - 1]) * 0.0145984f;  // rounded, then added to
      ASSERT_EQ(out[2 * width - 1], product - 1.7922626f) << width;
    });
}

TEST(PlaneResizer, WithinOneLevelOfTheIdeal) {
  std::mt19937 g(1);
  for (auto [w, h, ow, oh] : {std::tuple{64, 48, 28, 28},
                              {31, 57, 56, 28},
                              {28, 28, 28, 28},
                              {1, 1, 28, 28},
                              {300, 5, 28, 56},
                              {13, 400, 28, 28}}) {
    std::vector<uint8_t> in(size_t(w * h));
    for (auto& v : in) v = uint8_t(g());
    std::vector<uint8_t> out(size_t(ow * oh));
    const int offset = 0;
    uint8_t* target = out.data();
    PlaneResizer(w, h, ow, oh, ResizeOrder::rows_first)
        .run({in.data(), w, 1, w, h}, 1, &offset, &target);
    const auto want = resize_reference(in, w, h, ow, oh);
    int far = 0, off = 0;
    for (size_t i = 0; i < out.size(); ++i)
      far += std::abs(out[i] - want[i]) > 1, off += out[i] != want[i];
    EXPECT_EQ(far, 0) << w << "x" << h;
    EXPECT_LT(off, int(out.size()) / 50);
  }
}

// One colour in every format, any width, height and stride, must come out as that colour; and what
// lies beyond a row's end must not matter.
TEST(FrameScaler, EveryFormatSizeAndStride) {
  const uint8_t r = 200, g = 60, b = 30;
  const double y = 0.299 * r + 0.587 * g + 0.114 * b;
  const auto luma = uint8_t(std::lround(16 + y * 219 / 255)),
             u = uint8_t(std::lround(128 + (b - y) / 1.772 * 224 / 255)),
             v = uint8_t(std::lround(128 + (r - y) / 1.402 * 224 / 255));
  for (PixelFormat f : {PixelFormat::nv12, PixelFormat::i420, PixelFormat::rgb, PixelFormat::bgr,
                        PixelFormat::rgba, PixelFormat::bgra, PixelFormat::gray8})
    for (int w : {1, 2, 17, 64})
      for (int h : {1, 3, 40})
        for (int pad : {0, 5}) {
          const int step = f == PixelFormat::rgb || f == PixelFormat::bgr     ? 3
                           : f == PixelFormat::rgba || f == PixelFormat::bgra ? 4
                                                                              : 1;
          const int cw = (w + 1) / 2, ch = (h + 1) / 2;
          std::vector<uint8_t> p0(size_t((w * step + pad) * h), 77),
              p1(size_t((2 * cw + pad) * ch), 77), p2 = p1;
          VideoFrame frame{f,
                           w,
                           h,
                           {p0.data(), p1.data(), p2.data()},
                           {w * step + pad, (f == PixelFormat::nv12 ? 2 : 1) * cw + pad, cw + pad}};
          for (int i = 0; i < h; ++i)
            for (int j = 0; j < w; ++j) {
              uint8_t* q = &p0[size_t(i * (w * step + pad) + j * step)];
              const bool bgr = f == PixelFormat::bgr || f == PixelFormat::bgra;
              if (step >= 3)
                q[0] = bgr ? b : r, q[1] = g, q[2] = bgr ? r : b;
              else
                q[0] = f == PixelFormat::gray8 ? 99 : luma;
            }
          for (int i = 0; i < ch; ++i)
            for (int j = 0; j < cw; ++j) {
              if (f == PixelFormat::nv12)
                p1[size_t(i * (2 * cw + pad) + 2 * j)] = u,
                                                   p1[size_t(i * (2 * cw + pad) + 2 * j + 1)] = v;
              else
                p1[size_t(i * (cw + pad) + j)] = u, p2[size_t(i * (cw + pad) + j)] = v;
            }
          std::vector<uint8_t> out(3 * 28 * 56);
          FrameScaler().run(frame, {28, 56}, out.data());
          const uint8_t want[3] = {f == PixelFormat::gray8 ? uint8_t(99) : r,
                                   f == PixelFormat::gray8 ? uint8_t(99) : g,
                                   f == PixelFormat::gray8 ? uint8_t(99) : b};
          for (size_t i = 0; i < out.size(); ++i)
            ASSERT_NEAR(out[i], want[i / (28 * 56)], 2)
                << int(f) << " " << w << "x" << h << "+" << pad << " at " << i;
        }
}

// Of ten bits the upper eight.
TEST(FrameScaler, P010IsNv12WithMoreBits) {
  std::mt19937 random(5);
  constexpr int w = 37, h = 21, cw = 19, ch = 11;
  std::vector<uint8_t> y(w * h), uv(2 * cw * ch), wide_y, wide_uv;
  const auto widen = [&](std::vector<uint8_t>& narrow, std::vector<uint8_t>& wide) {
    for (uint8_t& v : narrow)
      v = uint8_t(random()), wide.push_back(uint8_t(random() & 0xc0)), wide.push_back(v);
  };
  widen(y, wide_y), widen(uv, wide_uv);
  std::vector<uint8_t> a(3 * 28 * 56), b(a);
  FrameScaler().run({PixelFormat::nv12, w, h, {y.data(), uv.data(), nullptr}, {w, 2 * cw, 0}},
                    {28, 56}, a.data());
  FrameScaler().run(
      {PixelFormat::p010, w, h, {wide_y.data(), wide_uv.data(), nullptr}, {2 * w, 4 * cw, 0}},
      {28, 56}, b.data());
  EXPECT_EQ(a, b);
}

TEST(FrameScaler, ColourMatrixAndRange) {
  std::vector<uint8_t> y(16, 150), u(4, 90), v(4, 180);
  auto red = [&](ColourMatrix m, bool full) {
    std::vector<uint8_t> out(3 * 28 * 28);
    FrameScaler().run({PixelFormat::i420, 4, 4, {y.data(), u.data(), v.data()}, {4, 2, 2}, m, full},
                      {28, 28}, out.data());
    return int(out[0]);
  };
  EXPECT_NEAR(red(ColourMatrix::bt601, true), std::lround(150 + 1.402 * 52), 1);
  EXPECT_NEAR(red(ColourMatrix::bt601, false),
              std::lround(134 * 255 / 219.0 + 1.402 * 52 * 255 / 224), 1);
  EXPECT_NEAR(red(ColourMatrix::bt709, true), std::lround(150 + 1.5748 * 52), 1);
  EXPECT_NEAR(red(ColourMatrix::bt2020, true), std::lround(150 + 1.4746 * 52), 1);
}

TEST(Patchify, OrderOfPatches) {
  const PictureSize size{56, 84};
  std::vector<uint8_t> a(size_t(3 * 56 * 84)), b = a;
  for (size_t i = 0; i < a.size(); ++i) a[i] = uint8_t(i * 7), b[i] = uint8_t(i * 13 + 5);
  const PatchLayout layout;
  std::vector<float> out(size_t(4 * 6 * 1176));
  patchify(layout, size, a.data(), b.data(), out.data());
  // Row 5 = block (0, 1), patch (0, 1) of it: patch row 0, column 3. Channel 2, second picture,
  // pixel (4, 9).
  const size_t at = 5 * 1176 + (2 * 2 + 1) * 196 + 4 * 14 + 9,
               pixel = 2 * 56 * 84 + 4 * 84 + 3 * 14 + 9;
  EXPECT_NEAR(out[at], (b[pixel] / 255.0 - layout.mean[2]) / layout.std[2], 1e-6);
}

TEST(FrameSampler, TwoFramesASecondFromAnyRate) {
  for (double fps : {25.0, 30000.0 / 1001, 24.0, 50.0, 60.0, 2.0, 7.0}) {
    FrameSampler s({2, 1});
    int picked = 0;
    const int n = int(fps * 100);
    for (int i = 0; i < n; ++i) picked += s.wants(Nanoseconds(i / fps * 1e9) + 12345);
    EXPECT_NEAR(picked, 200, 1) << fps;
  }
  FrameSampler slow({2, 1});
  int picked = 0;
  for (int i = 0; i < 10; ++i) picked += slow.wants(i * kSecond);
  EXPECT_EQ(picked, 10);  // slower than asked: every frame once
  std::mt19937 g(1);
  FrameSampler variable({5, 1});
  picked = 0;
  for (Nanoseconds t = 0; t < 100 * kSecond; t += Nanoseconds(g() % 40000000))
    picked += variable.wants(t);
  EXPECT_NEAR(picked, 500, 3);
}

// The indices of arange(0, total, total / frames), whatever the rate.
TEST(EvenSampler, PicksAreSpreadOverTheWhole) {
  for (const auto& [frames, total] :
       {std::pair{8, 241}, {8, 8}, {2, 100}, {4, 20}, {6, 100}, {768, 100000}, {8, 3}})
    for (const Rational rate : {Rational{25, 1}, {30000, 1001}, {1, 1}, {60, 1}}) {
      EvenSampler s(frames, total, rate, FrameSpread::arange);
      for (int pass = 0; pass < 2; ++pass, s.reset()) {
        std::vector<int> picked, wanted;
        for (int k = 0; k < frames; ++k) {
          const int index = int(int64_t(k) * total / frames);
          if (wanted.empty() || wanted.back() != index) wanted.push_back(index);
        }
        for (int i = 0; i < total; ++i)
          if (s.wants(5 * kSecond + Nanoseconds(i * 1e9 / rate.value()))) picked.push_back(i);
        EXPECT_EQ(picked, wanted) << frames << " of " << total << " at " << rate.value();
      }
    }
}

// round(frames / 2) · 2 of Python: 5 become 4, 7 become 8.
TEST(EvenSampler, PicksWholePairs) {
  for (const auto& [frames, picks] :
       {std::pair{1, 2}, {2, 2}, {3, 4}, {5, 4}, {6, 6}, {7, 8}, {9, 8}}) {
    EvenSampler s(frames, 100, {1, 1}, FrameSpread::arange);
    EXPECT_EQ(s.frames(), picks);
    int n = 0;
    for (int i = 0; i < 100; ++i) n += s.wants(i * kSecond);
    EXPECT_EQ(n, picks) << frames;
    EXPECT_EQ(EvenSampler(frames, 100, {1, 1}, FrameSpread::linspace).frames(), frames);
  }
}

// What Qwen3VLVideoProcessor.sample_frames gives, each once.
TEST(EvenSampler, PicksTheFirstAndTheLast) {
  struct Case {
    int frames, total;
    std::vector<int> picks;
  };
  const Case cases[] = {
      {8, 241, {0, 34, 69, 103, 137, 171, 206, 240}},
      {8, 8, {0, 1, 2, 3, 4, 5, 6, 7}},
      {1, 100, {0}},
      {5, 20, {0, 5, 10, 14, 19}},
      {7, 100, {0, 16, 33, 50, 66, 82, 99}},
      {3, 6, {0, 2, 5}},
      {3, 4, {0, 2, 3}},
      {5, 43, {0, 10, 21, 32, 42}},
      {8, 3, {0, 1, 2}},
      {4, 1, {0}},
  };
  for (const Case& c : cases)
    for (const Rational rate : {Rational{25, 1}, {30000, 1001}, {1, 1}, {60, 1}}) {
      EvenSampler s(c.frames, c.total, rate, FrameSpread::linspace);
      for (int pass = 0; pass < 2; ++pass, s.reset()) {
        std::vector<int> picked;
        for (int i = 0; i < c.total; ++i)
          if (s.wants(5 * kSecond + Nanoseconds(i * 1e9 / rate.value()))) picked.push_back(i);
        EXPECT_EQ(picked, c.picks) << c.frames << " of " << c.total << " at " << rate.value();
      }
    }
}

// Stamps that jump to the time of day: the next due time is found at once, and is the same that
// counting finds.
TEST(FrameSampler, JumpsCostNothing) {
  FrameSampler far({1000, 1});
  for (Nanoseconds t : {Nanoseconds(0), 1'760'000'000 * kSecond, 3'520'000'000 * kSecond}) {
    EXPECT_TRUE(far.wants(t));
    EXPECT_FALSE(far.wants(t));
    EXPECT_TRUE(far.wants(t + kSecond / 1000));
  }
  std::mt19937_64 g(7);
  for (const Rational rate : {Rational{2, 1}, Rational{30000, 1001}, Rational{1, 7}}) {
    FrameSampler s(rate);
    int64_t next = 0;
    for (Nanoseconds t = 0; t < 1000 * kSecond; t += Nanoseconds(g() % 300'000'000)) {
      const auto due = [&](int64_t i) {
        return Nanoseconds(__int128(i) * kSecond * rate.den / rate.num);
      };
      const bool wanted = due(next) <= t + 1'000'000;
      while (due(next) <= t + 1'000'000) ++next;
      ASSERT_EQ(s.wants(t), wanted) << t;
    }
  }
}

}  // namespace
}  // namespace omni
