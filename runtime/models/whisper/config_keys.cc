// All keys that the configuration classes of Whisper and of its feature extractor read, and those
// of its generation_config.json. (transformers, configuration_whisper.py,
// feature_extraction_whisper.py, generation_whisper.py)
#include "whisper/config_keys.h"

#include "io/config_keys.h"

namespace omni::whisper {

namespace {

constexpr ConfigKey kConfig[] = {
    {"begin_suppress_tokens", ConfigKey::read},
    {"d_model", ConfigKey::read},
    {"decoder_attention_heads", ConfigKey::read},
    {"decoder_ffn_dim", ConfigKey::read},
    {"decoder_layers", ConfigKey::read},
    {"encoder_attention_heads", ConfigKey::read},
    {"encoder_ffn_dim", ConfigKey::read},
    {"encoder_layers", ConfigKey::read},
    {"max_source_positions", ConfigKey::read},
    {"max_target_positions", ConfigKey::read},
    {"num_mel_bins", ConfigKey::read},
    {"quantization_config", ConfigKey::read},
    {"suppress_tokens", ConfigKey::read},
    {"vocab_size", ConfigKey::read},
    {"activation_dropout", ConfigKey::passed_over},
    {"apply_spec_augment", ConfigKey::passed_over},
    {"attention_dropout", ConfigKey::passed_over},
    {"classifier_proj_size", ConfigKey::passed_over},
    {"decoder_layerdrop", ConfigKey::passed_over},
    {"dropout", ConfigKey::passed_over},
    {"encoder_layerdrop", ConfigKey::passed_over},
    {"forced_decoder_ids", ConfigKey::passed_over},
    {"init_std", ConfigKey::passed_over},
    {"mask_feature_length", ConfigKey::passed_over},
    {"mask_feature_min_masks", ConfigKey::passed_over},
    {"mask_feature_prob", ConfigKey::passed_over},
    {"mask_time_length", ConfigKey::passed_over},
    {"mask_time_min_masks", ConfigKey::passed_over},
    {"mask_time_prob", ConfigKey::passed_over},
    {"num_hidden_layers", ConfigKey::passed_over},
    {"use_weighted_layer_sum", ConfigKey::passed_over},
    {"activation_function", ConfigKey::assumed, R"(["gelu"])"},
    {"median_filter_width", ConfigKey::assumed, R"([7])"},
    {"scale_embedding", ConfigKey::assumed, R"([false])"},
    {"tie_word_embeddings", ConfigKey::assumed, R"([true])"},
};

// Language, task and time stamps are asked for by properties; names of tokens are the tokenizer's.
constexpr ConfigKey kGeneration[] = {
    {"alignment_heads", ConfigKey::read},
    {"begin_suppress_tokens", ConfigKey::read},
    {"decoder_start_token_id", ConfigKey::read},
    {"is_multilingual", ConfigKey::read},
    {"max_initial_timestamp_index", ConfigKey::read},
    {"no_timestamps_token_id", ConfigKey::read},
    {"omni", ConfigKey::read},
    {"prev_sot_token_id", ConfigKey::read},
    {"suppress_tokens", ConfigKey::read},
    {"compression_ratio_threshold", ConfigKey::passed_over},
    {"eos_token_id", ConfigKey::passed_over},
    {"condition_on_prev_tokens", ConfigKey::passed_over},
    {"forced_decoder_ids", ConfigKey::passed_over},
    {"lang_to_id", ConfigKey::passed_over},
    {"language", ConfigKey::passed_over},
    {"logprob_threshold", ConfigKey::passed_over},
    {"no_speech_threshold", ConfigKey::passed_over},
    {"num_frames", ConfigKey::passed_over},
    {"prompt_condition_type", ConfigKey::passed_over},
    {"return_segments", ConfigKey::passed_over},
    {"return_timestamps", ConfigKey::passed_over},
    {"return_token_timestamps", ConfigKey::passed_over},
    {"task", ConfigKey::passed_over},
    {"task_to_id", ConfigKey::passed_over},
};

constexpr ConfigKey kFeatures[] = {
    {"chunk_length", ConfigKey::read},
    {"feature_size", ConfigKey::read},
    {"feature_extractor_type", ConfigKey::passed_over},
    {"mel_filters", ConfigKey::passed_over},
    {"n_samples", ConfigKey::passed_over},
    {"nb_max_frames", ConfigKey::passed_over},
    {"processor_class", ConfigKey::passed_over},
    {"return_attention_mask", ConfigKey::passed_over},
    {"sampling_rate", ConfigKey::assumed, R"([16000])"},
    {"hop_length", ConfigKey::assumed, R"([160])"},
    {"n_fft", ConfigKey::assumed, R"([400])"},
    {"dither", ConfigKey::assumed, R"([0, 0.0])"},
    {"padding_side", ConfigKey::assumed, R"(["right"])"},
    {"padding_value", ConfigKey::assumed, R"([0, 0.0])"},
    {"do_normalize", ConfigKey::assumed, R"([false])"},
};

constexpr ConfigKey kProcessors[] = {
    {"feature_extractor", ConfigKey::read},
    {"processor_class", ConfigKey::passed_over},
};

const ConfigSection kConfigSections[] = {{"", kConfig, kPretrainedConfigKeys}};
const ConfigSection kGenerationSections[] = {{"", kGeneration, kGenerationConfigKeys}};
const ConfigSection kFeatureSections[] = {{"", kFeatures}};
const ConfigSection kProcessorsSections[] = {{"", kProcessors}};

}  // namespace

std::vector<std::string> check_config_keys(const std::filesystem::path& folder) {
  std::vector<std::string> unlisted;
  const auto check = [&](const Json& config, std::span<const ConfigSection> sections) {
    for (std::string& key : check_keys(config, sections)) unlisted.push_back(std::move(key));
  };
  const Json parts = Json::parse_file_if_there(folder / "processor_config.json");
  check(Json::parse_file(folder / "config.json"), kConfigSections);
  check(Json::parse_file_if_there(folder / "generation_config.json"), kGenerationSections);
  check(Json::parse_file_if_there(folder / "preprocessor_config.json"), kFeatureSections);
  check(parts, kProcessorsSections);
  check(parts.find("feature_extractor"), kFeatureSections);
  return unlisted;
}

}  // namespace omni::whisper
