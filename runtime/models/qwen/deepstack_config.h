// What config.json says of the tower with learned positions and DeepStack, and of the rotary
// embedding of the text models behind it. (configuration_qwen3_vl.py)
#pragma once

#include <span>
#include <vector>

#include "io/config_keys.h"
#include "qwen/config.h"

namespace omni::qwen {

struct DeepStackConfig : VisionConfig {
  int position_side = 0;                      // of the square of learned position embeddings
  std::vector<int> deepstack_visual_indexes;  // the block behind which each of the mergers looks
};
DeepStackConfig read_deepstack(const Json& j);

extern const std::span<const ConfigKey> kDeepStackKeys,  // of vision_config
    kInterleavedRopeKeys;  // of the text model, whose axes of positions take turns

}  // namespace omni::qwen
