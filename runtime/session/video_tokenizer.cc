#include <algorithm>
#include <cmath>

#include "session/tokenizers.h"
#include "video/colour.h"
#include "video/device_patches.h"

namespace omni {
namespace {

class ModelVideoTokenizer final : public VideoTokenizer {
 public:
  ModelVideoTokenizer(std::shared_ptr<const void> engine, const Model& model, ThreadPool& pool,
                      const VideoOptions& o)
      : engine_(std::move(engine)),
        model_(model),
        pool_(pool),
        arena_(model.device()),
        spec_(model.vision()),
        still_(o.still),
        rate_(o.frame_rate) {
    if (o.still)
      spec_.min_pixels = spec_.image_min_pixels, spec_.max_pixels = spec_.image_max_pixels;
    if (o.min_pixels) spec_.min_pixels = o.min_pixels;
    if (o.max_pixels) spec_.max_pixels = o.max_pixels;
    if (o.detail == Detail::low)
      spec_.max_pixels = std::max(spec_.min_pixels, spec_.max_pixels / 4);
    if (rate_.num <= 0 || rate_.den <= 0)
      throw Error(ErrorCode::invalid_argument, "frame-rate must be positive");
    if (spec_.max_pixels < spec_.min_pixels)
      throw Error(ErrorCode::invalid_argument, "max-pixels " + std::to_string(spec_.max_pixels) +
                                                   " is below min-pixels " +
                                                   std::to_string(spec_.min_pixels));
  }

  std::optional<Segment> push(const VideoFrame& frame) override {
    if (!has_first_) {
      size_ = smart_resize(frame.height, frame.width, spec_.layout.patch * spec_.layout.merge,
                           spec_.min_pixels, spec_.max_pixels);
      const Shape shape{
          int64_t{size_.height / spec_.layout.patch} * (size_.width / spec_.layout.patch),
          int64_t{3} * spec_.temporal_patch * spec_.layout.patch * spec_.layout.patch};
      if (!patches_.defined() || !(patches_.shape() == shape))
        patches_ = Tensor::on(model_.device(), DType::f32, shape);
      take(frame, 0);
      start_ = frame.time;
      source_ = {frame.height, frame.width};
      has_first_ = true;
      return still_ ? finish() : std::nullopt;
    }
    take(frame, 1);
    return encode();
  }

  std::optional<Segment> finish() override {
    if (!has_first_) return std::nullopt;
    repeat();
    return encode();
  }

  void reset() override { has_first_ = false; }

 private:
  // On the host pictures wait at their size for the pair; on a device each becomes its half of the
  // patches at once.
  void take(const VideoFrame& frame, int index) {
    if (model_.device())
      return device_patches_.run(arena_, spec_.layout, frame, size_, index, patches_);
    if (frame.on_device)
      throw Error(ErrorCode::unsupported,
                  "a frame in device memory for a model on the CPU: device=cuda reads it, anything "
                  "else needs it downloaded");
    rgb_[index].resize(size_t(size_.width) * size_t(size_.height) * 3);
    scaler_.run(frame, size_, rgb_[index].data());
  }

  // The picture stands for its pair, too.
  void repeat() {
    if (!model_.device()) {
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
    const int h = size_.height / spec_.layout.patch, w = size_.width / spec_.layout.patch;
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    if (!model_.device())
      patchify(spec_.layout, size_, rgb_[0].data(), rgb_[1].data(), patches_.f32());
    const Tensor y = model_.encode_pictures(cx, patches_, h, w);
    Segment s;
    s.modality = still_ ? Modality::image : Modality::video;
    s.n_tokens = int(y.dim(0));
    s.hidden = int(y.dim(1));
    std::vector<float> room;
    const auto values = ops::to_host(cx, y, room);
    s.embeddings.assign(values.begin(), values.end());
    s.grid_h = h / spec_.layout.merge;
    s.grid_w = w / spec_.layout.merge;
    s.seconds_per_grid = spec_.temporal_patch / rate_.value();
    s.start = start_;
    s.duration = Nanoseconds(std::llround(s.seconds_per_grid * double(kSecond)));
    s.source_width = source_.width, s.source_height = source_.height;
    s.resized_width = size_.width, s.resized_height = size_.height;
    return s;
  }

  std::shared_ptr<const void> engine_;
  const Model& model_;
  ThreadPool& pool_;
  Arena arena_;
  VisionSpec spec_;
  bool still_;
  Rational rate_;
  FrameScaler scaler_;  // on the host
  DevicePatches device_patches_;
  PictureSize size_{0, 0}, source_{0, 0};
  std::vector<uint8_t> rgb_[2];
  Tensor patches_;
  bool has_first_ = false;
  Nanoseconds start_ = 0;
};

}  // namespace

std::unique_ptr<VideoTokenizer> make_video_tokenizer(std::shared_ptr<const void> engine,
                                                     const Model& model, ThreadPool& pool,
                                                     const VideoOptions& options) {
  return std::make_unique<ModelVideoTokenizer>(std::move(engine), model, pool, options);
}

}  // namespace omni
