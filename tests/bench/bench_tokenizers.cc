// bench_tokenizers: one thread, CPU time. 1080p frames → normalised patches of 448x448 and 252x140;
// log-mel of a second of sound.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <random>
#include <vector>

#include "audio/log_mel.h"
#include "video/colour.h"
#include "video/patchify.h"

using namespace omni;

namespace {

constexpr int kFrames = 2;  // a pair makes the patches

double cpu_ms() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return double(t.tv_sec) * 1e3 + double(t.tv_nsec) / 1e6;
}

template <class Body>
void report(const char* name, int per, const Body& body) {
  std::vector<double> times;
  for (int i = 0; i < 31; ++i) {
    const double begin = cpu_ms();
    body();
    times.push_back((cpu_ms() - begin) / per);
  }
  std::sort(times.begin(), times.end());
  std::printf("%-44s %8.3f / %.3f / %.3f ms (min/med/max)\n", name, times.front(),
              times[times.size() / 2], times.back());
}

}  // namespace

int main() {
  std::mt19937 g(1);
  constexpr int kWidth = 1920, kHeight = 1080;
  std::vector<uint8_t> bytes(4 * kWidth * kHeight);
  for (auto& v : bytes) v = uint8_t(g());
  const uint8_t* data = bytes.data();
  const uint8_t* chroma = data + kWidth * kHeight;
  const struct {
    const char* name;
    VideoFrame frame;
  } formats[] = {
      {"NV12", {PixelFormat::nv12, kWidth, kHeight, {data, chroma, nullptr}, {kWidth, kWidth, 0}}},
      {"I420",
       {PixelFormat::i420,
        kWidth,
        kHeight,
        {data, chroma, chroma + kWidth * kHeight / 4},
        {kWidth, kWidth / 2, kWidth / 2}}},
      {"P010",
       {PixelFormat::p010,
        kWidth,
        kHeight,
        {data, data + 2 * kWidth * kHeight, nullptr},
        {2 * kWidth, 2 * kWidth, 0}}},
      {"GRAY8", {PixelFormat::gray8, kWidth, kHeight, {data, nullptr, nullptr}, {kWidth, 0, 0}}},
      {"RGB", {PixelFormat::rgb, kWidth, kHeight, {data, nullptr, nullptr}, {3 * kWidth, 0, 0}}},
      {"BGRx", {PixelFormat::bgra, kWidth, kHeight, {data, nullptr, nullptr}, {4 * kWidth, 0, 0}}},
  };
  for (const auto& [format, frame] : formats)
    for (const PictureSize size : {PictureSize{448, 448}, PictureSize{140, 252}}) {
      FrameScaler scaler;
      std::vector<uint8_t> rgb[kFrames];
      for (auto& r : rgb) r.resize(size_t(3 * size.width * size.height));
      std::vector<float> patches(size_t(size.width / 14 * (size.height / 14) * 1176));
      char name[64];
      std::snprintf(name, sizeof name, "%s 1920x1080 -> patches %dx%d, a frame", format, size.width,
                    size.height);
      report(name, kFrames, [&] {
        for (int i = 0; i < kFrames; ++i) scaler.run(frame, size, rgb[i].data());
        patchify({}, size, rgb[0].data(), rgb[1].data(), patches.data());
      });
    }
  std::vector<float> second(16000), out;
  for (float& v : second) v = float(g() % 2000) / 1000 - 1;
  LogMel mel(128);
  report("log-mel, 128 bands, 1 s", 1, [&] {
    out.clear();
    mel.push(second, out);
  });
}
