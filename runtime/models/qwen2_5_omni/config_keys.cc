// All keys that the configuration classes of Qwen2.5-Omni and of its processor read, and those of
// its generation_config.json. (transformers, configuration_qwen2_5_omni.py,
// image_processing_qwen2_vl.py, feature_extraction_whisper.py)
#include "qwen2_5_omni/config_keys.h"

#include "qwen/config_keys.h"

namespace omni::qwen2_5_omni {

namespace {

// The Talker's; ids of media and voices lie in the Thinker's rows that it is given.
constexpr ConfigKey kTalker[] = {
    {"position_id_per_seconds", ConfigKey::read},
    {"seconds_per_chunk", ConfigKey::read},
    {"spatial_merge_size", ConfigKey::read},
    {"tts_codec_end_token_id", ConfigKey::read},
    {"tts_codec_mask_token_id", ConfigKey::read},
    {"tts_codec_pad_token_id", ConfigKey::read},
    {"tts_codec_start_token_id", ConfigKey::read},
    {"tts_text_end_token_id", ConfigKey::read},
    {"tts_text_pad_token_id", ConfigKey::read},
    {"audio_end_token_id", ConfigKey::passed_over},
    {"audio_start_token_id", ConfigKey::passed_over},
    {"audio_token_id", ConfigKey::passed_over},
    {"audio_token_index", ConfigKey::passed_over},
    {"image_token_id", ConfigKey::passed_over},
    {"image_token_index", ConfigKey::passed_over},
    {"tts_text_start_token_id", ConfigKey::passed_over},
    {"video_token_id", ConfigKey::passed_over},
    {"video_token_index", ConfigKey::passed_over},
    {"vision_end_token_id", ConfigKey::passed_over},
    {"vision_start_token_id", ConfigKey::passed_over},
};

constexpr ConfigKey kThinker[] = {
    {"audio_config", ConfigKey::read},          {"audio_end_token_id", ConfigKey::read},
    {"audio_start_token_id", ConfigKey::read},  {"audio_token_id", ConfigKey::read},
    {"audio_token_index", ConfigKey::read},     {"image_token_id", ConfigKey::read},
    {"image_token_index", ConfigKey::read},     {"position_id_per_seconds", ConfigKey::read},
    {"quantization_config", ConfigKey::read},   {"seconds_per_chunk", ConfigKey::read},
    {"text_config", ConfigKey::read},           {"tie_word_embeddings", ConfigKey::read},
    {"video_token_id", ConfigKey::read},        {"video_token_index", ConfigKey::read},
    {"vision_config", ConfigKey::read},         {"vision_end_token_id", ConfigKey::read},
    {"vision_start_token_id", ConfigKey::read}, {"user_token_id", ConfigKey::passed_over},
    {"ignore_index", ConfigKey::passed_over},   {"vision_token_id", ConfigKey::passed_over},
};

constexpr ConfigKey kVision[] = {
    {"tokens_per_second", ConfigKey::passed_over},
};

constexpr ConfigKey kAudio[] = {
    {"d_model", ConfigKey::read},
    {"encoder_attention_heads", ConfigKey::read},
    {"encoder_ffn_dim", ConfigKey::read},
    {"encoder_layers", ConfigKey::read},
    {"max_source_positions", ConfigKey::read},
    {"n_window", ConfigKey::read},
    {"num_mel_bins", ConfigKey::read},
    {"output_dim", ConfigKey::read},
    {"activation_dropout", ConfigKey::passed_over},
    {"attention_dropout", ConfigKey::passed_over},
    {"dropout", ConfigKey::passed_over},
    {"encoder_layerdrop", ConfigKey::passed_over},
    {"init_std", ConfigKey::passed_over},
    {"num_hidden_layers", ConfigKey::passed_over},
    {"activation_function", ConfigKey::assumed, R"(["gelu"])"},
    {"scale_embedding", ConfigKey::assumed, R"([false])"},
};

constexpr ConfigKey kToken2Wav[] = {
    {"bigvgan_config", ConfigKey::read},
    {"dit_config", ConfigKey::read},
};

// Of two dialects: depth, dim and heads are num_hidden_layers, hidden_size and num_attention_heads.
constexpr ConfigKey kDit[] = {
    {"block_size", ConfigKey::read},
    {"depth", ConfigKey::read},
    {"dim", ConfigKey::read},
    {"emb_dim", ConfigKey::read},
    {"enc_attention_channels", ConfigKey::read},
    {"enc_channels", ConfigKey::read},
    {"enc_dilations", ConfigKey::read},
    {"enc_dim", ConfigKey::read},
    {"enc_emb_dim", ConfigKey::read},
    {"enc_kernel_sizes", ConfigKey::read},
    {"enc_res2net_scale", ConfigKey::read},
    {"enc_se_channels", ConfigKey::read},
    {"ff_mult", ConfigKey::read},
    {"head_dim", ConfigKey::read},
    {"heads", ConfigKey::read},
    {"hidden_size", ConfigKey::read},
    {"look_ahead_layers", ConfigKey::read},
    {"look_backward_layers", ConfigKey::read},
    {"max_position_embeddings", ConfigKey::read},
    {"mel_dim", ConfigKey::read},
    {"num_attention_heads", ConfigKey::read},
    {"num_embeds", ConfigKey::read},
    {"num_hidden_layers", ConfigKey::read},
    {"repeats", ConfigKey::read},
    {"rope_parameters", ConfigKey::read},
    {"rope_theta", ConfigKey::read},
    {"dropout", ConfigKey::passed_over},
};

constexpr ConfigKey kDitRope[] = {
    {"rope_theta", ConfigKey::read},
    {"rope_type", ConfigKey::assumed, R"(["default"])"},
};

constexpr ConfigKey kBigVgan[] = {
    {"mel_dim", ConfigKey::read},
    {"resblock_dilation_sizes", ConfigKey::read},
    {"resblock_kernel_sizes", ConfigKey::read},
    {"upsample_initial_channel", ConfigKey::read},
    {"upsample_kernel_sizes", ConfigKey::read},
    {"upsample_rates", ConfigKey::read},
    {"use_bias_at_final", ConfigKey::passed_over},
};

// config.json around its parts.
constexpr ConfigKey kWhole[] = {
    {"enable_audio_output", ConfigKey::read},   {"quantization_config", ConfigKey::read},
    {"talker_config", ConfigKey::read},         {"thinker_config", ConfigKey::read},
    {"token2wav_config", ConfigKey::read},      {"enable_talker", ConfigKey::passed_over},
    {"sliding_window", ConfigKey::passed_over},
};

// preprocessor_config.json, of pictures and sound in one, or their parts of processor_config.json.
constexpr ConfigKey kSound[] = {
    {"feature_size", ConfigKey::read},
    {"chunk_length", ConfigKey::passed_over},
    {"feature_extractor_type", ConfigKey::passed_over},
    {"mel_filters", ConfigKey::passed_over},
    {"n_samples", ConfigKey::passed_over},
    {"nb_max_frames", ConfigKey::passed_over},
    {"return_attention_mask", ConfigKey::passed_over},
    {"sampling_rate", ConfigKey::assumed, R"([16000])"},
    {"hop_length", ConfigKey::assumed, R"([160])"},
    {"n_fft", ConfigKey::assumed, R"([400])"},
    {"dither", ConfigKey::assumed, R"([0, 0.0])"},
    {"padding_side", ConfigKey::assumed, R"(["right"])"},
    {"padding_value", ConfigKey::assumed, R"([0, 0.0])"},
};

// processor_config.json around them. Of videos the family has constants that win.
constexpr ConfigKey kProcessors[] = {
    {"feature_extractor", ConfigKey::read},
    {"image_processor", ConfigKey::read},
    {"processor_class", ConfigKey::passed_over},
    {"video_processor", ConfigKey::passed_over},
};

// Of the Thinker, from its object on.
const ConfigSection kThinkerSections[] = {
    {"", kThinker, kPretrainedConfigKeys},
    {"text_config", qwen::kTextKeys, kPretrainedConfigKeys},
    {"text_config.rope_scaling", qwen::kRopeKeys},
    {"text_config.rope_parameters", qwen::kRopeKeys},
    {"vision_config", qwen::kVisionKeys, kVision, kPretrainedConfigKeys},
    {"vision_config.rope_parameters", qwen::kVisionRopeKeys},
    {"audio_config", kAudio, kPretrainedConfigKeys},
};
const ConfigSection kTalkerSections[] = {
    {"", qwen::kTextKeys, kTalker, kPretrainedConfigKeys},
    {"rope_scaling", qwen::kRopeKeys},
    {"rope_parameters", qwen::kRopeKeys},
};
const ConfigSection kToken2WavSections[] = {
    {"", kToken2Wav, kPretrainedConfigKeys},
    {"dit_config", kDit, kPretrainedConfigKeys},
    {"dit_config.rope_parameters", kDitRope},
    {"bigvgan_config", kBigVgan, kPretrainedConfigKeys},
};
const ConfigSection kWholeSections[] = {{"", kWhole, kPretrainedConfigKeys}};
const ConfigSection kProcessorSections[] = {{"", qwen::kImageProcessorKeys, kSound},
                                            {"size", qwen::kPixelsKeys}};
const ConfigSection kProcessorsSections[] = {{"", kProcessors}};
const ConfigSection kGenerationSections[] = {{"", qwen::kGenerationKeys, kGenerationConfigKeys},
                                             {"omni", qwen::kOmniKeys}};

void append(std::vector<std::string>& all, const std::vector<std::string>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

std::vector<std::string> check_thinker_keys(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  std::vector<std::string> unlisted;
  if (root.has("thinker_config") || root.has("talker_config"))
    append(unlisted, check_keys(root, kWholeSections));
  else
    append(unlisted, check_keys(root, kThinkerSections));
  append(unlisted, check_keys(root.find("thinker_config"), kThinkerSections));
  const Json parts = Json::parse_file_if_there(folder / "processor_config.json");
  append(unlisted, check_keys(parts, kProcessorsSections));
  for (const char* part : {"image_processor", "feature_extractor"})
    append(unlisted, check_keys(parts.find(part), kProcessorSections));
  append(unlisted, check_keys(Json::parse_file_if_there(folder / "preprocessor_config.json"),
                              kProcessorSections));
  append(unlisted, check_keys(Json::parse_file_if_there(folder / "generation_config.json"),
                              kGenerationSections));
  return unlisted;
}

std::vector<std::string> check_voice_keys(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  std::vector<std::string> unlisted = check_keys(root.find("talker_config"), kTalkerSections);
  append(unlisted, check_keys(root.find("token2wav_config"), kToken2WavSections));
  return unlisted;
}

}  // namespace omni::qwen2_5_omni
