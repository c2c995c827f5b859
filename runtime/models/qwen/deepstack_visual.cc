#include "qwen/deepstack_visual.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "qwen/patch_attention.h"

namespace omni::qwen {

namespace {

constexpr float kEps = 1e-6f;

// Where a position of an axis of `size` lies between learned ones.
struct Taps {
  int64_t first, second;
  float first_weight, second_weight;
};

// (vision_utils.py, _interpolation_axis_taps_weights, align_corners)
Taps taps_of(int64_t index, int64_t size, int64_t side) {
  const float at = float(index) * float(side - 1) / float(std::max<int64_t>(size - 1, 1)),
              floor = std::floor(at);
  const auto first = int64_t(floor);
  return {first, std::min(first + 1, side - 1), 1 - (at - floor), at - floor};
}

}  // namespace

DeepStackVisual::DeepStackVisual(const Weights& w, const DeepStackConfig& c, const VisionSpec& spec,
                                 const MergerNames& names)
    : device_(w.device()), config_(c), spec_(spec) {
  const int64_t hidden = c.hidden_size, patch = int64_t{c.in_channels} * c.temporal_patch_size *
                                                c.patch_size * c.patch_size;
  patch_embed_ = Linear(w.scope("patch_embed"), {{"proj", hidden}}, patch, Bias::each);
  pos_embed_ =
      w.scope("pos_embed").get_f32("weight", {int64_t{c.position_side} * c.position_side, hidden});
  for (int i = 0; i < c.depth; ++i) {
    const Weights b = w.scope("blocks").scope(i), attn = b.scope("attn");
    blocks_.push_back({LayerNorm(b.scope("norm1"), hidden, kEps),
                       LayerNorm(b.scope("norm2"), hidden, kEps),
                       Linear(attn, {{"qkv", 3 * hidden}}, hidden, Bias::each),
                       Linear(attn, {{"proj", hidden}}, hidden, Bias::each),
                       Mlp(b.scope("mlp"), hidden, c.intermediate_size, hidden, ops::gelu_tanh_,
                           {"linear_fc1", "linear_fc2"})});
  }
  const int64_t merged = hidden * c.spatial_merge_size * c.spatial_merge_size;
  const auto merger = [&](const Weights& m, int64_t width) {
    return Merger{LayerNorm(m.scope(names.norm), width, kEps),
                  Mlp(m, merged, merged, c.out_hidden_size, ops::gelu_, {names.fc1, names.fc2})};
  };
  merger_ = merger(w.scope("merger"), hidden);
  deepstack_merger_of_.assign(size_t(c.depth), -1);
  for (size_t i = 0; i < c.deepstack_visual_indexes.size(); ++i) {
    deepstack_mergers_.push_back(merger(w.scope(names.list).scope(int64_t(i)), merged));
    deepstack_merger_of_[size_t(c.deepstack_visual_indexes[i])] = int(i);
  }
}

ImagePlan DeepStackVisual::plan(PictureSize source, PixelLimits limits) const {
  const int patch = config_.patch_size, merge = config_.spatial_merge_size, factor = patch * merge;
  const PictureSize size =
      limits.frames > 1 ? smart_resize({limits.frames, config_.temporal_patch_size}, source.height,
                                       source.width, factor, limits.min, limits.max)
                        : smart_resize(source.height, source.width, factor, limits.min, limits.max);
  return {size,
          size.height / patch,
          size.width / patch,
          int64_t{config_.in_channels} * config_.temporal_patch_size * patch * patch,
          size.height / factor,
          size.width / factor};
}

Tensor DeepStackVisual::position_embeddings(const ImagePlan& plan) const {
  const int merge = config_.spatial_merge_size;
  const int64_t hidden = config_.hidden_size, side = config_.position_side;
  Tensor out = Tensor::zeros(DType::f32, {int64_t{plan.grid_h} * plan.grid_w, hidden});
  float* y = out.f32();
  const auto add = [&](int64_t row, int64_t column, float weight) {
    const float* x = pos_embed_.f32() + (row * side + column) * hidden;
    for (int64_t i = 0; i < hidden; ++i) y[i] += weight * x[i];
  };
  const auto place = [&](int64_t row, int64_t column) {
    const Taps h = taps_of(row, plan.grid_h, side), w = taps_of(column, plan.grid_w, side);
    add(h.first, w.first, h.first_weight * w.first_weight);
    add(h.first, w.second, h.first_weight * w.second_weight);
    add(h.second, w.first, h.second_weight * w.first_weight);
    add(h.second, w.second, h.second_weight * w.second_weight);
    y += hidden;
  };
  for (int64_t th = 0; th < plan.tokens_h; ++th)
    for (int64_t tw = 0; tw < plan.tokens_w; ++tw)
      for (int mh = 0; mh < merge; ++mh)
        for (int mw = 0; mw < merge; ++mw) place(th * merge + mh, tw * merge + mw);
  return out;
}

Tensor DeepStackVisual::merge(ops::Context& cx, const Merger& merger, const Tensor& x,
                              bool is_inner) const {
  const int64_t unit = int64_t{config_.spatial_merge_size} * config_.spatial_merge_size;
  const Shape merged{x.dim(0) / unit, unit * x.dim(1)};
  const DType operand = merger.mlp.operand();
  return merger.mlp(cx, is_inner ? merger.norm(cx, x.reshape(merged), operand)
                                 : merger.norm(cx, x, operand).reshape(merged));
}

Tensor DeepStackVisual::encode(ops::Context& cx, const Tensor& patches,
                               const ImagePlan& plan) const {
  const int out_hidden = config_.out_hidden_size;
  const int64_t n = patches.dim(0), n_merged = int64_t{plan.tokens_h} * plan.tokens_w,
                width = out_hidden * (1 + int64_t(deepstack_mergers_.size()));
  Tensor out = cx.arena.f32({n_merged, width});
  Arena::Scope scope(cx.arena);
  const auto put = [&](int64_t level, const Tensor& rows) {
    ops::copy_rows(cx, {static_cast<float*>(out.raw()) + level * out_hidden, width, 1, out_hidden},
                   {static_cast<float*>(const_cast<void*>(rows.raw())), out_hidden, 1, out_hidden},
                   n_merged);
  };
  std::vector<int64_t> tokens(static_cast<size_t>(n_merged));
  std::iota(tokens.begin(), tokens.end(), 0);
  const int64_t whole[] = {0, n};
  const Tensor rotary = ops::from_host(  // [2, n, head_dim / 2]
      cx, rotary_table(tokens, plan.tokens_w, config_.spatial_merge_size,
                       config_.hidden_size / config_.num_heads));
  Tensor x = patch_embed_(cx, ops::from_host(cx, patches));  // [n, hidden]
  ops::add_(cx, x, ops::from_host(cx, position_embeddings(plan)));
  int64_t level = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    Arena::Scope inner(cx.arena);
    const Block& block = blocks_[i];
    add_attention(cx, x, block.norm1(cx, x, block.qkv.operand()), block.qkv, block.proj,
                  config_.num_heads, rotary, std::span<const int64_t>(whole));
    block.mlp.add_to(cx, x, block.norm2(cx, x, block.mlp.operand()));
    if (const int m = deepstack_merger_of_[i]; m >= 0)
      put(++level, merge(cx, deepstack_mergers_[size_t(m)], x, true));
  }
  put(0, merge(cx, merger_, x, false));
  return out;
}

}  // namespace omni::qwen
