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

#include "common/gstomniguard.h"
#include "tokenizers/gstomnicudaframes.h"
#include "tokenizers/gstomninvmmframes.h"
#include "tokenizers/gstomnitokenizer.h"

GST_DEBUG_CATEGORY_EXTERN(gst_omni_tokenizer_debug);
#define GST_CAT_DEFAULT gst_omni_tokenizer_debug

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

struct Settings : GstOmniEngineSettings {
  omni::Rational frame_rate{2, 1};
  int detail = int(omni::Detail::automatic);
  gint64 min_pixels = 0, max_pixels = 0;
  guint latency = 200;
};

const GstOmniProperties<Settings>& properties() {
  static const GstOmniProperties<Settings> table = [] {
    auto rows = gst_omni_engine_properties<Settings>();
    const double most = 16384.0 * 16384;
    rows.push_back({"frame-rate", "Frame rate",
                    "Frames a second that the model sees, whatever the rate of the stream",
                    &Settings::frame_rate});
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

struct GstOmniVideoTokenizer {
  GstOmniTokenizer base;
  Settings* settings;
  omni::FrameSampler* sampler;  // under base.state->lock
  GstClockTime next_pts;        // for frames without one; under base.state->lock
  GstOmniCudaFrames* cuda_frames;
};

struct GstOmniVideoTokenizerClass {
  GstOmniTokenizerClass base;
};

GstOmniVideoTokenizer* cast(gpointer p) { return static_cast<GstOmniVideoTokenizer*>(p); }

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

class VideoWork final : public GstOmniTokenizerWork {
 public:
  VideoWork(std::unique_ptr<omni::VideoTokenizer> tokenizer, omni::Rational rate,
            GstOmniCudaFrames& cuda_frames)
      : tokenizer_(std::move(tokenizer)),
        cuda_frames_(cuda_frames),
        pair_(GstClockTime(2e9 / rate.value())) {}

  void set_caps(GstCaps* caps) override {
    info_ = parse_caps(caps);
    nvmm_ = GstOmniNvmmFrames::is_nvmm(caps);
  }

  void buffer(GstBuffer* buffer, const Emit& emit) override {
    const GstClockTime pts = GST_BUFFER_PTS(buffer);
    // A pair whose halves lie far apart is no pair: the stream paused in between.
    if (first_ != GST_CLOCK_TIME_NONE && (pts < first_ || pts - first_ > pair_ + pair_ / 2))
      drain(emit);
    omni::VideoFrame view{pixel_format(GST_VIDEO_INFO_FORMAT(&info_)),
                          info_.width,
                          info_.height,
                          {},
                          {},
                          matrix(),
                          full_range(),
                          omni::Nanoseconds(pts)};
    auto segment = nvmm_ ? look_at_surface(buffer, view) : look_at_frame(buffer, view);
    first_ = segment ? GST_CLOCK_TIME_NONE : pts;
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
  std::optional<omni::Segment> look_at_frame(GstBuffer* buffer, omni::VideoFrame& view) {
    GstVideoFrame frame;
    const GstMapFlags where = cuda_frames_.map_flags(buffer);
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

  std::unique_ptr<omni::VideoTokenizer> tokenizer_;
  GstOmniCudaFrames& cuda_frames_;
  GstClockTime pair_;
  GstVideoInfo info_{};
  bool nvmm_ = false;                         // what the caps say
  GstClockTime first_ = GST_CLOCK_TIME_NONE;  // PTS of a frame that waits for its pair
};

void check_caps(GstOmniTokenizer*, GstCaps* caps) { parse_caps(caps); }

bool accepts(GstOmniTokenizer* base, GstBuffer* buffer) {
  auto* self = cast(base);
  // rawvideoparse and the like always stamp; others start at 0
  if (!GST_BUFFER_PTS_IS_VALID(buffer)) GST_BUFFER_PTS(buffer) = self->next_pts;
  self->next_pts = GST_BUFFER_PTS(buffer) +
                   (GST_BUFFER_DURATION_IS_VALID(buffer) ? GST_BUFFER_DURATION(buffer) : 0);
  return self->sampler->wants(omni::Nanoseconds(GST_BUFFER_PTS(buffer)));
}

void restart(GstOmniTokenizer* base) {
  cast(base)->sampler->reset();
  cast(base)->next_pts = 0;
}

std::unique_ptr<GstOmniTokenizerWork> make_work(GstOmniTokenizer* base,
                                                const omni::Engine& engine) {
  auto* self = cast(base);
  omni::VideoOptions options;
  {
    std::lock_guard guard(self->settings->lock);
    if (!properties().was_set(*self->settings, &Settings::frame_rate) &&
        engine.defaults().frame_rate)
      self->settings->frame_rate = *engine.defaults().frame_rate;
    options = {.frame_rate = self->settings->frame_rate,
               .detail = omni::Detail(self->settings->detail),
               .min_pixels = self->settings->min_pixels,
               .max_pixels = self->settings->max_pixels};
  }
  {
    std::lock_guard guard(base->state->lock);
    *self->sampler = omni::FrameSampler(options.frame_rate);
  }
  return std::make_unique<VideoWork>(engine.make_video_tokenizer(options), options.frame_rate,
                                     *self->cuda_frames);
}

bool query(GstOmniTokenizer* self, GstQuery* query) {
  return cast(self)->cuda_frames->answer(GST_ELEMENT(self), query,
                                         self->state->engine_context.device());
}

GstClockTime own_latency(GstOmniTokenizer* base) {
  Settings& s = *cast(base)->settings;
  std::lock_guard guard(s.lock);
  return GstClockTime(1e9 / s.frame_rate.value()) + s.latency * GST_MSECOND;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  auto* self = cast(object);
  if (!properties().set(*self->settings, id, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    return;
  }
  std::scoped_lock guard(self->base.state->lock, self->settings->lock);
  *self->sampler = omni::FrameSampler(self->settings->frame_rate);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  if (id == properties().count() + 1)
    g_value_take_boxed(value, gst_omni_tokenizer_stats(GST_OMNI_TOKENIZER(object)));
  else if (!properties().get(*cast(object)->settings, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

GObjectClass* g_parent_class = nullptr;

void finalize(GObject* object) {
  auto* self = cast(object);
  Settings* settings = self->settings;
  delete self->sampler;
  delete self->cuda_frames;
  g_parent_class->finalize(object);
  delete settings;
}

void instance_init(GTypeInstance* instance, gpointer) {
  auto* self = reinterpret_cast<GstOmniVideoTokenizer*>(instance);
  self->settings = new Settings();
  self->sampler = new omni::FrameSampler(self->settings->frame_rate);
  self->cuda_frames = new GstOmniCudaFrames();
  gst_omni_tokenizer_setup(&self->base, *self->settings);
}

void class_init(gpointer g_class, gpointer) {
  g_parent_class = static_cast<GObjectClass*>(g_type_class_peek_parent(g_class));
  auto* klass = static_cast<GstOmniTokenizerClass*>(g_class);
  auto* object = G_OBJECT_CLASS(g_class);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  properties().install(object);
  gst_omni_tokenizer_class_setup(
      klass, GstOmniNvmmFrames::with_nvmm(GstOmniCudaFrames::with_cuda_memory(kSinkCaps)).c_str(),
      properties().count() + 1);
  gst_element_class_set_static_metadata(
      GST_ELEMENT_CLASS(g_class), "Omni video tokenizer", "Filter/Analyzer/Video",
      "Turns raw video into the tokens of a multimodal model", "gst-omni");
  gst_type_mark_as_plugin_api(detail_get_type(), GstPluginAPIFlags(0));
  gst_type_mark_as_plugin_api(GST_TYPE_OMNI_TOKENIZER, GstPluginAPIFlags(0));
  klass->max_buffers = 8;
  klass->max_time = GST_CLOCK_TIME_NONE;
  klass->modality = omni::Modality::video;
  klass->check_caps = check_caps;
  klass->accepts = accepts;
  klass->restart = restart;
  klass->query = query;
  klass->make_work = make_work;
  klass->own_latency = own_latency;
}

GType get_type() {
  static const GType type = [] {
    const GTypeInfo info = {
        sizeof(GstOmniVideoTokenizerClass), nullptr, nullptr,       class_init, nullptr, nullptr,
        sizeof(GstOmniVideoTokenizer),      0,       instance_init, nullptr};
    return g_type_register_static(GST_TYPE_OMNI_TOKENIZER, "GstOmniVideoTokenizer", &info,
                                  GTypeFlags(0));
  }();
  return type;
}

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnivideotokenizer, "omnivideotokenizer", GST_RANK_NONE, get_type());
