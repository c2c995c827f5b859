#include "streams/gstomniaudioinput.h"

#include <algorithm>
#include <string>

#include "omni/error.h"

// a jump of the time stamps that is more than jitter
static constexpr GstClockTimeDiff kResyncAbove = 40 * GST_MSECOND;

GstAudioInfo gst_omni_audio_info(GstCaps* caps) {
  GstAudioInfo info;
  CharPtr text(gst_caps_to_string(caps));
  if (!gst_audio_info_from_caps(&info, caps))
    throw omni::Error(omni::ErrorCode::unsupported,
                      std::string("caps that describe no audio: ") + text.get());
  return info;
}

GstOmniAudioInput::GstOmniAudioInput(int rate, GstClockTime most_hole, Callbacks callbacks)
    : most_hole_(most_hole), callbacks_(std::move(callbacks)) {
  gst_audio_info_set_format(&out_, GST_AUDIO_FORMAT_F32, rate, 1, nullptr);
}

void GstOmniAudioInput::set_caps(GstCaps* caps) {
  in_ = gst_omni_audio_info(caps);
  // As audioresample does it; GstAudioConverter's own default loses more of what is near half the
  // rate.
  GstStructure* config = gst_structure_new("resampler", GST_AUDIO_CONVERTER_OPT_RESAMPLER_METHOD,
                                           GST_TYPE_AUDIO_RESAMPLER_METHOD,
                                           GST_AUDIO_RESAMPLER_METHOD_KAISER, nullptr);
  gst_audio_resampler_options_set_quality(GST_AUDIO_RESAMPLER_METHOD_KAISER,
                                          GST_AUDIO_RESAMPLER_QUALITY_DEFAULT, in_.rate, out_.rate,
                                          config);
  converter_.reset(gst_audio_converter_new(GST_AUDIO_CONVERTER_FLAG_NONE, &in_, &out_, config));
  if (!converter_)
    throw omni::Error(omni::ErrorCode::unsupported,
                      "audio that GstAudioConverter cannot turn into mono at " +
                          std::to_string(out_.rate) + " Hz");
  started_ = false;
}

void GstOmniAudioInput::buffer(GstBuffer* buffer) {
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
    throw omni::Error(omni::ErrorCode::corrupt_file, "an audio buffer that cannot be read");
  struct Unmap {
    GstBuffer* b;
    GstMapInfo* m;
    ~Unmap() { gst_buffer_unmap(b, m); }
  } unmap{buffer, &map};
  if (!converter_ || map.size % gsize(in_.bpf))
    throw omni::Error(omni::ErrorCode::corrupt_file,
                      "an audio buffer of " + std::to_string(map.size) +
                          " bytes is no whole number of frames of " + std::to_string(in_.bpf));
  const gsize frames = map.size / gsize(in_.bpf),
              skip = std::min(frames, align(GST_BUFFER_PTS(buffer)));
  feed(map.data + skip * gsize(in_.bpf), frames - skip);
}

void GstOmniAudioInput::gap(GstClockTime start, GstClockTime duration) {
  if (!converter_ || !GST_CLOCK_TIME_IS_VALID(duration)) return;
  align(start);
  feed_silence(duration);
}

void GstOmniAudioInput::drain() {
  if (!started_) return;
  if (const gsize tail = gst_audio_converter_get_max_latency(converter_.get())) feed(nullptr, tail);
  callbacks_.end();
  started_ = false;
}

void GstOmniAudioInput::reset() { started_ = false; }

// Puts the samples to come where their time stamp says. Returns how many frames of the buffer to
// leave out.
gsize GstOmniAudioInput::align(GstClockTime pts) {
  if (started_ && GST_CLOCK_TIME_IS_VALID(pts)) {
    const GstClockTime expected =
        start_ + gst_util_uint64_scale(n_in_, GST_SECOND, guint64(in_.rate));
    const GstClockTimeDiff jump = GST_CLOCK_DIFF(expected, pts);
    if (ABS(jump) > GstClockTimeDiff(most_hole_))
      drain();
    else if (jump > kResyncAbove)
      feed_silence(GstClockTime(jump));
    else if (jump < -kResyncAbove)
      return gst_util_uint64_scale(GstClockTime(-jump), guint64(in_.rate), GST_SECOND);
  }
  if (started_) return 0;
  gst_audio_converter_reset(converter_.get());
  start_ = GST_CLOCK_TIME_IS_VALID(pts) ? pts : 0;
  n_in_ = 0;
  callbacks_.start(start_);
  started_ = true;
  return 0;
}

void GstOmniAudioInput::feed_silence(GstClockTime duration) {
  const gsize frames = gst_util_uint64_scale(duration, guint64(in_.rate), GST_SECOND), piece = 4096;
  std::vector<guint8> silence(piece * gsize(in_.bpf));
  gst_audio_format_info_fill_silence(in_.finfo, silence.data(), silence.size());
  for (gsize done = 0; done < frames; done += piece)
    feed(silence.data(), std::min(piece, frames - done));
}

void GstOmniAudioInput::feed(const guint8* data, gsize frames) {
  const gsize n_out = gst_audio_converter_get_out_frames(converter_.get(), frames);
  samples_.resize(n_out);
  gpointer in[] = {const_cast<guint8*>(data)}, out[] = {samples_.data()};
  if (frames && !gst_audio_converter_samples(converter_.get(), GST_AUDIO_CONVERTER_FLAG_NONE,
                                             data ? in : nullptr, frames, out, n_out))
    throw omni::Error(omni::ErrorCode::internal, "GstAudioConverter failed");
  n_in_ += frames;
  callbacks_.samples(samples_);
}
