// Patches → rows of the text model. Merged tokens are brought into the order of their windows once,
// and back at the end. (modeling_qwen2_5_vl.py,
// Qwen2_5_VisionTransformerPretrainedModel)
#include "qwen/visual.h"

#include <algorithm>

#include "qwen/patch_attention.h"

namespace omni::qwen {

namespace {

constexpr float kEps = 1e-6f;

template <class Norm>
Tensor apply(const Norm& norm, ops::Context& cx, const Tensor& x, DType out) {
  return std::visit([&](const auto& n) { return n(cx, x, out); }, norm);
}

}  // namespace

Windows windows_of(int merged_h, int merged_w, int window) {
  Windows w;
  for (int top = 0; top < merged_h; top += window)
    for (int left = 0; left < merged_w; left += window) {
      w.begins.push_back(int64_t(w.order.size()));
      for (int y = top; y < std::min(top + window, merged_h); ++y)
        for (int x = left; x < std::min(left + window, merged_w); ++x)
          w.order.push_back(int64_t(y) * merged_w + x);
    }
  w.begins.push_back(int64_t(w.order.size()));
  return w;
}

Visual::Visual(const Weights& w, const VisionConfig& c, const VisionSpec& spec)
    : device_(w.device()), config_(c), spec_(spec) {
  const int64_t hidden = c.hidden_size, patch = int64_t{c.in_channels} * c.temporal_patch_size *
                                                c.patch_size * c.patch_size;
  patch_embed_ = Linear(w.scope("patch_embed"), {{"proj", hidden}}, patch, Bias::none);
  for (int i = 0; i < c.depth; ++i) {
    const Weights b = w.scope("blocks").scope(i), attn = b.scope("attn"), mlp = b.scope("mlp");
    Block block{norm(b.scope("norm1")),
                norm(b.scope("norm2")),
                c.fused_qkv ? Linear(attn, {{"qkv", 3 * hidden}}, hidden, Bias::each)
                            : Linear(attn, {{"q", hidden}, {"k", hidden}, {"v", hidden}}, hidden,
                                     Bias::each),
                Linear(attn, {{"proj", hidden}}, hidden, Bias::each),
                {}};
    if (c.blocks == VisionConfig::Blocks::rms_norm_swiglu)
      block.mlp = SwiGluMlp(mlp, hidden, c.intermediate_size, Bias::each);
    else
      block.mlp = Mlp(mlp, hidden, c.intermediate_size, hidden, ops::quick_gelu_, {});
    blocks_.push_back(std::move(block));
  }
  const int64_t merged = hidden * c.spatial_merge_size * c.spatial_merge_size;
  const Weights m = w.scope("merger");
  ln_q_ = norm(m.scope("ln_q"));
  mlp_0_ = Linear(m.scope("mlp"), {{"0", merged}}, merged, Bias::each);
  mlp_2_ = Linear(m.scope("mlp"), {{"2", c.out_hidden_size}}, merged, Bias::each);
}

Visual::Norm Visual::norm(const Weights& w) const {
  if (config_.blocks == VisionConfig::Blocks::rms_norm_swiglu)
    return RmsNorm(w, config_.hidden_size, kEps);
  return LayerNorm(w, config_.hidden_size, kEps);
}

ImagePlan Visual::plan(PictureSize source, PixelLimits limits) const {
  const int patch = config_.patch_size, merge = config_.spatial_merge_size;
  const PictureSize size =
      smart_resize(source.height, source.width, patch * merge, limits.min, limits.max);
  return {size,
          size.height / patch,
          size.width / patch,
          int64_t{config_.in_channels} * config_.temporal_patch_size * patch * patch,
          size.height / patch / merge,
          size.width / patch / merge};
}

Tensor Visual::encode(ops::Context& cx, const Tensor& patches, const ImagePlan& plan) const {
  const int merge = config_.spatial_merge_size, unit = merge * merge, merged_h = plan.tokens_h,
            merged_w = plan.tokens_w;
  const int64_t n_merged = patches.dim(0) / unit;
  Tensor out = cx.arena.f32({n_merged, config_.out_hidden_size});  // [n_merged, out_hidden]
  Arena::Scope scope(cx.arena);

  const int window = config_.window_size ? config_.window_size / merge / config_.patch_size
                                         : std::max(merged_h, merged_w);
  const Windows windows = windows_of(merged_h, merged_w, window);
  const Tensor inputs[] = {
      patches,  // and [2, n, head_dim / 2]
      rotary_table(windows.order, merged_w, merge, config_.hidden_size / config_.num_heads)};
  const auto work = [&](ops::Context& inner, std::span<const Tensor> in) {
    return Recorded::Tensors{tokens(inner, in[0], in[1], windows)};
  };
  ops::copy_(cx, out, recorded_(cx, inputs, merged_w, work)[0]);
  return out;
}

Tensor Visual::tokens(ops::Context& cx, const Tensor& patches, const Tensor& rotary,
                      const Windows& windows) const {
  const int64_t unit = int64_t{config_.spatial_merge_size} * config_.spatial_merge_size,
                n = patches.dim(0), n_merged = n / unit;
  std::vector<int64_t> window_spans = windows.begins;
  for (int64_t& b : window_spans) b *= unit;
  const int64_t whole[] = {0, n};
  // [n_merged, unit · hidden]
  const Tensor embedded = patch_embed_(cx, patches).reshape({n_merged, unit * config_.hidden_size});
  // [n, hidden], window after window
  Tensor x = ops::index_select(cx, embedded, windows.order).reshape({n, config_.hidden_size});
  for (int i = 0; i < config_.depth; ++i) {
    Arena::Scope inner(cx.arena);
    const Block& block = blocks_[size_t(i)];
    const bool full = config_.fullatt_block_indexes.count(i) != 0;
    add_attention(cx, x, apply(block.norm1, cx, x, block.qkv.operand()), block.qkv, block.proj,
                  config_.num_heads, rotary, full ? std::span<const int64_t>(whole) : window_spans);
    std::visit(
        [&](const auto& mlp) { mlp.add_to(cx, x, apply(block.norm2, cx, x, mlp.operand())); },
        block.mlp);
  }
  // [n_merged, unit · hidden]
  Tensor merged = mlp_0_(
      cx, apply(ln_q_, cx, x, mlp_0_.operand()).reshape({n_merged, unit * config_.hidden_size}));
  ops::gelu_(cx, merged, mlp_2_.operand());
  std::vector<int64_t> back(windows.order.size());
  for (size_t i = 0; i < back.size(); ++i) back[size_t(windows.order[i])] = int64_t(i);
  return ops::index_select(cx, mlp_2_(cx, merged), back);
}

}  // namespace omni::qwen
