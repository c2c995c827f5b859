#include "qwen3_omni/config.h"

#include "qwen/config_keys.h"
#include "qwen/vision_language.h"
#include "qwen3_omni/speech_config.h"

namespace omni::qwen3_omni {

using namespace qwen;

namespace {

namespace fs = std::filesystem;

constexpr ConfigKey kRoot[] = {
    {"quantization_config", ConfigKey::read},     {"thinker_config", ConfigKey::read},
    {"code2wav_config", ConfigKey::passed_over},  {"enable_audio_output", ConfigKey::read},
    {"talker_config", ConfigKey::read},           {"assistant_token_id", ConfigKey::passed_over},
    {"im_end_token_id", ConfigKey::passed_over},  {"im_start_token_id", ConfigKey::passed_over},
    {"system_token_id", ConfigKey::passed_over},  {"tts_bos_token_id", ConfigKey::passed_over},
    {"tts_eos_token_id", ConfigKey::passed_over}, {"tts_pad_token_id", ConfigKey::passed_over},
    {"user_token_id", ConfigKey::passed_over},
};

constexpr ConfigKey kThinker[] = {
    {"audio_config", ConfigKey::read},          {"audio_end_token_id", ConfigKey::read},
    {"audio_start_token_id", ConfigKey::read},  {"audio_token_id", ConfigKey::read},
    {"image_token_id", ConfigKey::read},        {"position_id_per_seconds", ConfigKey::read},
    {"quantization_config", ConfigKey::read},   {"text_config", ConfigKey::read},
    {"tie_word_embeddings", ConfigKey::read},   {"video_token_id", ConfigKey::read},
    {"vision_config", ConfigKey::read},         {"vision_end_token_id", ConfigKey::read},
    {"vision_start_token_id", ConfigKey::read}, {"seconds_per_chunk", ConfigKey::passed_over},
    {"user_token_id", ConfigKey::passed_over},
};

constexpr ConfigKey kVision[] = {
    // of towers that the class does not have
    {"apply_vit_abs_pos_embed", ConfigKey::passed_over},
    {"image_size", ConfigKey::passed_over},
    {"spatial_patch_size", ConfigKey::passed_over},
    {"tokens_per_second", ConfigKey::passed_over},
};

constexpr ConfigKey kText[] = {
    {"shared_expert_intermediate_size", ConfigKey::assumed, R"([0])"},
};

constexpr ConfigKey kAudio[] = {
    {"d_model", ConfigKey::read},
    {"downsample_hidden_size", ConfigKey::read},
    {"encoder_attention_heads", ConfigKey::read},
    {"encoder_ffn_dim", ConfigKey::read},
    {"encoder_layers", ConfigKey::read},
    {"n_window", ConfigKey::read},
    {"n_window_infer", ConfigKey::read},
    {"num_mel_bins", ConfigKey::read},
    {"output_dim", ConfigKey::read},
    {"activation_dropout", ConfigKey::passed_over},
    {"attention_dropout", ConfigKey::passed_over},
    {"conv_chunksize", ConfigKey::passed_over},
    {"dropout", ConfigKey::passed_over},
    {"max_source_positions", ConfigKey::passed_over},
    {"num_hidden_layers", ConfigKey::passed_over},
    {"activation_function", ConfigKey::assumed, R"(["gelu"])"},
    {"scale_embedding", ConfigKey::assumed, R"([false])"},
};

// Of Qwen3OmniMoeProcessor.videos_kwargs, which win over what the folder's files say.
constexpr PixelLimits kVideoPixels{128 * 32 * 32, 768 * 32 * 32};
constexpr PixelLimits kImagePixels{56 * 56, 1280 * 28 * 28};

AudioConfig read_audio(const Json& j) {
  AudioConfig c{};
  c.d_model = size(j, "d_model");
  c.encoder_layers = int(j.integer("encoder_layers", 1, kMostLayers));
  c.encoder_attention_heads = size(j, "encoder_attention_heads");
  c.encoder_ffn_dim = size(j, "encoder_ffn_dim");
  c.num_mel_bins = int(j.integer("num_mel_bins", 8, 1024));
  c.output_dim = size(j, "output_dim");
  c.downsample_hidden_size = size(j, "downsample_hidden_size");
  // the tokens of a whole piece are counted for this length alone
  c.n_window = int(j.integer("n_window", 50, 50));
  c.n_window_infer = int(j.integer("n_window_infer", 2 * c.n_window, 10000));
  require(j, c.n_window_infer % (2 * c.n_window) == 0,
          "has a n_window_infer that is no multiple of 2 · n_window");
  require(j, c.d_model % (2 * c.encoder_attention_heads) == 0 && c.d_model > 2,
          "has a d_model that is not a multiple of 2 · encoder_attention_heads");
  return c;
}

}  // namespace

Config Config::read(const fs::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  log_unlisted(check_config_keys(folder));
  const bool alone = !root.has("thinker_config");
  const Json thinker = alone ? root : root.at("thinker_config"), text = thinker.at("text_config");
  Config c{thinker,
           read_text(text, thinker.boolean_or("tie_word_embeddings", false)),
           read_deepstack(thinker.at("vision_config")),
           read_audio(thinker.at("audio_config")),
           {},
           int(thinker.integer("position_id_per_seconds", 1, 1000)),
           alone,
           SpeechConfig::is_there(folder)};
  c.text.experts = read_experts(text);
  c.text.qkv_bias = false;
  c.text.qk_norm = c.text.mrope_interleaved = true;
  c.text.n_deep_levels = int(c.vision.deepstack_visual_indexes.size());
  c.spec = read_vision_spec(read_image_processor(folder), c.vision, kImagePixels);
  c.spec.video = kVideoPixels;
  require(
      thinker,
      c.vision.out_hidden_size == c.text.hidden_size && c.audio.output_dim == c.text.hidden_size,
      "has towers whose output is not as wide as the text model");
  if (c.has_voice) {
    const Json talker = root.at("talker_config");
    c.text.kept_layer = int(talker.integer("accept_hidden_layer", 1, c.text.num_hidden_layers - 1));
  }
  require(thinker, c.text.n_deep_levels <= c.text.num_hidden_layers,
          "has more deepstack_visual_indexes than layers of text");
  return c;
}

std::vector<std::string> check_config_keys(const fs::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  std::vector<ConfigSection> sections = {{"", kRoot, kThinker, kPretrainedConfigKeys}};
  const std::string at = root.has("thinker_config") ? "thinker_config." : "";
  const std::string names[] = {at + "text_config",
                               at + "text_config.rope_scaling",
                               at + "text_config.rope_parameters",
                               at + "vision_config",
                               at + "vision_config.rope_parameters",
                               at + "audio_config"};
  std::vector<ConfigKey> text(kMixtureKeys.begin(), kMixtureKeys.end());
  text.insert(text.end(), std::begin(kText), std::end(kText));
  if (!at.empty()) sections.push_back({"thinker_config", kThinker, kPretrainedConfigKeys});
  sections.push_back({names[0].c_str(), kTextKeys, text, kPretrainedConfigKeys});
  sections.push_back({names[1].c_str(), kInterleavedRopeKeys});
  sections.push_back({names[2].c_str(), kInterleavedRopeKeys});
  sections.push_back({names[3].c_str(), kDeepStackKeys, kVision, kPretrainedConfigKeys});
  sections.push_back({names[4].c_str(), kVisionRopeKeys});
  sections.push_back({names[5].c_str(), kAudio, kPretrainedConfigKeys});
  return check_keys(root, sections);
}

}  // namespace omni::qwen3_omni
