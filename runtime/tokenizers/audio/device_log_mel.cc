#include "audio/device_log_mel.h"

#include <cmath>
#include <cstring>
#include <numbers>

#include "ops/backend.h"

namespace omni {

namespace {

template <class T>
Tensor bytes_on(const Device* device, const std::vector<T>& values) {
  const Tensor host = Tensor::zeros(DType::u8, {int64_t(values.size() * sizeof(T))});
  std::memcpy(const_cast<void*>(host.raw()), values.data(), host.nbytes());
  return to_device(host, device);
}

}  // namespace

DeviceLogMel::DeviceLogMel(Arena& arena, int n_mels) : arena_(arena), frames_{} {
  const LogMel host(n_mels);
  constexpr int kSize = LogMel::kFftSize, kBins = kSize / 2 + 1;
  std::vector<double> cos, sin;
  for (int i = 0; i < kSize; ++i)
    for (int k = 0; k < kBins; ++k) {
      const double angle = 2 * std::numbers::pi * (i * k % kSize) / kSize;
      cos.push_back(host.window()[size_t(i)] * std::cos(angle)),
          sin.push_back(-host.window()[size_t(i)] * std::sin(angle));
    }
  std::vector<int> first, n;
  size_t widest = 1;
  for (const LogMel::Band& b : host.bands()) {
    first.push_back(b.first), n.push_back(int(b.weight.size()));
    widest = std::max(widest, b.weight.size());
  }
  std::vector<double> weight(host.bands().size() * widest);
  for (size_t m = 0; m < host.bands().size(); ++m)
    std::copy(host.bands()[m].weight.begin(), host.bands()[m].weight.end(),
              weight.begin() + std::ptrdiff_t(m * widest));
  const Device* device = arena.device();
  tables_[0] = bytes_on(device, cos), tables_[1] = bytes_on(device, sin),
  tables_[2] = bytes_on(device, first), tables_[3] = bytes_on(device, n),
  tables_[4] = bytes_on(device, weight);
  frames_ = {static_cast<const double*>(tables_[0].raw()),
             static_cast<const double*>(tables_[1].raw()),
             static_cast<const int*>(tables_[2].raw()),
             static_cast<const int*>(tables_[3].raw()),
             static_cast<const double*>(tables_[4].raw()),
             n_mels,
             int(widest)};
}

void DeviceLogMel::operator()(std::span<const float> samples, int64_t n_frames,
                              std::vector<float>& out) const {
  Arena::Scope scope(arena_);
  auto* there = static_cast<float*>(arena_.allocate(samples.size_bytes()));
  arena_.queue().upload(there, samples.data(), samples.size_bytes());
  const Tensor bands = arena_.f32({n_frames, frames_.n_mels});
  static_cast<const ops::ComputeDevice&>(*arena_.device())
      .mel_frames(arena_.queue(), frames_, there, n_frames,
                  static_cast<float*>(const_cast<void*>(bands.raw())));
  const size_t before = out.size();
  out.resize(before + size_t(bands.numel()));
  arena_.queue().download(out.data() + before, bands.raw(), bands.nbytes());
}

}  // namespace omni
