#include "interface/decoder_step.h"

namespace omni {

Tensor DecoderStep::run(ops::Context& cx, const Tensor& x, std::span<const float> angles,
                        KvCache& cache) {
  cache.reserve(cx, 1);
  if (cx.arena.device())
    run_on_device(cx, x, angles, cache);
  else
    result_ =
        work_(cx, x, {angles.data(), angles.data() + angles.size() / 2, cache.length()}, cache);
  cache.advance(1);
  return result_;
}

void DecoderStep::run_on_device(ops::Context& cx, const Tensor& x, std::span<const float> angles,
                                KvCache& cache) {
  if (!x_.defined()) {
    x_ = cx.arena.lasting(DType::f32, x.shape());
    angles_ = cx.arena.lasting(DType::f32, {int64_t(angles.size())});
    n_past_ = cx.arena.lasting(DType::i64, {1});
  }
  const int64_t n_past = cache.length();
  ops::copy_(cx, x_, x);
  cx.arena.queue().upload(angles_.raw(), angles.data(), angles.size_bytes());
  cx.arena.queue().upload(n_past_.raw(), &n_past, sizeof n_past);
  const auto work = [&] {
    Arena::Scope scope(cx.arena);
    const auto* cos = static_cast<const float*>(angles_.raw());
    const Tensor y = work_(cx, x_,
                           {cos,
                            cos + angles_.numel() / 2,
                            {cache.capacity() - 1, static_cast<const int64_t*>(n_past_.raw())}},
                           cache);
    if (!result_.defined()) result_ = cx.arena.lasting(DType::f32, y.shape());
    ops::copy_(cx, result_, y);
  };
  if (cache.capacity() != capacity_) {
    recording_.reset();
    work();
    capacity_ = cache.capacity();
    return;
  }
  if (!recording_) recording_ = cx.arena.queue().record(work);
  cx.arena.queue().run(*recording_);
}

}  // namespace omni
