#include "video/device_patches.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "ops/backend.h"
#include "video/colour.h"

namespace omni {

namespace {
constexpr size_t kMostAxes = 16;  // of a few sizes at a time
}

const DevicePatches::Axis& DevicePatches::axis(const Device* device, int in, int out, int patch) {
  if (const auto it = axes_.find({in, out}); it != axes_.end()) return it->second;
  if (axes_.size() >= kMostAxes) axes_.clear();
  ResizeAxis a = make_resize_axis(in, out, 1, 1);
  const Tensor first = Tensor::zeros(DType::u8, {int64_t(a.first.size() * sizeof(int))});
  std::memcpy(const_cast<void*>(first.raw()), a.first.data(), first.nbytes());
  int widest = 0;
  for (int i = 0; i + patch <= out; i += patch)
    widest = std::max(widest,
                      std::min(a.first[size_t(i + patch - 1)] + a.n_taps, in) - a.first[size_t(i)]);
  return axes_[{in, out}] = {to_device(first, device), to_device(a.weights, device), a.n_taps,
                             a.precision, widest};
}

void DevicePatches::run(Arena& arena, const PatchLayout& layout, const VideoFrame& frame,
                        PictureSize size, int index, Tensor& patches) {
  const auto& device = static_cast<const ops::ComputeDevice&>(*arena.device());
  const Interleaved l = interleaved(frame.format);
  const int chroma_w = (frame.width + 1) / 2, chroma_h = (frame.height + 1) / 2;
  const int wide = sample_bytes(frame.format);
  const int n_planes = frame.format == PixelFormat::nv12 || frame.format == PixelFormat::p010 ? 2
                       : frame.format == PixelFormat::i420                                    ? 3
                                                                                              : 1;
  const uint8_t* data[3] = {frame.data[0], frame.data[1], frame.data[2]};
  if (!frame.on_device) {
    int64_t bytes[3];
    for (int p = 0; p < n_planes; ++p) {
      const int rows = p ? chroma_h : frame.height,
                samples = wide * (p ? chroma_w * (n_planes == 2 ? 2 : 1)
                                    : frame.width * std::max(l.step, 1));
      bytes[p] = (rows - 1) * frame.stride[p] + samples;
    }
    upload(arena, slots_[index], frame, bytes, n_planes, data);
  }

  ops::FramePatches f{};
  const auto plane = [&](int c, int from, int offset, int step, int width, int height) {
    const Axis &x = axis(&device, width, size.width, layout.patch),
               &y = axis(&device, height, size.height, layout.patch);
    f.plane[c] = {data[from] + offset, frame.stride[from], step, width, height, x.view(), y.view()};
    f.widest_span = std::max({f.widest_span, x.widest_span, y.widest_span});
  };
  f.rows_first = l.step != 0;
  f.yuv = n_planes > 1;
  if (l.step) {
    const int offsets[] = {l.r, l.g, l.b};
    for (int c = 0; c < 3; ++c) plane(c, 0, offsets[c], l.step, frame.width, frame.height);
  } else {
    plane(0, 0, wide - 1, wide, frame.width, frame.height);
    for (int c = 1; c < 3; ++c) {
      if (n_planes == 1)
        f.plane[c] = f.plane[0];
      else if (n_planes == 2)
        plane(c, 1, c * wide - 1, 2 * wide, chroma_w, chroma_h);
      else
        plane(c, c, 0, 1, chroma_w, chroma_h);
    }
  }
  const Conversion k(frame.matrix, frame.full_range);
  f.y_offset = k.y_offset, f.y = k.y, f.r_v = k.r_v, f.g_u = k.g_u, f.g_v = k.g_v, f.b_u = k.b_u;
  for (size_t c = 0; c < 3; ++c)
    f.scale[c] = float(1 / (255 * layout.std[c])),
    f.offset[c] = float(-layout.mean[c] / layout.std[c]);
  f.index = index;
  f.patch = layout.patch, f.merge = layout.merge;
  f.grid_h = size.height / layout.patch, f.grid_w = size.width / layout.patch;
  device.frame_to_patches(arena.queue(), f, static_cast<float*>(patches.raw()));
  if (frame.on_device)
    arena.queue().wait();
  else
    arena.queue().mark(*slots_[index].read);
}

// On a queue of its own, behind the computation that read what is overwritten; the computation that
// comes runs behind it.
void DevicePatches::upload(Arena& arena, Slot& slot, const VideoFrame& frame, const int64_t bytes[],
                           int n_planes, const uint8_t* data[]) {
  const Device& device = *arena.device();
  if (!copies_) copies_ = device.make_queue(Device::Priority::normal);
  if (!slot.read) slot.arrived = device.make_mark(), slot.read = device.make_mark();
  const int64_t all = std::accumulate(bytes, bytes + n_planes, int64_t{0});
  if (!slot.bytes.defined() || slot.bytes.numel() < all) {
    slot.bytes = Tensor();
    slot.bytes = arena.lasting(DType::u8, {all});
    arena.queue().mark(*slot.read);
  }
  copies_->run_behind(*slot.read);
  auto* to = static_cast<uint8_t*>(slot.bytes.raw());
  for (int p = 0; p < n_planes; to += bytes[p++]) {
    copies_->upload(to, frame.data[p], size_t(bytes[p]));
    data[p] = to;
  }
  copies_->mark(*slot.arrived);
  arena.queue().run_behind(*slot.arrived);
}

}  // namespace omni
