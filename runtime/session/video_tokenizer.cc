// Frames → resized pairs → patches → rows, a segment each. On a device a frame becomes patches at
// once, on the host when its pair is complete.
#include <algorithm>
#include <cmath>

#include "session/tokenizers.h"
#include "video/colour.h"
#include "video/device_patches.h"

namespace omni {
namespace {

class ModelVideoTokenizer final : public VideoTokenizer {
 public:
  ModelVideoTokenizer(std::shared_ptr<const void> engine, const VisionEncoder& encoder,
                      ThreadPool& pool, const VideoOptions& o)
      : engine_(std::move(engine)),
        encoder_(encoder),
        pool_(pool),
        arena_(encoder.device()),
        spec_(encoder.spec()),
        limits_(o.still ? spec_.image : limits_of_video(spec_.video, o)),
        still_(o.still),
        rate_(o.frame_rate) {
    if (o.min_pixels) limits_.min = o.min_pixels;
    if (o.max_pixels) limits_.max = o.max_pixels;
    if (o.detail == Detail::low) limits_.max = std::max(limits_.min, limits_.max / 4);
    if (rate_.num <= 0 || rate_.den <= 0)
      throw Error(ErrorCode::invalid_argument, "frame-rate must be positive");
    if (limits_.max < limits_.min)
      throw Error(ErrorCode::invalid_argument, "max-pixels " + std::to_string(limits_.max) +
                                                   " is below min-pixels " +
                                                   std::to_string(limits_.min));
  }

  std::optional<Segment> push(const VideoFrame& frame) override {
    if (!has_first_) {
      plan_ = encoder_.plan({frame.height, frame.width}, limits_);
      const Shape shape{int64_t{plan_.grid_h} * plan_.grid_w, plan_.patch_size};
      if (!patches_.defined() || !(patches_.shape() == shape))
        patches_ = Tensor::on(encoder_.device(), DType::f32, shape);
      take(frame, 0);
      start_ = frame.time;
      frames_apart_ = 0;
      source_ = {frame.height, frame.width};
      has_first_ = true;
      return still_ ? finish() : std::nullopt;
    }
    take(frame, 1);
    frames_apart_ = std::max<Nanoseconds>(0, frame.time - start_);
    return encode();
  }

  std::optional<Segment> finish() override {
    if (!has_first_) return std::nullopt;
    repeat();
    return encode();
  }

  void reset() override { has_first_ = false; }

 private:
  // Limits of a whole video are shared by its frames, unless a frame's own are asked for.
  static PixelLimits limits_of_video(PixelLimits limits, const VideoOptions& o) {
    if (limits.frames == 1) return limits;
    if (o.frames > 0) limits.frames = std::min(o.frames, limits.frames);
    if (o.min_pixels || o.max_pixels)
      return {limits.min / limits.frames, limits.max / limits.frames};
    return limits;
  }

  // On the host frames wait at their size for the pair; on a device each becomes its half of the
  // patches at once.
  void take(const VideoFrame& frame, int index) {
    if (encoder_.device())
      return device_patches_.run(arena_, spec_.layout, frame, plan_.size, index, patches_);
    if (frame.on_device)
      throw Error(ErrorCode::unsupported,
                  "a frame in device memory for a model on the CPU: device=cuda reads it, anything "
                  "else needs it downloaded");
    rgb_[index].resize(size_t(plan_.size.width) * size_t(plan_.size.height) * 3);
    scaler_.run(frame, plan_.size, rgb_[index].data());
  }

  // The first frame stands for its pair, too.
  void repeat() {
    if (!encoder_.device()) {
      rgb_[1] = rgb_[0];
      return;
    }
    const int area = spec_.layout.patch * spec_.layout.patch;  // of patches [grid, 3, 2, area]
    ops::Context cx{pool_, arena_};
    auto* first = static_cast<float*>(patches_.raw());
    ops::copy_rows(cx, {first + area, 2 * area, 1, area}, {first, 2 * area, 1, area},
                   patches_.numel() / (2 * area));
  }

  Segment encode() {
    has_first_ = false;
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    if (!encoder_.device())
      patchify(spec_.layout, plan_.size, rgb_[0].data(), rgb_[1].data(), patches_.f32());
    const Tensor y = encoder_.encode(cx, patches_, plan_);
    Segment s;
    s.modality = still_ ? Modality::image : Modality::video;
    s.n_tokens = int(y.dim(0));
    s.hidden = int(y.dim(1));
    std::vector<float> room;
    const auto values = ops::to_host(cx, y, room);
    s.embeddings.assign(values.begin(), values.end());
    s.grid_h = plan_.tokens_h;
    s.grid_w = plan_.tokens_w;
    s.seconds_per_grid = spec_.temporal_patch / rate_.value();
    s.start = start_;
    s.frames_apart = frames_apart_;
    // The next image may begin when this one's time is over.
    const double seconds = still_ ? 1 / rate_.value() : s.seconds_per_grid;
    s.duration = Nanoseconds(std::llround(seconds * double(kSecond)));
    s.source_width = source_.width, s.source_height = source_.height;
    s.resized_width = plan_.size.width, s.resized_height = plan_.size.height;
    return s;
  }

  std::shared_ptr<const void> engine_;
  const VisionEncoder& encoder_;
  ThreadPool& pool_;
  Arena arena_;
  VisionSpec spec_;
  PixelLimits limits_;
  bool still_;
  Rational rate_;
  FrameScaler scaler_;  // on the host
  DevicePatches device_patches_;
  ImagePlan plan_;
  PictureSize source_{0, 0};
  std::vector<uint8_t> rgb_[2];
  Tensor patches_;
  bool has_first_ = false;
  Nanoseconds start_ = 0, frames_apart_ = 0;
};

}  // namespace

std::unique_ptr<VideoTokenizer> make_video_tokenizer(std::shared_ptr<const void> engine,
                                                     const VisionEncoder& encoder, ThreadPool& pool,
                                                     const VideoOptions& options) {
  return std::make_unique<ModelVideoTokenizer>(std::move(engine), encoder, pool, options);
}

}  // namespace omni
