// Raw frames in, tokenized pieces out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "omni/segment.h"

namespace omni {

// rgba and bgra also serve RGBx and BGRx; of p010 (NV12 with 10 bits, little endian) the upper 8
// bits are looked at.
enum class PixelFormat { nv12, p010, i420, rgb, bgr, rgba, bgra, gray8 };
enum class ColourMatrix { bt601, bt709, bt2020 };

// A borrowed picture; it need not outlive the call that takes it.
struct VideoFrame {
  PixelFormat format;
  int width, height;
  const uint8_t* data[3];
  int64_t stride[3];  // bytes
  ColourMatrix matrix = ColourMatrix::bt601;
  bool full_range = false;
  Nanoseconds time = 0;
  // data are addresses of the engine's device, where all that was to be done to them is done
  bool on_device = false;
};

// How closely to look: what the checkpoint asks for, a quarter of that many pixels, or as many as
// the family was trained with.
enum class Detail { automatic, low, high };

struct VideoOptions {
  // frames a second that the model sees: those that a FrameSampler of this rate wants
  Rational frame_rate{2, 1};
  bool still = false;  // every frame is a picture of its own, without time
  Detail detail = Detail::automatic;
  int64_t min_pixels = 0, max_pixels = 0;  // of the resized picture; 0 = what the checkpoint says
  // That will come, where it is known: some checkpoints have limits for a whole video, and take the
  // longest that they allow otherwise.
  int frames = 0;
};

// Picks frames by their time stamps: the first frame at or after each multiple of 1/rate, counted
// from the first frame. Any input rate, fixed or not, gives `rate` frames a second on average; an
// input slower than `rate` gives each of its frames once.
class OMNI_API FrameSampler {
 public:
  explicit FrameSampler(Rational rate) : rate_(rate) {}
  bool wants(Nanoseconds time);
  void reset() { origin_.reset(); }

 private:
  Nanoseconds due(int64_t index) const;

  Rational rate_;
  std::optional<Nanoseconds> origin_;
  int64_t next_ = 0;  // index of the next multiple
};

// Which `frames` of the `total` of a video are evenly spread: arange(0, total, total / frames)
// rounded down, of whole pairs alone, as Qwen2VLVideoProcessor does, or linspace(0, total - 1,
// frames) rounded to the nearest, as Qwen3VLVideoProcessor does: the first, the last and those
// between.
enum class FrameSpread { arange, linspace };

// Picks `frames` of the `total` of a video. They are told by their time stamps, counted from the
// first frame's, at the video's own rate. Where there are fewer, each is picked once.
class OMNI_API EvenSampler {
 public:
  EvenSampler(int frames, int64_t total, Rational frame_rate, FrameSpread spread)
      : frames_(spread == FrameSpread::arange ? whole_pairs(frames) : frames),
        total_(total),
        frame_rate_(frame_rate),
        spread_(spread) {}
  bool wants(Nanoseconds time);
  void reset() { origin_.reset(); }
  int frames() const { return frames_; }  // that it picks where there are as many

 private:
  static int whole_pairs(int frames);
  int64_t index(int64_t k) const;  // of the k-th, among all

  int frames_;
  int64_t total_;
  Rational frame_rate_;
  FrameSpread spread_;
  std::optional<Nanoseconds> origin_;
  int64_t next_ = 0;  // k of the next
};

// Resizes, normalises, cuts into patches and runs the vision tower: one segment for every pair of
// frames. One thread at a time; different tokenizers of an engine are independent. Throws Error.
class OMNI_API VideoTokenizer {
 public:
  virtual ~VideoTokenizer() = default;
  // The next frame that the model shall see; it has been read when this returns. Returns a segment
  // when a pair is complete.
  virtual std::optional<Segment> push(const VideoFrame& frame) = 0;
  // The end of the stream: an odd last frame is repeated to fill its pair.
  virtual std::optional<Segment> finish() = 0;
  virtual void reset() = 0;
};

}  // namespace omni
