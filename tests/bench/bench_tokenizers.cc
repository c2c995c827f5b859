// bench_tokenizers: one thread, CPU time. 1080p NV12 → normalised patches of 448x448 and 252x140; log-mel of a second of sound.
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
  std::printf("%-44s %8.3f / %.3f / %.3f ms (min/med/max)\n", name, times.front(), times[times.size() / 2], times.back());
}

}  // namespace

int main() {
  std::mt19937 g(1);
  std::vector<uint8_t> y(1920 * 1080), uv(1920 * 540);
  for (auto& v : y) v = uint8_t(g());
  for (auto& v : uv) v = uint8_t(g());
  const VideoFrame frame{PixelFormat::nv12, 1920, 1080, {y.data(), uv.data(), nullptr}, {1920, 1920, 0}, ColourMatrix::bt709};
  for (const PictureSize size : {PictureSize{448, 448}, PictureSize{140, 252}}) {
    FrameScaler scaler;
    std::vector<uint8_t> rgb[kFrames];
    for (auto& r : rgb) r.resize(size_t(3 * size.width * size.height));
    std::vector<float> patches(size_t(size.width / 14 * (size.height / 14) * 1176));
    char name[64];
    std::snprintf(name, sizeof name, "NV12 1920x1080 -> patches %dx%d, a frame", size.width, size.height);
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
