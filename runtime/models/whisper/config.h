// config.json and generation_config.json of Whisper. (transformers, configuration_whisper.py)
#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "interface/recogniser.h"

namespace omni::whisper {

struct Config {
  int d_model, encoder_layers, decoder_layers, encoder_attention_heads, decoder_attention_heads,
      encoder_ffn_dim, decoder_ffn_dim;
  int num_mel_bins, max_source_positions, max_target_positions, vocab_size;
  std::vector<std::pair<int, int>> alignment_heads;  // (decoder layer, head)
  WhisperTokens tokens;

  // Ids that generation_config.json does not give are looked up in the tokenizer by name.
  static Config read(const std::filesystem::path& folder, const BpeTokenizer& tokenizer);
};

}  // namespace omni::whisper
