// What the configuration files of Qwen3-Omni say of all but its voice, nested under thinker_config
// or alone. (transformers, configuration_qwen3_omni_moe.py, processing_qwen3_omni_moe.py)
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "qwen/config.h"
#include "qwen/deepstack_config.h"

namespace omni::qwen3_omni {

struct AudioConfig {
  int d_model, encoder_layers, encoder_attention_heads, encoder_ffn_dim, num_mel_bins, output_dim,
      downsample_hidden_size;
  int n_window;        // half the mel frames of a piece, whose ends the convolutions see
  int n_window_infer;  // mel frames that attend to one another: whole pieces
};

struct Config {
  Json thinker;  // of config.json
  qwen::TextConfig text;
  qwen::DeepStackConfig vision;
  AudioConfig audio;
  VisionSpec spec;
  int position_id_per_seconds;
  bool thinker_alone;  // tensor names without "thinker."
  bool has_voice;

  static Config read(const std::filesystem::path& folder);
};

// The list of all keys of its configuration files: throws unsupported for a key whose value is not
// what is computed here, and returns the keys that are in no list.
std::vector<std::string> check_config_keys(const std::filesystem::path& folder);

}  // namespace omni::qwen3_omni
