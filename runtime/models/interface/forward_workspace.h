// What a text model uses again in each forward: the metadata of the batch and, on a device, the
// recorded steps. A step (one token of each sequence) is recorded once for a number of sequences
// and then run as a whole, which spares its many launches: what differs from step to step lies in
// memory that stays. The first step of a shape runs unrecorded, so that everything has its memory
// when the second is recorded; intermediate results of steps lie in an arena that nothing else
// uses, since a recorded step puts them where they were. Always used with the same model and arena.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "ops/paged_batch.h"

namespace omni {

class ForwardWorkspace {
 public:
  using Work = std::function<Tensor(ops::Context& cx, const Tensor& x)>;
  explicit ForwardWorkspace(int n_lanes) : batch(n_lanes) {}

  ops::PagedBatch batch;
  // Whether a model with a TextModel::kept_layer() puts into `kept` [n, hidden] what is behind it;
  // valid as long as the result of the forward.
  bool keeps = false;
  Tensor kept;
  // work(cx, x), x [n, width], for the batch as it was uploaded last, which takes memory of the
  // context that it is given only. `variant`: two forwards of equal shapes and variants ask for the
  // same ops. On a device the result of a step is valid until the next one of as many tokens.
  Tensor run(ops::Context& cx, const Tensor& x, int variant, const Work& work);

 private:
  struct Step {
    ops::PagedBatch::Shape shape;
    int variant;
    Tensor x, y;  // where the recorded step reads and writes
    std::unique_ptr<Device::Recording> recording;
  };
  std::unique_ptr<Arena> scratch_;
  std::map<int64_t, Step> steps_;  // by their number of tokens
};

}  // namespace omni
