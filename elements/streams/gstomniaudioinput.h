// Raw audio buffers of any rate, format, layout and number of channels → mono float samples at one
// rate, in their place in time. A hole shorter than `most_hole` is filled with silence and an
// overlap is cut off; a longer jump ends the piece and begins another. One thread at a time.
#pragma once

#include <gst/audio/audio.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "common/gstomniptr.h"

// Caps of a pad template: all that GstOmniAudioInput takes. Beyond this rate GStreamer's resampler
// asks for memory that there is not, and ends the process.
#define GST_OMNI_AUDIO_CAPS                                 \
  "audio/x-raw, format=(string)" GST_AUDIO_FORMATS_ALL      \
  ", rate=(int)[ 1, 6144000 ], channels=(int)[ 1, 1024 ], " \
  "layout=(string){ interleaved, non-interleaved }"

// Throws unsupported for caps that describe no audio.
GstAudioInfo gst_omni_audio_info(GstCaps* caps);
// How long the samples of a buffer last.
GstClockTime gst_omni_audio_duration(const GstAudioInfo& info, GstBuffer* buffer);

class GstOmniAudioInput {
 public:
  struct Callbacks {
    std::function<void(GstClockTime time)> start;  // a piece begins
    // At most a second at a time; what it throws ends the call that brought them.
    std::function<void(std::span<const float>)> samples;
    std::function<void()> end;  // a piece has ended
  };
  GstOmniAudioInput(int rate, GstClockTime most_hole, Callbacks callbacks);

  void set_caps(GstCaps* caps);
  // `time` of the first sample, whatever the buffer says.
  void buffer(GstBuffer* buffer, GstClockTime time);
  // Silence. False: it is too long to be listened to, and a hole; the piece has ended.
  bool gap(GstClockTime time, GstClockTime duration);
  void drain();  // what is in the converter comes out, the piece ends
  void reset();  // the piece is forgotten

 private:
  gsize align(GstClockTime time);
  gsize most_frames() const;
  void feed_silence(GstClockTime duration);
  void feed(gpointer planes[], gsize frames);
  void convert(gpointer planes[], gsize frames);

  GstClockTime most_hole_;
  Callbacks callbacks_;
  GstAudioInfo in_{}, out_{};
  std::unique_ptr<GstAudioConverter, GstOmniRelease<gst_audio_converter_free>> converter_;
  std::vector<float> samples_;
  bool started_ = false;
  GstClockTime start_ = 0;  // of the piece
  guint64 n_in_ = 0;        // frames of the piece so far
};
