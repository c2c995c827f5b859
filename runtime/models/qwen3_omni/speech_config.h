// What config.json says of the voice of Qwen3-Omni: talker_config and code2wav_config. Sizes that a
// published file leaves out are those of the classes. (configuration_qwen3_omni_moe.py)
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "qwen/config.h"

namespace omni::qwen3_omni {

constexpr int kUnsaidCodes = 1024;  // the last ids of the Talker's vocabulary, but for the end

struct TalkerConfig {
  qwen::TextConfig text;       // of the first code of a frame
  qwen::TextConfig predictor;  // of the others
  int thinker_hidden_size, num_code_groups;
  int accept_hidden_layer;  // of the Thinker, behind which its states of media are taken
  int32_t codec_nothink, codec_think_bos, codec_think_eos, codec_pad, codec_bos, codec_eos;
  std::map<std::string, int32_t> speakers;
};

struct Code2WavConfig {
  int codebook_size, num_quantizers, hidden_size, intermediate_size, num_hidden_layers,
      num_attention_heads, num_key_value_heads, head_dim, sliding_window, decoder_dim;
  std::vector<int> upsampling_ratios, upsample_rates;
  double rope_theta;
  float rms_norm_eps;
};

struct SpeechConfig {
  TalkerConfig talker;
  Code2WavConfig code2wav;
  // of the Thinker's tokens
  int32_t im_start, user, assistant, audio, image, video, tts_pad, tts_bos, tts_eos;

  // Whether the checkpoint can speak.
  static bool is_there(const std::filesystem::path& folder);
  static SpeechConfig read(const std::filesystem::path& folder);
};

// As check_config_keys(), of talker_config and code2wav_config.
std::vector<std::string> check_voice_keys(const std::filesystem::path& folder);

}  // namespace omni::qwen3_omni
