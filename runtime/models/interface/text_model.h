// The text model of a family. Its weights are const and shared; the cache and the step belong to
// the sequence.
#pragma once

#include <functional>
#include <span>

#include "interface/decoder_step.h"
#include "interface/rows.h"

namespace omni {

class TextModel {
 public:
  virtual ~TextModel() = default;

  // where its weights are and a Context's arena must be; nullptr: the host
  virtual const Device* device() const = 0;
  virtual int hidden() const = 0;
  virtual int64_t max_positions() const = 0;

  virtual KvCache new_cache() const = 0;
  virtual Tensor embed(ops::Context& cx, std::span<const int32_t> ids) const = 0;  // [n, hidden]
  // Runs rows x[n, hidden] behind the cache and appends them to it. → hidden states after the last
  // norm, [n, hidden]
  virtual Tensor forward(ops::Context& cx, const Tensor& x, std::span<const Position> positions,
                         KvCache& cache) const = 0;
  // The same for one row [1, hidden]; `step`: the sequence's, with the cache.
  virtual Tensor decode(ops::Context& cx, const Tensor& x, const Position& position, KvCache& cache,
                        DecoderStep& step) const = 0;
  virtual DecoderStep new_step() const = 0;
  virtual Tensor logits(ops::Context& cx, const Tensor& hidden) const = 0;  // [n, vocabulary]
  // Turns the cached keys of rows [begin, end) as if their positions had been smaller by
  // delta(row).
  virtual void shift_keys(ops::Context& cx, KvCache& cache, int64_t begin, int64_t end,
                          const std::function<Position(int64_t)>& delta) const = 0;
};

}  // namespace omni
