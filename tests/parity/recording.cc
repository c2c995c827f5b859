#include "parity/recording.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/mapped_file.h"
#include "io/json.h"

namespace omni::parity {

namespace fs = std::filesystem;

// 16-bit mono PCM after the "data" chunk header.
static std::vector<float> read_wav(const fs::path& path) {
  const std::string bytes = read_text_file(path, size_t{1} << 30);
  const size_t data = bytes.find("data");
  if (data == std::string::npos)
    throw Error(ErrorCode::corrupt_file, path.string() + ": no data chunk");
  std::vector<float> out((bytes.size() - data - 8) / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    int16_t v;
    std::memcpy(&v, bytes.data() + data + 8 + 2 * i, 2);
    out[i] = float(v) / 32768.f;
  }
  return out;
}

static Input::Image read_png(const fs::path& path) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const auto fail = [&] {
    throw Error(ErrorCode::corrupt_file, path.string() + ": " + std::string(png.message));
  };
  if (!png_image_begin_read_from_file(&png, path.c_str())) fail();
  png.format = PNG_FORMAT_RGB;
  Input::Image image{int(png.width), int(png.height), {}};
  image.rgb.resize(PNG_IMAGE_SIZE(png));
  if (!png_image_finish_read(&png, nullptr, image.rgb.data(), 0, nullptr)) fail();
  return image;
}

Input read_input(const fs::path& dir) {
  Input in;
  const Json j = Json::parse_file(dir / "input.json");
  in.width = int(j.integer("width", 1, 16384)), in.height = int(j.integer("height", 1, 16384)),
  in.frames = int(j.integer("frames", 0, 1 << 20));
  const double fps = j.number("fps", 0.001, 1000);
  in.fps = {int(std::lround(fps * 1000)), 1000};
  in.rgb = read_text_file(dir / "video.rgb", size_t{1} << 30);
  if (fs::exists(dir / "audio.wav")) in.audio = read_wav(dir / "audio.wav");
  for (int n = 0;; ++n) {
    const fs::path path = dir / (n ? "image_" + std::to_string(n) + ".png" : "image.png");
    if (!fs::exists(path)) break;
    in.images.push_back(read_png(path));
  }
  return in;
}

VideoFrame rgb_frame(const std::string& bytes, int width, int height, int index, Nanoseconds time) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data()) +
                     size_t(index) * size_t(width) * size_t(height) * 3;
  return {PixelFormat::rgb,    width, height, {data, nullptr, nullptr}, {int64_t{width} * 3, 0, 0},
          ColourMatrix::bt601, false, time};
}

std::vector<int64_t> Expected::ids(const std::string& boundary) const {
  const Tensor t = tensors_->get(boundary);
  return {t.i64(), t.i64() + t.numel()};
}

Line& Expected::add(const std::string& boundary, double error, double tolerance,
                    const std::string& worst) {
  lines_.push_back({boundary, error, tolerance, worst, error <= tolerance});
  return lines_.back();
}

// Index of a value, as numpy has it.
static std::string place(const Tensor& like, int64_t flat) {
  std::string s;
  for (int d = like.rank() - 1; d >= 0; --d) {
    s = std::to_string(flat % like.dim(d)) + (s.empty() ? "" : ", ") + s;
    flat /= like.dim(d);
  }
  return "[" + s + "]";
}

void Expected::compare(const std::string& boundary, const float* a, int64_t n, double tolerance,
                       bool absolute) {
  if (!has(boundary)) return;
  const Tensor b = f32(boundary);
  if (b.numel() != n) {
    add(boundary, INFINITY, tolerance, std::to_string(n) + " values, expected " + b.shape().str());
    return;
  }
  double worst = 0, scale = 0;
  int64_t at = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double d = std::abs(double(a[i]) - double(b.f32()[i]));
    if (!(d <= worst)) worst = d, at = i;
    scale = std::max(scale, std::abs(double(b.f32()[i])));
  }
  add(boundary, absolute ? worst : worst / std::max(scale, 1e-30), tolerance, place(b, at));
}

void Expected::compare(const std::string& boundary, std::span<const int32_t> a,
                       const std::vector<int64_t>& b) {
  size_t i = 0;
  while (i < a.size() && i < b.size() && a[i] == b[i]) ++i;
  const bool equal = a.size() == b.size() && i == a.size();
  add(boundary, equal ? 0 : 1, 0,
      equal ? std::to_string(a.size()) + " equal"
            : "first difference at " + std::to_string(i) + " of " + std::to_string(b.size()));
}

}  // namespace omni::parity
