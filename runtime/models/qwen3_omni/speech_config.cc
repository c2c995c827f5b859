#include "qwen3_omni/speech_config.h"

#include "qwen/config_keys.h"
#include "qwen/deepstack_config.h"

namespace omni::qwen3_omni {

using namespace qwen;

namespace {

constexpr ConfigKey kTalker[] = {
    {"accept_hidden_layer", ConfigKey::read},
    {"code_predictor_config", ConfigKey::read},
    {"codec_bos_id", ConfigKey::read},
    {"codec_eos_token_id", ConfigKey::read},
    {"codec_nothink_id", ConfigKey::read},
    {"codec_pad_id", ConfigKey::read},
    {"codec_think_bos_id", ConfigKey::read},
    {"codec_think_eos_id", ConfigKey::read},
    {"num_code_groups", ConfigKey::read},
    {"position_id_per_seconds", ConfigKey::read},
    {"speaker_id", ConfigKey::read},
    {"text_config", ConfigKey::read},
    {"thinker_hidden_size", ConfigKey::read},
    {"tie_word_embeddings", ConfigKey::assumed, R"([false])"},
    {"audio_end_token_id", ConfigKey::passed_over},
    {"audio_start_token_id", ConfigKey::passed_over},
    {"audio_token_id", ConfigKey::passed_over},
    {"image_token_id", ConfigKey::passed_over},
    {"output_router_logits", ConfigKey::passed_over},
    {"seconds_per_chunk", ConfigKey::passed_over},
    {"spatial_merge_size", ConfigKey::passed_over},
    {"video_token_id", ConfigKey::passed_over},
    {"vision_end_token_id", ConfigKey::passed_over},
    {"vision_start_token_id", ConfigKey::passed_over},
};

constexpr ConfigKey kTalkerText[] = {
    {"shared_expert_intermediate_size", ConfigKey::read},
};

constexpr ConfigKey kPredictor[] = {
    {"num_code_groups", ConfigKey::passed_over},
    {"attention_bias", ConfigKey::assumed, R"([false])"},
};

constexpr ConfigKey kCode2Wav[] = {
    {"codebook_size", ConfigKey::read},
    {"decoder_dim", ConfigKey::read},
    {"num_quantizers", ConfigKey::read},
    {"sliding_window", ConfigKey::read},
    {"upsample_rates", ConfigKey::read},
    {"upsampling_ratios", ConfigKey::read},
    {"layer_scale_initial_scale", ConfigKey::passed_over},
    {"codebook_dim", ConfigKey::passed_over},
    {"num_semantic_quantizers", ConfigKey::passed_over},
    {"semantic_codebook_size", ConfigKey::passed_over},
    {"vector_quantization_hidden_dimension", ConfigKey::passed_over},
    {"attention_bias", ConfigKey::assumed, R"([false])"},
};

constexpr ConfigKey kRope[] = {
    {"rope_theta", ConfigKey::read},
    {"rope_type", ConfigKey::assumed, R"(["default"])"},
};

double rope_theta(const Json& j) {
  const Json rope = j.find("rope_parameters");
  return (rope.has("rope_theta") ? rope : j).number_or("rope_theta", 10000, 1, kMostTheta);
}

// A dense text model whose positions have one axis.
TextConfig read_predictor(const Json& j) {
  TextConfig c{};
  c.hidden_size = c.embedding_size = size(j, "hidden_size");
  c.intermediate_size = size(j, "intermediate_size");
  c.num_hidden_layers = int(j.integer("num_hidden_layers", 1, kMostLayers));
  c.num_attention_heads = size(j, "num_attention_heads");
  c.num_key_value_heads = size(j, "num_key_value_heads");
  c.head_dim = size(j, "head_dim");
  c.vocab_size = int(j.integer("vocab_size", 1, 1 << 22));
  c.max_position_embeddings = j.integer_or("max_position_embeddings", 32768, 16, 1 << 24);
  c.rms_norm_eps = float(j.number("rms_norm_eps", 0, 1));
  c.rope_theta = rope_theta(j);
  c.qkv_bias = false;
  c.qk_norm = true;
  require(j, int64_t{c.num_attention_heads} * c.head_dim <= kMost,
          "has more than " + std::to_string(kMost) + " columns in its attention heads");
  require(j, c.num_attention_heads % c.num_key_value_heads == 0,
          "has key heads that do not divide the query heads");
  require(j, c.head_dim % 2 == 0, "has an odd head_dim");
  return c;
}

TalkerConfig read_talker(const Json& j) {
  const Json text = j.at("text_config");
  TalkerConfig c{read_text(text, false), read_predictor(j.at("code_predictor_config"))};
  c.text.experts = read_experts(text);
  c.text.experts.decoder_sparse_step = 1;  // every layer has some, whatever is written
  c.text.experts.mlp_only_layers = {};
  c.text.experts.norm_topk_prob = text.boolean_or("norm_topk_prob", false);
  c.text.experts.shared_intermediate_size = size(text, "shared_expert_intermediate_size");
  c.text.qkv_bias = false;
  c.text.qk_norm = c.text.mrope_interleaved = true;
  c.thinker_hidden_size = size(j, "thinker_hidden_size");
  c.num_code_groups = int(j.integer("num_code_groups", 2, 64));
  c.accept_hidden_layer = int(j.integer("accept_hidden_layer", 1, kMostLayers));
  const auto id = [&](const char* key) {
    return int32_t(j.integer(key, 0, c.text.vocab_size - 1));
  };
  c.codec_nothink = id("codec_nothink_id");
  c.codec_think_bos = id("codec_think_bos_id");
  c.codec_think_eos = id("codec_think_eos_id");
  c.codec_pad = id("codec_pad_id");
  c.codec_bos = id("codec_bos_id");
  c.codec_eos = id("codec_eos_token_id");
  const Json speakers = j.at("speaker_id");
  for (const std::string& name : speakers.keys())
    c.speakers[name] = int32_t(speakers.integer(name, 0, c.text.vocab_size - 1));
  require(j, !c.speakers.empty(), "has no speaker_id");
  require(text, c.text.vocab_size > kUnsaidCodes, "has a vocabulary of which nothing is said");
  require(j, c.predictor.hidden_size == c.text.hidden_size,
          "has a code predictor that is not as wide as the Talker");
  return c;
}

std::vector<int> rates(const Json& j, const char* key, const std::vector<int>& otherwise) {
  if (!j.has(key)) return otherwise;
  const Json list = j.at(key);
  require(list, list.size() >= 1 && list.size() <= 8, "has no 1 to 8 elements");
  const auto values = list.integers(1, 64);
  return {values.begin(), values.end()};
}

Code2WavConfig read_code2wav(const Json& j) {
  const auto size_or = [&](const char* key, int otherwise) {
    return int(j.integer_or(key, otherwise, 1, kMost));
  };
  Code2WavConfig c{};
  c.codebook_size = size_or("codebook_size", 2048);
  c.num_quantizers = int(j.integer_or("num_quantizers", 16, 2, 64));
  c.hidden_size = size_or("hidden_size", 1024);
  c.intermediate_size = size_or("intermediate_size", 3072);
  c.num_hidden_layers = int(j.integer_or("num_hidden_layers", 8, 1, kMostLayers));
  c.num_attention_heads = size_or("num_attention_heads", 16);
  c.num_key_value_heads = size_or("num_key_value_heads", 16);
  c.head_dim = size_or("head_dim", c.hidden_size / c.num_attention_heads);
  c.sliding_window = int(j.integer_or("sliding_window", 72, 1, 1 << 14));
  c.decoder_dim = size_or("decoder_dim", 1536);
  c.upsampling_ratios = rates(j, "upsampling_ratios", {2, 2});
  c.upsample_rates = rates(j, "upsample_rates", {8, 5, 4, 3});
  c.rope_theta = rope_theta(j);
  c.rms_norm_eps = float(j.number_or("rms_norm_eps", 1e-5, 0, 1));
  require(j,
          c.head_dim >= 2 && c.head_dim % 2 == 0 &&
              int64_t{c.num_attention_heads} * c.head_dim <= kMost &&
              c.num_attention_heads % c.num_key_value_heads == 0,
          "has attention heads that do not fit");
  require(j, c.decoder_dim % (1 << c.upsample_rates.size()) == 0,
          "has a decoder_dim that cannot be halved for each of upsample_rates");
  int64_t samples = 1;
  for (const std::vector<int>& each : {c.upsampling_ratios, c.upsample_rates})
    for (const int rate : each) samples *= rate;
  require(j, samples <= 24'000, "has frames of more than a second");
  return c;
}

}  // namespace

bool SpeechConfig::is_there(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  return root.has("talker_config") && root.has("code2wav_config") &&
         root.boolean_or("enable_audio_output", true);
}

std::vector<std::string> check_voice_keys(const std::filesystem::path& folder) {
  std::vector<ConfigKey> text(kMixtureKeys.begin(), kMixtureKeys.end());
  text.insert(text.end(), std::begin(kTalkerText), std::end(kTalkerText));
  const ConfigSection sections[] = {
      {"talker_config", kTalker, kPretrainedConfigKeys},
      {"talker_config.text_config", kTextKeys, text, kPretrainedConfigKeys},
      {"talker_config.text_config.rope_scaling", kInterleavedRopeKeys},
      {"talker_config.text_config.rope_parameters", kInterleavedRopeKeys},
      {"talker_config.code_predictor_config", kTextKeys, kPredictor, kPretrainedConfigKeys},
      {"talker_config.code_predictor_config.rope_parameters", kRope},
      {"code2wav_config", kTextKeys, kCode2Wav, kPretrainedConfigKeys},
      {"code2wav_config.rope_parameters", kRope},
  };
  return check_keys(Json::parse_file(folder / "config.json"), sections);
}

SpeechConfig SpeechConfig::read(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json"), thinker = root.at("thinker_config"),
             talker = root.at("talker_config"), wave = root.at("code2wav_config");
  log_unlisted(check_voice_keys(folder));
  SpeechConfig c{read_talker(talker), read_code2wav(wave)};
  const int64_t same = thinker.integer("position_id_per_seconds", 1, 1000);
  talker.integer_or("position_id_per_seconds", same, same, same);
  const auto id = [&](const Json& j, const char* key) {
    return int32_t(j.integer(key, 0, 1 << 24));
  };
  c.im_start = id(root, "im_start_token_id");
  c.user = id(root, "user_token_id");
  c.assistant = id(root, "assistant_token_id");
  c.tts_pad = id(root, "tts_pad_token_id");
  c.tts_bos = id(root, "tts_bos_token_id");
  c.tts_eos = id(root, "tts_eos_token_id");
  c.audio = id(thinker, "audio_token_id");
  c.image = id(thinker, "image_token_id");
  c.video = id(thinker, "video_token_id");
  require(wave, c.code2wav.num_quantizers == c.talker.num_code_groups,
          "has a num_quantizers that is not the Talker's num_code_groups");
  require(wave, c.code2wav.codebook_size >= c.talker.predictor.vocab_size,
          "has a smaller codebook than the Talker");
  return c;
}

}  // namespace omni::qwen3_omni
