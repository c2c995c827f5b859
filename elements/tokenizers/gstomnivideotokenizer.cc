/**
 * element-omnivideotokenizer:
 *
 * Looks at raw video: picks frames by their time stamps, resizes, normalises and cuts them into
 * patches in one pass, runs the checkpoint's vision tower, and pushes one token buffer for every
 * pair of frames. Interlaced video is refused; put deinterlace ahead.
 *
 * Built where nvcc and GStreamer's CUDA library are, it takes `video/x-raw(memory:CUDAMemory)` as
 * well: with `device=cuda` such frames are read where they are (`… ! nvh264dec ! omnivideotokenizer
 * device=cuda …`), otherwise they are downloaded.
 *
 * With `frames` it looks at so many frames of a whole recording, whatever their rate. Its duration
 * has to be known when its first frame comes; context and question are omnimodel's business
 * (`trigger=eos`, and a `context-duration` as long as the recording).
 *
 * Latency of a live stream = one frame interval of `frame-rate` (a pair is complete with its second
 * frame) + `latency` (time allowed for the tower).
 *
 * ## Example
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=120 ! omnivideotokenizer model-path=models/nano !
 * fakesink dump=true
 * ]|
 */
#include "tokenizers/gstomnivideotokenizer.h"

#include <gst/video/video.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "common/gstomniguard.h"
#include "tokenizers/gstomnicudaframes.h"
#include "tokenizers/gstomninvmmframes.h"
#include "tokenizers/gstomnitokenizer.h"
#include "tokens/gstomnitokens.h"

GST_DEBUG_CATEGORY_STATIC(gst_omni_video_tokenizer_debug);
#define GST_CAT_DEFAULT gst_omni_video_tokenizer_debug

static constexpr const char* kSinkCaps =
    "video/x-raw, format=(string){ NV12, P010_10LE, I420, RGB, BGR, RGBx, BGRx, RGBA, BGRA, GRAY8 "
    "}, width=(int)[ 1, 16384 ], height=(int)[ 1, 16384 ], "
    "framerate=(fraction)[ 0/1, max ]";

static GType detail_get_type() {
  static const GEnumValue values[] = {
      {int(omni::Detail::automatic), "as many pixels as the checkpoint asks for", "auto"},
      {int(omni::Detail::low), "a quarter of that", "low"},
      {int(omni::Detail::high), "as many as the family was trained with", "high"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniDetail", values);
  return type;
}

namespace {

constexpr GstOmniInput::Limits kLimits{8, G_MAXUINT64, GST_CLOCK_TIME_NONE};
constexpr omni::Nanoseconds kMirror = G_MAXINT64 / 2;  // time counts down from it in reverse

struct VideoSettings : GstOmniEngineSettings {
  omni::Rational frame_rate{2, 1};
  guint frames = 0;
  int detail = int(omni::Detail::automatic);
  gint64 min_pixels = 0, max_pixels = 0;
  guint latency = 200;
};

omni::PixelFormat pixel_format(GstVideoFormat f) {
  switch (f) {
    case GST_VIDEO_FORMAT_NV12:
      return omni::PixelFormat::nv12;
    case GST_VIDEO_FORMAT_P010_10LE:
      return omni::PixelFormat::p010;
    case GST_VIDEO_FORMAT_I420:
      return omni::PixelFormat::i420;
    case GST_VIDEO_FORMAT_RGB:
      return omni::PixelFormat::rgb;
    case GST_VIDEO_FORMAT_BGR:
      return omni::PixelFormat::bgr;
    case GST_VIDEO_FORMAT_RGBx:
    case GST_VIDEO_FORMAT_RGBA:
      return omni::PixelFormat::rgba;
    case GST_VIDEO_FORMAT_BGRx:
    case GST_VIDEO_FORMAT_BGRA:
      return omni::PixelFormat::bgra;
    case GST_VIDEO_FORMAT_GRAY8:
      return omni::PixelFormat::gray8;
    default:
      throw omni::Error(omni::ErrorCode::unsupported,
                        std::string("video format ") + gst_video_format_to_string(f));
  }
}

GstVideoInfo parse_caps(GstCaps* caps) {
  GstVideoInfo info;
  CharPtr text(gst_caps_to_string(caps));
  if (!gst_video_info_from_caps(&info, caps) || info.width < 1 || info.height < 1)
    throw omni::Error(omni::ErrorCode::unsupported,
                      std::string("caps that describe no video: ") + text.get());
  pixel_format(GST_VIDEO_INFO_FORMAT(&info));
  if (GST_VIDEO_INFO_IS_INTERLACED(&info))
    throw omni::Error(omni::ErrorCode::unsupported,
                      std::string("interlaced video (interlace-mode=") +
                          gst_video_interlace_mode_to_string(GST_VIDEO_INFO_INTERLACE_MODE(&info)) +
                          "): put deinterlace ahead of omnivideotokenizer");
  if (double(std::max(info.width, info.height)) / std::min(info.width, info.height) > 200)
    throw omni::Error(omni::ErrorCode::unsupported, "video of " + std::to_string(info.width) + "x" +
                                                        std::to_string(info.height) +
                                                        ": the aspect ratio is above 200");
  return info;
}

// A recording as its caps and its duration say, of which some frames are looked at: without a frame
// rate a millisecond is a frame.
class Recording {
 public:
  Recording(const GstVideoInfo& info, GstClockTime duration, guint frames)
      : frame_rate_(info.fps_n > 0 ? omni::Rational{info.fps_n, info.fps_d}
                                   : omni::Rational{1000, 1}),
        total_(gint64(std::max(1.0, std::round(double(duration) * 1e-9 * frame_rate_.value())))),
        frames_(frames) {}

  omni::EvenSampler sampler(omni::FrameSpread spread) const {
    return {int(frames_), total_, frame_rate_, spread};
  }
  // of those that are looked at
  omni::Rational rate(omni::FrameSpread spread) const {
    gint num = 0, den = 1;
    gst_util_double_to_fraction(sampler(spread).frames() * frame_rate_.value() / double(total_),
                                &num, &den);
    return {std::max(1, num), den};
  }

 private:
  omni::Rational frame_rate_;
  gint64 total_;
  guint frames_;
};

class VideoWork final : public GstOmniTokenizerWork {
 public:
  // recording_rate: of the frames of a whole recording (`frames`), once one has come.
  VideoWork(const omni::Engine& engine, const omni::VideoOptions& options,
            GstOmniCudaFrames& cuda_frames, std::function<omni::Rational()> recording_rate)
      : engine_(engine),
        options_(options),
        on_device_(engine.on_device()),
        cuda_frames_(cuda_frames),
        recording_rate_(std::move(recording_rate)) {
    look_at(options.frame_rate);
  }

  void set_caps(GstCaps* caps) override {
    info_ = parse_caps(caps);
    nvmm_ = GstOmniNvmmFrames::is_nvmm(caps);
    is_rate_due_ = recording_rate_ != nullptr;
  }

  void buffer(GstBuffer* buffer, GstClockTime time, const Emit& emit) override {
    if (std::exchange(is_rate_due_, false)) look_at(recording_rate_());
    // A pair whose halves lie far apart is no pair: the stream paused in between.
    if (first_ != GST_CLOCK_TIME_NONE && (time < first_ || time - first_ > pair_ + pair_ / 2))
      drain(emit);
    omni::VideoFrame view{pixel_format(GST_VIDEO_INFO_FORMAT(&info_)),
                          info_.width,
                          info_.height,
                          {},
                          {},
                          matrix(),
                          full_range(),
                          omni::Nanoseconds(time)};
    auto segment = nvmm_ ? look_at_surface(buffer, view) : look_at_frame(buffer, view);
    first_ = segment ? GST_CLOCK_TIME_NONE : time;
    if (segment) emit(std::move(*segment));
  }

  void drain(const Emit& emit) override {
    first_ = GST_CLOCK_TIME_NONE;
    if (auto segment = tokenizer_->finish()) emit(std::move(*segment));
  }

  void reset() override {
    first_ = GST_CLOCK_TIME_NONE;
    tokenizer_->reset();
  }

 private:
  void look_at(omni::Rational rate) {
    options_.frame_rate = rate;
    pair_ = GstClockTime(2e9 / rate.value());
    tokenizer_ = engine_.make_video_tokenizer(options_);
  }

  std::optional<omni::Segment> look_at_frame(GstBuffer* buffer, omni::VideoFrame& view) {
    GstVideoFrame frame;
    const GstMapFlags where = on_device_ ? cuda_frames_.map_flags(buffer) : GstMapFlags(0);
    if (!gst_video_frame_map(&frame, &info_, buffer, GstMapFlags(GST_MAP_READ | where)))
      throw omni::Error(omni::ErrorCode::corrupt_file,
                        "a buffer of " + std::to_string(gst_buffer_get_size(buffer)) +
                            " bytes is no frame of " + std::to_string(info_.width) + "x" +
                            std::to_string(info_.height));
    std::unique_ptr<GstVideoFrame, GstOmniRelease<gst_video_frame_unmap>> unmap(&frame);
    for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES(&frame); ++p) {
      view.data[p] = static_cast<const uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&frame, p));
      view.stride[p] = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, p);
    }
    view.on_device = where != 0;
    GST_LOG("a frame in %s memory", view.on_device ? "CUDA" : "host");
    return tokenizer_->push(view);
  }

  std::optional<omni::Segment> look_at_surface(GstBuffer* buffer, omni::VideoFrame& view) {
    GstMapInfo map;
    GstOmniNvmmFrames::look(buffer, map, view);
    const auto unmap = [buffer](GstMapInfo* mapped) { gst_buffer_unmap(buffer, mapped); };
    const std::unique_ptr<GstMapInfo, decltype(unmap)> mapped(&map, unmap);
    return tokenizer_->push(view);
  }

  omni::ColourMatrix matrix() const {
    switch (info_.colorimetry.matrix) {
      case GST_VIDEO_COLOR_MATRIX_BT709:
        return omni::ColourMatrix::bt709;
      case GST_VIDEO_COLOR_MATRIX_BT2020:
        return omni::ColourMatrix::bt2020;
      default:
        return omni::ColourMatrix::bt601;
    }
  }
  bool full_range() const { return info_.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255; }

  const omni::Engine& engine_;
  omni::VideoOptions options_;
  std::unique_ptr<omni::VideoTokenizer> tokenizer_;
  const bool on_device_;  // with device=auto the engine may not be where the neighbours were told
  GstOmniCudaFrames& cuda_frames_;
  const std::function<omni::Rational()> recording_rate_;
  bool is_rate_due_ = false;
  GstClockTime pair_ = 0;
  GstVideoInfo info_{};
  bool nvmm_ = false;                         // what the caps say
  GstClockTime first_ = GST_CLOCK_TIME_NONE;  // time of a frame that waits for its pair
};

class VideoTokenizer final : public GstOmniTokenizer {
 public:
  using Settings = VideoSettings;

  static const GstOmniProperties<Settings>& properties() {
    static const GstOmniProperties<Settings> table = [] {
      auto rows = gst_omni_engine_properties<Settings>();
      const double most = 16384.0 * 16384;
      rows.push_back({"frame-rate", "Frame rate",
                      "Frames a second that the model sees, whatever the rate of the stream",
                      &Settings::frame_rate});
      rows.push_back({"frames", "Frames",
                      "Frames that the model sees of a whole recording, spread evenly over its "
                      "duration, instead of `frame-rate` (0 = by `frame-rate`)",
                      &Settings::frames, 0, 768});
      rows.push_back({"detail", "Detail", "How closely to look", &Settings::detail, 0, 0,
                      GstOmniMutable::ready, detail_get_type});
      rows.push_back({"min-pixels", "Least pixels",
                      "Fewest pixels of a resized frame (0 = what the checkpoint says)",
                      &Settings::min_pixels, 0, most});
      rows.push_back({"max-pixels", "Most pixels",
                      "Most pixels of a resized frame (0 = what the checkpoint says)",
                      &Settings::max_pixels, 0, most});
      rows.push_back({"latency", "Latency",
                      "Time allowed for the vision tower, in ms, as reported to live pipelines",
                      &Settings::latency, 0, 60000});
      return GstOmniProperties<Settings>(rows);
    }();
    return table;
  }
  static const std::vector<GstOmniReading<VideoTokenizer>>& readings() {
    static const auto table = gst_omni_tokenizer_readings<VideoTokenizer>();
    return table;
  }
  static void describe(GstElementClass* klass) {
    const std::string sink =
        GstOmniNvmmFrames::with_nvmm(GstOmniCudaFrames::with_cuda_memory(kSinkCaps));
    gst_omni_add_template(klass, "sink", GST_PAD_SINK, GST_PAD_ALWAYS, sink.c_str());
    gst_omni_add_template(klass, "src", GST_PAD_SRC, GST_PAD_ALWAYS,
                          GST_OMNI_TOKENS_CAPS_OF("video"));
    gst_omni_set_metadata(klass, "Omni video tokenizer", "Filter/Analyzer/Video",
                          "Turns raw video into the tokens of a multimodal model");
    gst_type_mark_as_plugin_api(detail_get_type(), GstPluginAPIFlags(0));
    GST_DEBUG_CATEGORY_INIT(gst_omni_video_tokenizer_debug, "omnitokenizer", 0, "video to tokens");
  }

  VideoTokenizer(GstElement* element, GstElementClass* klass)
      : GstOmniTokenizer(element, klass, settings, omni::Modality::video, kLimits) {}

  Settings settings;

  void property_set(const std::string& name) override {
    GstOmniTokenizer::property_set(name);
    if (name != "frame-rate") return;
    std::scoped_lock guard(sampler_lock_, settings.lock);
    sampler_ = omni::FrameSampler(settings.frame_rate);
  }

 private:
  void set_caps(GstCaps* caps) override {
    info_ = parse_caps(caps);
    is_spread_due_ = true;
    frame_duration_ = info_.fps_n > 0 ? gst_util_uint64_scale(GST_SECOND, guint64(info_.fps_d),
                                                              guint64(info_.fps_n))
                                      : 0;
  }
  // Some demuxers and parsers know the duration when the first frame comes and not before.
  void before_buffer() override {
    if (!is_spread_due_) return;
    guint frames = 0;
    {
      std::lock_guard guard(settings.lock);
      frames = settings.frames;
    }
    gint64 duration = 0;
    if (frames > 0 && (!query_duration(&duration) || duration <= 0))
      throw omni::Error(omni::ErrorCode::unsupported,
                        "frames=" + std::to_string(frames) +
                            " are spread over a recording whose duration is known, and upstream "
                            "does not know it: use frame-rate");
    is_spread_due_ = false;
    std::lock_guard guard(sampler_lock_);
    even_.reset();
    recording_.reset();
    if (frames == 0) return;
    recording_.emplace(info_, GstClockTime(duration), frames);
  }
  omni::Rational recording_rate() {
    std::lock_guard guard(sampler_lock_);
    return recording_->rate(spread_);
  }
  GstClockTime duration_of(GstBuffer* buffer) override {
    const GstClockTime duration = GST_BUFFER_DURATION(buffer);
    return GST_CLOCK_TIME_IS_VALID(duration) && duration > 0 ? duration : frame_duration_;
  }
  bool wants(GstClockTime time) override {
    std::lock_guard guard(sampler_lock_);
    const auto t = reverse_ ? kMirror - omni::Nanoseconds(time) : omni::Nanoseconds(time);
    if (recording_ && !even_) even_ = recording_->sampler(spread_);
    return even_ ? even_->wants(t) : sampler_.wants(t);
  }
  void restarted(const GstSegment& segment) override {
    std::lock_guard guard(sampler_lock_);
    reverse_ = segment.rate < 0;
    sampler_.reset();
    if (even_) even_->reset();
  }
  bool query(GstQuery* query) override {
    return cuda_frames_.answer(element_, query, engine_context_.device()) ||
           GstOmniTokenizer::query(query);
  }

  std::unique_ptr<GstOmniTokenizerWork> make_work(const omni::Engine& engine) override {
    omni::VideoOptions options;
    {
      std::lock_guard guard(settings.lock);
      if (!properties().was_set(settings, &Settings::frame_rate) && engine.defaults().frame_rate)
        settings.frame_rate = *engine.defaults().frame_rate;
      options = {.frame_rate = settings.frame_rate,
                 .detail = omni::Detail(settings.detail),
                 .min_pixels = settings.min_pixels,
                 .max_pixels = settings.max_pixels,
                 .frames = int(settings.frames)};
    }
    {
      std::lock_guard guard(sampler_lock_);
      sampler_ = omni::FrameSampler(options.frame_rate);
      spread_ = engine.defaults().frame_spread;
    }
    std::function<omni::Rational()> rate;
    if (options.frames > 0) rate = [this] { return recording_rate(); };
    return std::make_unique<VideoWork>(engine, options, cuda_frames_, std::move(rate));
  }

  GstClockTime own_latency() override {
    std::lock_guard guard(settings.lock);
    return GstClockTime(1e9 / settings.frame_rate.value()) + settings.latency * GST_MSECOND;
  }

  std::mutex sampler_lock_;
  omni::FrameSampler sampler_{settings.frame_rate};  // under sampler_lock_, as all below
  std::optional<Recording> recording_;               // that it looks at as a whole
  omni::FrameSpread spread_{};                       // as the checkpoint asks for
  std::optional<omni::EvenSampler> even_;            // of recording_, instead of sampler_
  bool reverse_ = false;
  // by the caps; of the thread that pushes
  GstVideoInfo info_{};
  GstClockTime frame_duration_ = 0;
  bool is_spread_due_ = false;
  GstOmniCudaFrames cuda_frames_;
};

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnivideotokenizer, "omnivideotokenizer", GST_RANK_NONE,
                            gst_omni_element_type<VideoTokenizer>("GstOmniVideoTokenizer"));
