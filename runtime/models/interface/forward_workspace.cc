#include "interface/forward_workspace.h"

namespace omni {

Tensor ForwardWorkspace::run(ops::Context& cx, const Tensor& x, int variant, const Work& work) {
  const ops::PagedBatch::Shape& shape = batch.shape();
  if (!cx.arena.device() || shape.n_singles != shape.n_tokens) return work(cx, x);
  if (!scratch_) scratch_ = cx.arena.beside();
  ops::Context on_scratch{cx.pool, *scratch_};
  Step& step = steps_[x.dim(0)];
  const bool known = step.x.defined() && step.shape == shape && step.variant == variant;
  if (!step.x.defined()) step.x = cx.arena.lasting(DType::f32, x.shape());
  ops::copy_(cx, step.x, x);
  const auto whole = [&] {
    Arena::Scope scope(*scratch_);
    const Tensor y = work(on_scratch, step.x);
    if (!step.y.defined()) step.y = cx.arena.lasting(DType::f32, y.shape());
    ops::copy_(on_scratch, step.y, y);
  };
  if (!known) {
    step.recording.reset();
    step.shape = shape;
    step.variant = variant;
    whole();
    return step.y;
  }
  if (!step.recording) step.recording = cx.arena.queue().record(whole);
  cx.arena.queue().run(*step.recording);
  return step.y;
}

}  // namespace omni
