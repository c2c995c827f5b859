// Raw frames in, tokenized pieces out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "omni/segment.h"

namespace omni {

enum class PixelFormat { nv12, i420, rgb, bgr, rgba, bgra, gray8 };  // rgba and bgra also serve RGBx and BGRx
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
};

struct VideoOptions {
  Rational frame_rate{2, 1};    // frames a second that the model sees
  bool still = false;           // every frame is a picture of its own, without time
  int64_t min_pixels = 0, max_pixels = 0;  // of the resized picture; 0 = what the checkpoint says
};

// Picks frames by time, resizes, normalises, cuts into patches and runs the vision tower: one segment for every pair of frames.
// One thread at a time; different tokenizers of an engine are independent. Throws Error.
class OMNI_API VideoTokenizer {
 public:
  virtual ~VideoTokenizer() = default;
  // Whether the frame of this time would be used: a caller may skip mapping it if not. Each time is asked or pushed once, in order.
  virtual bool wants(Nanoseconds time) = 0;
  // A frame that wants() accepted. Returns a segment when a pair is complete.
  virtual std::optional<Segment> push(const VideoFrame& frame) = 0;
  // The end of the stream: an odd last frame is repeated to fill its pair.
  virtual std::optional<Segment> finish() = 0;
  virtual void reset() = 0;
};

}  // namespace omni
