// What the configuration files of Qwen3-VL say. (transformers, configuration_qwen3_vl.py,
// configuration_qwen3_vl_moe.py, video_processing_qwen3_vl.py)
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "qwen/config.h"
#include "qwen/deepstack_config.h"

namespace omni::qwen3_vl {

struct Config {
  Json json;  // config.json
  qwen::TextConfig text;
  qwen::DeepStackConfig vision;
  VisionSpec spec;

  static Config read(const std::filesystem::path& folder);
};

// The list of all keys of its configuration files: throws unsupported for a key whose value is not
// what is computed here, and returns the keys that are in no list.
std::vector<std::string> check_config_keys(const std::filesystem::path& folder);

// Whether its chat template opens every answer with a thought.
bool read_thinks(const std::filesystem::path& folder);

}  // namespace omni::qwen3_vl
