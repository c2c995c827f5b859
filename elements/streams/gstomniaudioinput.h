// Raw audio buffers of any rate, format and number of channels → mono float samples at one rate, in
// their place in time. A hole shorter than `most_hole` is filled with silence and an overlap is cut
// off; a longer jump ends the piece and begins another. One thread at a time.
#pragma once

#include <gst/audio/audio.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "common/gstomniptr.h"

// Throws unsupported for caps that describe no audio.
GstAudioInfo gst_omni_audio_info(GstCaps* caps);

class GstOmniAudioInput {
 public:
  struct Callbacks {
    std::function<void(GstClockTime time)> start;  // a piece begins
    std::function<void(std::span<const float>)> samples;
    std::function<void()> end;  // a piece has ended
  };
  GstOmniAudioInput(int rate, GstClockTime most_hole, Callbacks callbacks);

  void set_caps(GstCaps* caps);
  void buffer(GstBuffer* buffer);
  void gap(GstClockTime start, GstClockTime duration);
  void drain();  // what is in the converter comes out, the piece ends
  void reset();  // the piece is forgotten

 private:
  gsize align(GstClockTime pts);
  void feed_silence(GstClockTime duration);
  void feed(const guint8* data, gsize frames);

  GstClockTime most_hole_;
  Callbacks callbacks_;
  GstAudioInfo in_{}, out_{};
  std::unique_ptr<GstAudioConverter, GstOmniRelease<gst_audio_converter_free>> converter_;
  std::vector<float> samples_;
  bool started_ = false;
  GstClockTime start_ = 0;  // of the piece
  guint64 n_in_ = 0;        // frames of the piece so far
};
