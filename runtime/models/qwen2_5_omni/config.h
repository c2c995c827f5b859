// config.json of Qwen2.5-Omni's Thinker, in both dialects: as published (rope_theta and
// rope_scaling) and as transformers 5 writes it (rope_parameters); nested under thinker_config, or
// a Thinker alone. A structural key that is missing is an error that names it: the class defaults
// of transformers are not the published values. (transformers, configuration_qwen2_5_omni.py)
#pragma once

#include <filesystem>
#include <set>
#include <vector>

#include "interface/load.h"
#include "qwen/config.h"

namespace omni::qwen2_5_omni {

using qwen::TextConfig, qwen::VisionConfig;

struct AudioConfig {
  int d_model, encoder_layers, encoder_attention_heads, encoder_ffn_dim, num_mel_bins, n_window,
      output_dim, max_source_positions;
};

struct TalkerConfig {
  TextConfig text;
  int32_t codec_pad, codec_start, codec_end, codec_mask;  // rows of its own table
  int32_t text_end, text_pad;                             // of the Thinker's
};

constexpr int kLeastVoiceFrames = 16;  // of the sample of a voice, which is reflected at its ends

struct DitConfig {
  int hidden_size, num_hidden_layers, num_attention_heads, head_dim, ff_mult, emb_dim, num_embeds,
      mel_dim, repeats, block_size;
  int enc_emb_dim, enc_dim, enc_attention_channels, enc_se_channels, enc_res2net_scale;
  std::vector<int> enc_channels, enc_kernel_sizes, enc_dilations;
  std::set<int> look_ahead_layers, look_backward_layers;
  double rope_theta;
  int64_t max_position_embeddings;
};

struct BigVganConfig {
  int mel_dim, upsample_initial_channel;
  std::vector<int> upsample_rates, upsample_kernel_sizes, resblock_kernel_sizes;
  std::vector<std::vector<int>> resblock_dilation_sizes;
};

struct SpeechConfig {
  TalkerConfig talker;
  DitConfig dit;
  BigVganConfig bigvgan;
  // Whether the checkpoint can speak.
  static bool is_there(const std::filesystem::path& folder);
  static SpeechConfig read(const std::filesystem::path& folder);
};

struct Config {
  TextConfig text;
  VisionConfig vision;
  AudioConfig audio;
  int position_id_per_seconds, seconds_per_chunk;
  bool thinker_alone;  // tensor names without "thinker."

  static Config read(const std::filesystem::path& folder);
};

// Throws corrupt_file where an id of config.json is not the tokenizer's of that name.
void check_token_ids(const std::filesystem::path& folder, const BpeTokenizer& tokenizer);

// preprocessor_config.json (as published) or processor_config.json (transformers 5).
VisionSpec read_vision_spec(const std::filesystem::path& folder, const VisionConfig& vision);

}  // namespace omni::qwen2_5_omni
