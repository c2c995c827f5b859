#include "streams/gstomniaudioinput.h"

#include <algorithm>
#include <string>

#include "omni/error.h"

namespace {
// a jump of the time stamps that is more than jitter
constexpr GstClockTimeDiff kResyncAbove = 40 * GST_MSECOND;
constexpr GstClockTime kMostSilence = 30 * GST_SECOND;  // that is listened to
constexpr gsize kMostPiece = 4 << 20;                   // bytes converted at once

bool is_planar(const GstAudioInfo& info) { return info.layout == GST_AUDIO_LAYOUT_NON_INTERLEAVED; }
}  // namespace

GstAudioInfo gst_omni_audio_info(GstCaps* caps) {
  GstAudioInfo info;
  CharPtr text(gst_caps_to_string(caps));
  if (!gst_audio_info_from_caps(&info, caps))
    throw omni::Error(omni::ErrorCode::unsupported,
                      std::string("caps that describe no audio: ") + text.get());
  return info;
}

GstClockTime gst_omni_audio_duration(const GstAudioInfo& info, GstBuffer* buffer) {
  if (info.rate <= 0 || info.bpf <= 0) return 0;
  const GstAudioMeta* meta = gst_buffer_get_audio_meta(buffer);
  const gsize frames = meta ? meta->samples : gst_buffer_get_size(buffer) / gsize(info.bpf);
  return gst_util_uint64_scale(frames, GST_SECOND, guint64(info.rate));
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

void GstOmniAudioInput::buffer(GstBuffer* buffer, GstClockTime time) {
  if (!converter_)
    throw omni::Error(omni::ErrorCode::corrupt_file, "an audio buffer ahead of its caps");
  const GstAudioMeta* meta = gst_buffer_get_audio_meta(buffer);
  const gsize bytes = gst_buffer_get_size(buffer);
  if (!meta && (is_planar(in_) || bytes % gsize(in_.bpf)))
    throw omni::Error(
        omni::ErrorCode::corrupt_file,
        "an audio buffer of " + std::to_string(bytes) +
            (is_planar(in_) ? " bytes does not say where its planes are"
                            : " bytes is no whole number of frames of " + std::to_string(in_.bpf)));
  if (meta && !gst_audio_info_is_equal(&meta->info, &in_))
    throw omni::Error(omni::ErrorCode::corrupt_file,
                      "an audio buffer that describes itself otherwise than its caps");
  if (meta && meta->samples > bytes / gsize(in_.bpf))
    throw omni::Error(omni::ErrorCode::corrupt_file,
                      "an audio buffer of " + std::to_string(bytes) + " bytes says that it has " +
                          std::to_string(meta->samples) + " samples");
  GstAudioBuffer audio;
  if (!gst_audio_buffer_map(&audio, &in_, buffer, GST_MAP_READ))
    throw omni::Error(omni::ErrorCode::corrupt_file, "an audio buffer that cannot be read");
  const std::unique_ptr<GstAudioBuffer, GstOmniRelease<gst_audio_buffer_unmap>> mapped(&audio);
  const gsize frames = audio.n_samples, skip = std::min(frames, align(time));
  std::vector<gpointer> planes(audio.planes, audio.planes + audio.n_planes);
  const gsize step = gsize(is_planar(in_) ? in_.bpf / in_.channels : in_.bpf);
  for (gpointer& plane : planes) plane = static_cast<guint8*>(plane) + skip * step;
  feed(planes.data(), frames - skip);
}

bool GstOmniAudioInput::gap(GstClockTime time, GstClockTime duration) {
  if (!converter_ || duration == 0) return true;
  if (duration > kMostSilence) {
    drain();
    return false;
  }
  align(time);
  feed_silence(duration);
  return true;
}

void GstOmniAudioInput::drain() {
  if (!started_) return;
  if (const gsize tail = gst_audio_converter_get_max_latency(converter_.get()))
    convert(nullptr, tail);
  callbacks_.end();
  started_ = false;
}

void GstOmniAudioInput::reset() { started_ = false; }

// Puts the samples to come where their time stamp says. Returns how many frames of the buffer to
// leave out.
gsize GstOmniAudioInput::align(GstClockTime time) {
  if (started_) {
    const GstClockTime expected =
        start_ + gst_util_uint64_scale(n_in_, GST_SECOND, guint64(in_.rate));
    const GstClockTimeDiff jump = GST_CLOCK_DIFF(expected, time);
    if (ABS(jump) > GstClockTimeDiff(most_hole_))
      drain();
    else if (jump > kResyncAbove)
      feed_silence(GstClockTime(jump));
    else if (jump < -kResyncAbove)
      return gst_util_uint64_scale(GstClockTime(-jump), guint64(in_.rate), GST_SECOND);
  }
  if (started_) return 0;
  gst_audio_converter_reset(converter_.get());
  start_ = time;
  n_in_ = 0;
  callbacks_.start(start_);
  started_ = true;
  return 0;
}

void GstOmniAudioInput::feed_silence(GstClockTime duration) {
  const gsize frames = gst_util_uint64_scale(duration, guint64(in_.rate), GST_SECOND);
  if (frames == 0) return;
  const gsize piece = std::min(frames, most_frames());
  std::vector<guint8> silence(piece * gsize(in_.bpf));
  gst_audio_format_info_fill_silence(in_.finfo, silence.data(), silence.size());
  std::vector<gpointer> planes(gsize(is_planar(in_) ? in_.channels : 1), silence.data());
  for (gsize done = 0; done < frames; done += piece)
    feed(planes.data(), std::min(piece, frames - done));
}

// Of one piece: a second at most, and what fits into 4 MiB.
gsize GstOmniAudioInput::most_frames() const {
  return std::clamp<gsize>(kMostPiece / gsize(in_.bpf), 1, gsize(in_.rate));
}

// In pieces, between which the callback may end it.
void GstOmniAudioInput::feed(gpointer planes[], gsize frames) {
  const gsize step = gsize(is_planar(in_) ? in_.bpf / in_.channels : in_.bpf);
  const gsize n_planes = gsize(is_planar(in_) ? in_.channels : 1);
  std::vector<gpointer> at(planes, planes + n_planes);
  for (gsize done = 0; done < frames;) {
    const gsize piece = std::min(frames - done, most_frames());
    convert(at.data(), piece);
    for (gpointer& plane : at) plane = static_cast<guint8*>(plane) + piece * step;
    done += piece;
  }
}

// `planes`: nullptr = silence that is no part of the stream.
void GstOmniAudioInput::convert(gpointer planes[], gsize frames) {
  const gsize n_out = gst_audio_converter_get_out_frames(converter_.get(), frames);
  samples_.resize(n_out);
  gpointer out[] = {samples_.data()};
  if (frames && !gst_audio_converter_samples(converter_.get(), GST_AUDIO_CONVERTER_FLAG_NONE,
                                             planes, frames, out, n_out))
    throw omni::Error(omni::ErrorCode::internal, "GstAudioConverter failed");
  n_in_ += frames;
  callbacks_.samples(samples_);
}
