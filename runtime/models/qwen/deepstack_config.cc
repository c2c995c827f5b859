#include "qwen/deepstack_config.h"

#include <algorithm>
#include <cmath>

namespace omni::qwen {

namespace {

constexpr ConfigKey kRope[] = {
    {"mrope_section", ConfigKey::read},
    {"rope_theta", ConfigKey::read},
    {"interleaved", ConfigKey::assumed, R"([true])"},
    {"mrope_interleaved", ConfigKey::assumed, R"([true])"},
    {"rope_type", ConfigKey::assumed, R"(["default"])"},
    {"type", ConfigKey::assumed, R"(["default"])"},
    {"partial_rotary_factor", ConfigKey::assumed, R"([1, 1.0])"},
};

constexpr ConfigKey kVision[] = {
    {"deepstack_visual_indexes", ConfigKey::read},
    {"depth", ConfigKey::read},
    {"hidden_size", ConfigKey::read},
    {"in_channels", ConfigKey::read},
    {"intermediate_size", ConfigKey::read},
    {"num_heads", ConfigKey::read},
    {"num_position_embeddings", ConfigKey::read},
    {"out_hidden_size", ConfigKey::read},
    {"patch_size", ConfigKey::read},
    {"spatial_merge_size", ConfigKey::read},
    {"temporal_patch_size", ConfigKey::read},
    {"hidden_act", ConfigKey::assumed, R"(["gelu_pytorch_tanh"])"},
};

}  // namespace

DeepStackConfig read_deepstack(const Json& j) {
  DeepStackConfig c{};
  read_patches(j, c);
  c.hidden_size = size(j, "hidden_size");
  c.intermediate_size = size(j, "intermediate_size");
  c.out_hidden_size = size(j, "out_hidden_size");
  require_heads(j, c);
  const int64_t n = j.integer("num_position_embeddings", 1, kMost);
  c.position_side = int(std::lround(std::sqrt(double(n))));
  require(j, int64_t{c.position_side} * c.position_side == n,
          "has position embeddings, " + std::to_string(n) + ", that are no square");
  for (const int64_t index : j.at("deepstack_visual_indexes").integers(0, c.depth - 1))
    c.deepstack_visual_indexes.push_back(int(index));
  std::vector<int> sorted = c.deepstack_visual_indexes;
  std::sort(sorted.begin(), sorted.end());
  require(j, std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(),
          "has a block twice in deepstack_visual_indexes");
  return c;
}

const std::span<const ConfigKey> kDeepStackKeys = kVision;
const std::span<const ConfigKey> kInterleavedRopeKeys = kRope;

}  // namespace omni::qwen
