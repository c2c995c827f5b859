// Media for sessions of the public API: noise as NV12 and as sound, tokenized as it is put.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "omni/engine.h"

namespace omni::bench {

class LiveVideo {
 public:
  LiveVideo(const Engine& engine, int width, int height, Rational rate, unsigned seed)
      : tokenizer_(engine.make_video_tokenizer({.frame_rate = rate})),
        width_(width & ~1),
        height_(height & ~1),
        step_(kSecond * rate.den / rate.num),
        nv12_(size_t(width_) * size_t(height_) * 3 / 2) {
    std::mt19937 random(seed);
    for (uint8_t& x : nv12_) x = uint8_t(random());
  }
  Nanoseconds next_time() const { return n_frames_ * step_; }
  // A segment of every second frame.
  std::optional<Segment> push() {
    const uint8_t* y = nv12_.data();
    VideoFrame frame{PixelFormat::nv12, width_, height_, {}, {width_, width_, 0}};
    frame.data[0] = y, frame.data[1] = y + size_t(width_) * size_t(height_);
    frame.time = next_time();
    ++n_frames_;
    return tokenizer_->push(frame);
  }

 private:
  std::unique_ptr<VideoTokenizer> tokenizer_;
  int width_, height_;
  Nanoseconds step_;
  std::vector<uint8_t> nv12_;
  int64_t n_frames_ = 0;
};

inline std::vector<float> some_sound(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> samples;
  for (size_t i = 0; i < n; ++i) samples.push_back(float(random() % 1000) / 1000 - .5f);
  return samples;
}

}  // namespace omni::bench
