// A sequence that shares neither pages nor forwards with others.
#pragma once

#include <utility>

#include "interface/paged_state.h"
#include "interface/text_model.h"

namespace omni {

struct LoneSequence {
  LoneSequence(const ops::KvLayout& layout, int n_lanes)
      : pages(layout), state(pages, n_lanes), workspace(n_lanes) {}
  explicit LoneSequence(const TextModel& model)
      : LoneSequence(model.kv_layout(model.kv_type()), kLanes) {}

  Tensor forward(const TextModel& model, ops::Context& cx, const Tensor& x,
                 std::span<const Position> positions, Lane lane = Lane::text,
                 DeepFeatures deep = {}) {
    const SequenceRows rows{&state, positions, lane, std::move(deep)};
    return model.forward(cx, x, {&rows, 1}, workspace);
  }

  KvPages pages;
  PagedState state;
  ForwardWorkspace workspace;
};

}  // namespace omni
