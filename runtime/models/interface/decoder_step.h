// A decoder's work for one row behind its cache. On a device it is recorded and then run as a
// whole, which spares its many launches: what differs from row to row (the values, the place) lies
// in memory of its own. The first row in a cache that has moved runs unrecorded, so that the arena
// has grown when the second is recorded.
#pragma once

#include <functional>
#include <memory>

#include "interface/kv_cache.h"

namespace omni {

class DecoderStep {
 public:
  struct Place {
    const float *cos, *sin;  // [1, head_dim / 2]
    ops::Length n_past;
  };
  using Work =
      std::function<Tensor(ops::Context& cx, const Tensor& x, const Place& place, KvCache& cache)>;
  explicit DecoderStep(Work work) : work_(std::move(work)) {}

  // x [1, width], angles: cosines, then sines → the work's result, valid until the next row; the
  // cache has one row more. Always with the same arena and cache.
  Tensor run(ops::Context& cx, const Tensor& x, std::span<const float> angles, KvCache& cache);

 private:
  void run_on_device(ops::Context& cx, const Tensor& x, std::span<const float> angles,
                     KvCache& cache);

  Work work_;
  Tensor x_, angles_, n_past_, result_;  // on the device
  int64_t capacity_ = 0;                 // of the cache when it was run last
  std::unique_ptr<Device::Recording> recording_;
};

}  // namespace omni
